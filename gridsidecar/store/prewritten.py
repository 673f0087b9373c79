"""Rows of tasks whose messages nobody has sent yet: written by whoever is about to."""

from __future__ import annotations

from collections.abc import Mapping

from gridsidecar.rules.task import Task
from gridsidecar.store import records
from gridsidecar.store.batch import Batch
from gridsidecar.store.database import Database
from gridsidecar.store.ends import CHECK_GRACE
from gridsidecar.store.queries import Query


class PrewrittenRows:
    """Raises `StoreUnavailable` while the database is away, `RowRejected` for what it will not store, `AccessRefused`.

    Until it is noted as sent, a row counts as handed off: maintenance sends its message after a while.
    """

    def __init__(self, database: Database, queries: Mapping[str, Query], queue: str) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._batch = Batch(database)

    async def write(self, task: Task, max_retry_count: int) -> bool:
        """Insert the row of a task that is to be sent in this very message; False when its id has another one."""
        params = records.task_columns(task, max_retry_count, self._queue)
        params |= records.before_its_message(task, CHECK_GRACE)
        (inserted,) = await self._batch.write(task.task_id, (self._queries["insert_waiting"], params))
        return bool(inserted) or await self._is_ours(task)

    async def _is_ours(self, task: Task) -> bool:
        """Of several rows that travelled together nobody knows which were there already."""
        rows = await self._database.fetch(self._queries["row"], {"id": task.task_id})
        return bool(rows) and records.row(rows[0]).message_id == task.message.message_id

    async def note_sent(self, task: Task) -> None:
        """The broker has confirmed its message: nobody needs to look for it. A row that anybody has written since stays
        as it is."""
        deferred = int(task.defer_by is not None or task.defer_until is not None)
        params = {"id": task.task_id, "result": None, "deferred": deferred}
        await self._batch.write(task.task_id, (self._queries["note_sent"], params))

    async def withdraw(self, task: Task) -> bool:
        """The broker refused its message: delete the row; False when somebody has written it since."""
        params = {"id": task.task_id, "message_id": task.message.message_id}
        (deleted,) = await self._batch.write(task.task_id, (self._queries["withdraw"], params))
        return bool(deleted)
