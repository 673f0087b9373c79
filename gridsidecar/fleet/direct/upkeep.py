"""Figures, pauses and callbacks in the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from gridsidecar.fleet.direct.parts import Parts
from gridsidecar.operations.figures import NONE, read_figures
from gridsidecar.operations.shapes import callback_in_full, callback_object

if TYPE_CHECKING:
    from gridsidecar.views import CallbackView, Figures


class DirectUpkeep:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def figures(self, since: datetime | None, queue: str | None = None) -> Figures:
        store = await self._parts.store()
        return NONE if store is None else await read_figures(store, since, queue)

    async def pause(self, types: Sequence[str], until: datetime | None, reason: str | None) -> None:
        store = await self._parts.store()
        assert store is not None, "a pause may be there before the first worker: its tables are made"
        for task_type in types:
            await store.pauses.pause(task_type, until, reason)

    async def resume(self, types: Sequence[str]) -> set[str]:
        store = await self._parts.store()
        return set() if store is None else {one for one in types if await store.pauses.resume(one)}

    async def callbacks(
        self, task_id: str | None, dead: bool | None, limit: int, *, owed: bool = False
    ) -> list[CallbackView]:
        store = await self._parts.store()
        rows = [] if store is None else await store.outbox.all(task_id=task_id, dead=dead, owed=owed, limit=limit)
        return [callback_object(row) for row in rows]

    async def callback(self, id_: str) -> list[CallbackView]:
        store = await self._parts.store()
        return [] if store is None else [callback_in_full(row) for row in await store.outbox.named(id_)]

    async def drop(self, ids: Sequence[str]) -> dict[str, int]:
        store = await self._parts.store()
        return {one: 0 if store is None else await store.outbox.drop(one) for one in ids}

    async def drop_dead(self) -> int:
        store = await self._parts.store()
        return 0 if store is None else await store.outbox.drop_dead()

    async def replay(self, ids: Sequence[str]) -> dict[str, int]:
        store = await self._parts.store()
        return {one: 0 if store is None else await store.outbox.replay(one) for one in ids}

    async def replay_dead(self) -> int:
        store = await self._parts.store()
        return 0 if store is None else await store.outbox.replay_dead()
