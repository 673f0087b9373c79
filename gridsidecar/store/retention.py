"""What nobody asks for any more goes: tasks that ended long ago, with their history and their callbacks."""

from __future__ import annotations

from functools import partial

from gridsidecar.clock import Clock
from gridsidecar.store.database import Connection, Database, RowRejected
from gridsidecar.store.quarantine import Ask, Quarantine
from gridsidecar.store.queries import Query

BATCH = 500  # tasks in one transaction
DAY = 86400.0  # seconds


class Retention:
    """Deletes for one queue, and what no queue has: that was written by another program. Any number of sidecars may
    do so at once. Raises `StoreUnavailable`.

    A message that was still on its way when its task was deleted starts the task anew, as the rows are all that tells a
    duplicate. None is for longer than a day; `config` allows no `days` below that.
    """

    def __init__(self, database: Database, queries: dict[str, Query], queue: str, days: float, clock: Clock) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._days = days  # 0 keeps everything
        self._quarantine = Quarantine(clock)

    async def prune(self, limit: int = BATCH) -> int:
        """Delete at most `limit` tasks that ended so many days ago; how many went. One whose callback is owed stays,
        and one that the database will not let go is left alone.

        The end of a task that another program ended without saying when is its last change.
        """
        if not self._days:
            return 0
        try:
            return await self._prune(limit, self._quarantine.ask())
        except RowRejected:  # at least one of them: then one after the other
            pruned = 0
        while pruned < limit and (one := await self._quarantine.passing(partial(self._prune, 1))):
            pruned += one
        return pruned

    async def _prune(self, limit: int, ask: Ask) -> int:
        async def prune(connection: Connection) -> int:
            ids = await self._ended(connection, limit, ask)
            if not ids:
                return 0
            ask.looking_at(ids[0], task_id=ids[0])
            await connection.execute(self._queries["prune_callbacks"], {"ids": ids})
            # One that was to be sent again a moment ago is still there: its task stays, too.
            owed = {row["task_id"] for row in await connection.fetch(self._queries["owed_after_all"], {"ids": ids})}
            ids = tuple(task_id for task_id in ids if task_id not in owed)
            if ids:
                await connection.execute(self._queries["prune_attempts"], {"ids": ids})
                await connection.execute(self._queries["prune_output"], {"ids": ids})
                await connection.execute(self._queries["prune_tasks"], {"ids": ids})
            return len(ids)

        return await self._database.transact(prune)

    async def _ended(self, connection: Connection, limit: int, ask: Ask) -> tuple[str, ...]:
        """Tasks to delete, under their rows' locks; those that others hold are left to them."""
        ids: list[str] = []
        for queue in (self._queue, None):
            asked = {"queue": queue, "age": self._days * DAY, "limit": limit - len(ids), "aside": ask.aside}
            ids += [row["id"] for row in await connection.fetch(self._queries["ended_long_ago"], asked)]
        return tuple(ids)
