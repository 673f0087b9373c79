"""Pauses, queues, workers, callbacks and dead letters of a fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from gridsidecar_sdk.api import Api, quoted

Row = dict[str, Any]  # as the API describes it


class Upkeep(Api):
    """Part of `TaskClient`."""

    def pause(self, task_type: str, *, until: Optional[str] = None, reason: Optional[str] = None) -> None:
        """Start no more tasks of this type until then (`2h`, or a time), or until `resume`. What runs goes on."""
        asked = {name: value for name, value in (("until", until), ("reason", reason)) if value is not None}
        self._ask("POST", f"/v1/types/{quoted(task_type)}/pause", asked)

    def resume(self, task_type: str) -> None:
        """`ApiError` of kind `not-paused` where it is not."""
        self._ask("POST", f"/v1/types/{quoted(task_type)}/resume", {})

    def pauses(self) -> list[Row]:
        return self._rows("/v1/pauses", "pauses")

    def queues(self) -> list[Row]:
        """What waits: `ready`, `delayed`, `dead`, `unsettled` (in hand), `consumers`."""
        return self._rows("/v1/queues", "queues")

    def workers(self) -> list[Row]:
        """`name`, `queue`, `alive`, `running`, …"""
        return self._rows("/v1/workers", "workers")

    def callbacks(self, *, task_id: Optional[str] = None, dead: Optional[bool] = None, limit: int = 50) -> list[Row]:
        """The newest first; `dead`: only those that were given up, or only the others."""
        query: Row = {"limit": limit}
        if task_id is not None:
            query["task_id"] = task_id
        if dead is not None:
            query["dead"] = str(dead).lower()
        return self._rows("/v1/callbacks", "callbacks", query)

    def replay_callbacks(self, task_or_callback_id: str) -> int:
        """Send these again; how many they are. `ApiError` of kind `unknown-callback` where there is none."""
        return int(self._ask("POST", f"/v1/callbacks/{quoted(task_or_callback_id)}/replay", {})["replayed"])

    def replay_dead_callbacks(self) -> int:
        """Send all again that were given up; how many they are."""
        return int(self._ask("POST", "/v1/callbacks/replay", {})["replayed"])

    def callback(self, task_or_callback_id: str) -> list[Row]:
        """These with their `body`, which is what is sent. `ApiError` of kind `unknown-callback` where there is none."""
        return self._rows(f"/v1/callbacks/{quoted(task_or_callback_id)}", "callbacks", {})

    def drop_callbacks(self, task_or_callback_id: str) -> int:
        """Remove what is owed or was given up; how many they are. `ApiError` as above."""
        return int(self._ask("POST", f"/v1/callbacks/{quoted(task_or_callback_id)}/drop", {})["dropped"])

    def drop_dead_callbacks(self) -> int:
        """Remove all that were given up; how many they are."""
        return int(self._ask("POST", "/v1/callbacks/drop", {})["dropped"])

    def dead_letters(self, limit: int = 50) -> list[Row]:
        """The oldest first, without their bodies."""
        return self._rows("/v1/dead", "dead", {"limit": limit})

    def dead_letter(self, id_: str) -> list[Row]:
        """Those of one task or message id, whole. `ApiError` of kind `unknown-letter` where there is none."""
        return self._rows(f"/v1/dead/{quoted(id_)}", "dead")

    def replay_dead(self, ids: Optional[Sequence[str]] = None) -> Row:
        """Put these letters, or without ids all of the queue, back on it: `outcomes` counts what came of them,
        `letters` says it of each, `unknown` names ids that no letter has."""
        return self._ask("POST", "/v1/dead/replay", _meant(ids))

    def drop_dead(self, ids: Optional[Sequence[str]] = None) -> Row:
        """Remove these, or without ids all of the queue, for good: `dropped` counts them."""
        return self._ask("POST", "/v1/dead/drop", _meant(ids))

    def _rows(self, path: str, name: str, query: Optional[Row] = None) -> list[Row]:
        rows: list[Row] = self._ask("GET", path, query=query)[name]
        return rows


def _meant(ids: Optional[Sequence[str]]) -> Row:
    return {"all": True} if ids is None else {"ids": list(ids)}
