"""Pauses of task types: set and ended by people and breakers, and bringing back what they parked."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime
from functools import partial
from typing import Any

from msgspec import Struct

from gridsidecar.rules.flow import Pause
from gridsidecar.rules.task import Message
from gridsidecar.store import records
from gridsidecar.store.database import Connection, Database, RowRejected
from gridsidecar.store.ends import CHECK_GRACE
from gridsidecar.store.flow_control import pause_of
from gridsidecar.store.parking import parked_between
from gridsidecar.store.queries import Query

REASON_LIMIT = 1000  # characters
BATCH = 500  # parked tasks that come back at once


class Released(Struct, frozen=True):
    """What came back of a pause that is lifted."""

    wake_ups: list[Message]
    rows: int  # with those whose messages cannot be read; maintenance tells of them
    forgotten: bool  # nothing of it is left, and neither is the pause


class Pauses:
    """The pauses of one queue. Raises `StoreUnavailable` while the database is away."""

    def __init__(self, database: Database, queries: dict[str, Query], queue: str) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue

    async def read(self) -> list[Pause]:
        """All of them, also those that are lifted and still have parked tasks."""
        rows = await self._database.fetch(self._queries["pauses"], {"queue": self._queue})
        return [pause_of(row) for row in rows]

    async def pause(self, task_type: str, until: datetime | None = None, reason: str | None = None) -> None:
        """No task of this type starts until then, or until it is resumed. One that is paused stays so."""
        word = {"until": records.time_text(until), "cool_down": None, "reason": _short(reason)}

        async def work(connection: Connection) -> None:
            await self._write(connection, task_type, await self._locked(connection, task_type), word)

        await self._database.transact(work)

    async def resume(self, task_type: str) -> bool:
        """Its tasks may start again, and workers bring back what was parked. False when it was not paused."""

        async def work(connection: Connection) -> bool:
            found = await self._locked(connection, task_type)
            if found is None or found.lifted:
                return False
            await connection.execute(self._queries["end_pause"], self._key(task_type))
            return True

        return await self._database.transact(work)

    async def trip(self, task_type: str, cool_down: float, reason: str) -> bool:
        """A breaker opens: paused, and one task is tried after `cool_down` seconds. False when it is paused already."""
        word = {"until": None, "cool_down": cool_down, "reason": _short(reason)}

        async def work(connection: Connection) -> bool:
            found = await self._locked(connection, task_type)
            if found is not None and not found.lifted:
                return False
            await self._write(connection, task_type, found, word)
            return True

        return await self._database.transact(work)

    async def close_breaker(self, task_type: str) -> bool:
        """A task of this type succeeded. False when no breaker paused it (any more)."""

        async def work(connection: Connection) -> bool:
            found = await self._locked(connection, task_type)
            if found is None or found.cool_down is None:
                return False
            await connection.execute(self._queries["end_pause"], self._key(task_type))
            return True

        return await self._database.transact(work)

    async def probe(self, task_type: str) -> Message | None:
        """The cool-down is over: let one parked task through, and start the next cool-down; its wake-up. None where
        others were quicker or nothing is parked yet: then the first that comes is tried."""

        async def work(connection: Connection) -> Message | None:
            found = await self._locked(connection, task_type)
            if found is None or not found.wants_probe:
                return None
            rows = await self._parked(connection, task_type, limit=1)
            if not rows:
                return None
            key = self._key(task_type)
            await connection.execute(self._queries["let_probe_through"], {**key, "probe": rows[0]["id"]})
            wake_ups = await self._unpark(connection, rows)
            return wake_ups[0] if wake_ups else None

        return await self._database.transact(work)

    async def release(self, task_type: str, limit: int = BATCH) -> Released:
        """The next tasks that a lifted pause parked, the longest parked first: due now, with the wake-ups to publish.

        One whose row the database does not change stays, and keeps no other.
        """
        seen: list[str] = []
        try:
            return await self._database.transact(
                partial(self._release, task_type=task_type, limit=limit, only=None, seen=seen)
            )
        except RowRejected:
            return await self._in_halves(task_type, limit, seen)

    async def _in_halves(self, task_type: str, limit: int, ids: Sequence[str]) -> Released:
        """Of these tasks, one or more of which the database does not change."""
        if len(ids) <= 1:
            return Released([], 0, forgotten=False)
        middle = len(ids) // 2
        wake_ups: list[Message] = []
        count = 0
        for half in (ids[:middle], ids[middle:]):
            try:
                released = await self._database.transact(
                    partial(self._release, task_type=task_type, limit=limit, only=frozenset(half), seen=[])
                )
            except RowRejected:
                released = await self._in_halves(task_type, limit, half)
            wake_ups += released.wake_ups
            count += released.rows
        return Released(wake_ups, count, forgotten=False)

    async def _release(
        self, connection: Connection, task_type: str, limit: int, only: Set[str] | None, seen: list[str]
    ) -> Released:
        """Within a transaction; `seen` takes the ids of what is parked."""
        found = await self._locked(connection, task_type)
        if found is None or not found.lifted:
            return Released([], 0, forgotten=found is None)
        rows = await self._parked(connection, task_type, limit)
        if not rows:
            await connection.execute(self._queries["forget_pause"], self._key(task_type))
            return Released([], 0, forgotten=True)
        seen[:] = [row["id"] for row in rows]
        some = [row for row in rows if only is None or row["id"] in only]
        return Released(await self._unpark(connection, some) if some else [], len(some), forgotten=False)

    # -- inside a transaction -----------------------------------------------------------------------------------------

    async def _locked(self, connection: Connection, task_type: str) -> Pause | None:
        rows = await connection.fetch(self._queries["pause_locked"], self._key(task_type))
        return pause_of(rows[0]) if rows else None

    async def _write(self, connection: Connection, task_type: str, found: Pause | None, word: dict[str, Any]) -> None:
        key = self._key(task_type)
        if found is not None:
            word = {**key, **word, "goes_on": int(not found.lifted)}
            await connection.execute(self._queries["pause_anew"], word)
            return
        parked_from, parked_to = parked_between(task_type)
        bounds = {"parked_from": parked_from, "parked_to": parked_to}
        await connection.execute(self._queries["insert_pause"], {**key, **word, **bounds})

    async def _parked(self, connection: Connection, task_type: str, limit: int) -> list[dict[str, Any]]:
        parked_from, parked_to = parked_between(task_type)
        asked = {**self._key(task_type), "parked_from": parked_from, "parked_to": parked_to, "limit": limit}
        return await connection.fetch(self._queries["parked"], asked)

    async def _unpark(self, connection: Connection, rows: list[dict[str, Any]]) -> list[Message]:
        ids = tuple(row["id"] for row in rows)
        await connection.execute(self._queries["unpark"], {"ids": ids, "grace": CHECK_GRACE})
        return [message for row in rows if (message := _wake_up(row)) is not None]

    def _key(self, task_type: str) -> dict[str, Any]:
        return {"queue": self._queue, "task_type": task_type}


def _wake_up(row: dict[str, Any]) -> Message | None:
    """None where it cannot be read: maintenance finds that row when nobody has brought it back, and tells of it."""
    try:
        return records.wake_up(row)
    except RowRejected:
        return None


def _short(reason: str | None) -> str | None:
    return None if reason is None else records.storable(reason)[:REASON_LIMIT]
