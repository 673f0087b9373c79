"""Messages that are no tasks: their rows in the table, or kept there where no dead-letter queue takes them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.rules.reception import Close
from gridsidecar.rules.task import NO_CALLBACK, ErrorType, Message, Status, Task
from gridsidecar.store import callback_forms, outbox, records
from gridsidecar.store.batch import Batch
from gridsidecar.store.callback_forms import CallbackForm, OwedForm
from gridsidecar.store.database import RowLocked, RowRejected
from gridsidecar.store.queries import Query


class RefusedMessages:
    """Writes them. Raises `StoreUnavailable` while the database is away; every write may then be tried again."""

    def __init__(self, queries: Mapping[str, Query], queue: str, clock: Clock, batch: Batch) -> None:
        self._queries = queries
        self._queue = queue
        self._clock = clock
        self._batch = batch

    async def record(self, message: Message, task_id: str, error: str, task: Task | None = None) -> bool:
        """Note an unusable message as `failed`, unless the id has a row: rubbish never touches a live task. A row that
        waits for this very message, and has seen no other, is closed.

        `task` is what it asks for, where it could be read at all.
        """
        for owed in (callback_forms.WHOLE, OwedForm(CallbackForm.GIVEN_UP, error), OwedForm(CallbackForm.NOTHING)):
            try:
                return await self._note(message, task_id, error, task, owed)
            except RowLocked:
                raise
            except RowRejected as problem:
                last = problem
        telemetry.warning("a refusal cannot be noted in the database", task_id=task_id, reason=str(last))
        return False

    async def _note(self, message: Message, task_id: str, error: str, task: Task | None, owed: OwedForm) -> bool:
        """With less and less of its task where the database will not store it; at last with nothing but its id."""
        whole = owed == callback_forms.WHOLE
        if owed.form is CallbackForm.NOTHING:
            task = None
        callback = task.callback if task else NO_CALLBACK
        params = {
            "id": task_id,
            "task_type": task.task_type if task else "default",
            "data": records.json_text(task.data) if task and whole else None,
            "error": records.storable(error)[: records.ERROR_LIMIT] if whole else records.ascii_only(error, 500),
            "error_type": ErrorType.VALIDATION.value,
            "queue": self._queue,
            "message_id": message.message_id if whole else None,
        } | records.callback_columns(callback if whole else replace(callback, data=None))
        refusal = Close(status=Status.FAILED, error=error, error_type=ErrorType.VALIDATION, crashes=0)
        body = message.body if whole and len(message.body) <= records.SMALL_BODY else None
        again = {name: params[name] for name in ("id", "error", "error_type")} | {"body": body}
        again["message_id"] = message.prewritten_id or params["message_id"]
        inserted, closed, *_ = await self._batch.write(
            task_id,
            (self._queries["insert_refused"], params),
            (self._queries["refuse_again"], again),
            *outbox.owe(self._queries, self._queue, callback, task_id, 0, refusal, self._clock.now(), owed),
        )
        return bool(inserted or closed)

    async def keep(self, message: Message, row_id: str, error: str) -> bool:
        """Hold a message that no dead-letter queue takes, body and all, in a row of its own that maintenance sends
        again at growing gaps; False when that row has it already. Raises `RowRejected`."""
        if await self._changed_kept("keep_again", row_id):
            return False
        params = records.kept(message, row_id, self._queue, error)
        await self._batch.write(row_id, (self._queries["insert_kept"], params))
        return True

    async def forget(self, row_id: str) -> None:
        """The dead-letter queue has taken what this row kept."""
        await self._changed_kept("forget_kept", row_id)

    async def _changed_kept(self, query: str, row_id: str) -> bool:
        (changed,) = await self._batch.write(row_id, (self._queries[query], {"id": row_id}))
        return bool(changed)
