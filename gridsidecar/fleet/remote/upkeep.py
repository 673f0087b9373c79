"""Figures, pauses and callbacks by the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from gridsidecar.errors import UsageError
from gridsidecar.fleet.remote.requests import ApiRefused, Requests, quoted

if TYPE_CHECKING:
    from gridsidecar.views import CallbackView, Figures

ALL = 3600.0  # seconds, for an answer about all that were given up
MOST_CALLBACKS = 200  # in one answer, and there is no other


class RemoteUpkeep:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def figures(self, since: datetime | None, queue: str | None = None) -> Figures:
        told = await self._requests.get("/v1/stats", since=since and since.isoformat(), queue=queue)
        return cast("Figures", told)

    async def pause(self, types: Sequence[str], until: datetime | None, reason: str | None) -> None:
        asked: dict[str, Any] = {"until": until and until.isoformat(), "reason": reason}
        given = {name: value for name, value in asked.items() if value is not None}
        for task_type in types:
            await self._requests.post(f"/v1/types/{quoted(task_type)}/pause", given)

    async def resume(self, types: Sequence[str]) -> set[str]:
        return {one for one in types if await self._resume(one)}

    async def _resume(self, task_type: str) -> bool:
        try:
            await self._requests.post(f"/v1/types/{quoted(task_type)}/resume")
        except ApiRefused as refused:
            if refused.kind != "not-paused":
                raise
            return False
        return True

    async def callbacks(
        self, task_id: str | None, dead: bool | None, limit: int, *, owed: bool = False
    ) -> list[CallbackView]:
        if limit > MOST_CALLBACKS:
            raise UsageError(f"--limit: an API shows {MOST_CALLBACKS - 1} callbacks at most")
        asked = None if dead is None else str(dead).lower()
        told = await self._requests.get(
            "/v1/callbacks", task_id=task_id, dead=asked, owed="true" if owed else None, limit=limit
        )
        return list(told["callbacks"])

    async def callback(self, id_: str) -> list[CallbackView]:
        if not id_:
            return []
        told = await self._requests.found(f"/v1/callbacks/{quoted(id_)}", unless="unknown-callback")
        return [] if told is None else list(told["callbacks"])

    async def drop(self, ids: Sequence[str]) -> dict[str, int]:
        return {one: await self._each(one, "drop", "dropped") for one in ids}

    async def drop_dead(self) -> int:
        return int((await self._requests.post("/v1/callbacks/drop", limit=ALL))["dropped"])

    async def replay(self, ids: Sequence[str]) -> dict[str, int]:
        return {one: await self._each(one, "replay", "replayed") for one in ids}

    async def _each(self, one: str, does: str, done: str) -> int:
        try:
            return int((await self._requests.post(f"/v1/callbacks/{quoted(one)}/{does}"))[done]) if one else 0
        except ApiRefused as refused:
            if refused.kind != "unknown-callback":
                raise
            return 0

    async def replay_dead(self) -> int:
        return int((await self._requests.post("/v1/callbacks/replay"))["replayed"])
