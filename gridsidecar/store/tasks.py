"""What a delivery means for a task's row, and the claim. The rules come from `lifecycle`; here they are applied,
fenced. Ends are written by `ends`, what pauses and rates keep from its start by `flow_control`."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from gridsidecar.clock import Clock
from gridsidecar.rules import lifecycle
from gridsidecar.rules.flow import FREE, Flow, Park, Reserve, needs_reservation, receive_paused
from gridsidecar.rules.reception import (
    AckOnly,
    AwaitOwnProcess,
    AwaitSlot,
    Begin,
    Claimant,
    Close,
    Delay,
    Insert,
    Reattach,
    Resume,
    Row,
)
from gridsidecar.rules.task import Callback, Claim, ErrorType, Progress, Status, Task
from gridsidecar.store import callback_forms, outbox, records
from gridsidecar.store.answer import Answer, Rescued
from gridsidecar.store.batch import Batch
from gridsidecar.store.callback_forms import OwedForm
from gridsidecar.store.database import Connection, Database, FalseAlarm, Statement
from gridsidecar.store.ends import CHECK_GRACE, Ends
from gridsidecar.store.flow_control import FlowControl
from gridsidecar.store.letters import OwedLetters
from gridsidecar.store.queries import Query
from gridsidecar.store.refused_messages import RefusedMessages


class TaskStore:
    """The tasks' rows. Raises `StoreUnavailable` while the database is away; every write may then be tried again."""

    def __init__(
        self, database: Database, queries: dict[str, Query], queue: str, clock: Clock, dead_letter_failed: bool = False
    ) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._clock = clock  # for the time that a callback names; all else is timed by the database
        self._batch = Batch(database)
        self._flow_control = FlowControl(queries, queue)
        self._letters = OwedLetters(queries, queue, dead_letter_failed)
        self.ends = Ends(database, queries, queue, clock, self._batch, self._letters)
        self.refused_messages = RefusedMessages(queries, queue, clock, self._batch)

    # -- a delivery arrives -------------------------------------------------------------------------------------------

    async def claim(self, task: Task, claimant: Claimant, max_retry_count: int, flow: Flow = FREE) -> Answer:
        """Apply what this delivery means to the task's row, and return it.

        A first message is one INSERT that travels with other writes; everything else is decided under the row's lock.
        Safe to repeat when the reply was lost: the row then names us, and the answer is `Resume`.
        """
        message = task.message
        first = flow == FREE and not (message.attempt or message.wake_up or task.defer_by or task.defer_until)
        if first:
            try:
                answer = await self._claim_in_one_write(task, claimant, max_retry_count)
            except FalseAlarm:  # it may have been written, though its answer never came
                if await self._row(task.task_id) is None:
                    raise
            else:
                if answer is not None:
                    return answer

        async def decide(owed: OwedForm) -> Answer:
            return await self._database.transact(
                lambda connection: self._receive_in_flow(connection, task, claimant, max_retry_count, owed, flow)
            )

        return await callback_forms.until_storable(task.task_id, decide)

    async def _claim_in_one_write(self, task: Task, claimant: Claimant, max_retry_count: int) -> Answer | None:
        """The first claim of a task that is due, as one write; None where its row has to be looked at."""
        if task.message.prewritten_id is None:
            params = records.new_row(task, claimant, max_retry_count, self._queue)
            (inserted,) = await self._batch.write(task.task_id, (self._queries["insert_running"], params))
            return Answer(Insert(), _claim_of_first(task, claimant, max_retry_count), attempt=1) if inserted else None
        if task.message.prewritten_id != task.message.message_id:  # a copy of ours, under an id of its own
            return None
        begin = {"worker_id": claimant.worker_id, "ahead": int(claimant.ahead), "max_retry_count": max_retry_count}
        params = begin | {"id": task.task_id, "result": None}
        (begun,) = await self._batch.write(task.task_id, (self._queries["begin_waiting"], params))
        if not begun:
            return None
        reception = Begin(attempt=1, crashes=0, ahead=claimant.ahead)
        return Answer(reception, _claim_of_first(task, claimant, max_retry_count), attempt=1)

    async def park(self, task: Task, claimant: Claimant, max_retry_count: int) -> Answer | None:
        """What this delivery means while its type is paused, without a slot; None when it may start after all."""

        async def decide(owed: OwedForm) -> Answer | None:
            async def work(connection: Connection) -> Answer | None:
                if not await self._flow_control.is_paused(connection, task):
                    return None
                answer = await self._receive(connection, task, claimant, max_retry_count, owed, Flow(paused=True))
                return None if answer.claim else answer

            return await self._database.transact(work)

        return await callback_forms.until_storable(task.task_id, decide)

    async def preview(self, task: Task, claimant: Claimant) -> Answer:
        """What this delivery would mean right now; changes nothing, so the answer carries no claim."""
        row = await self._row(task.task_id)
        return Answer(lifecycle.receive(row, task.message, claimant), attempt=row.attempt if row else 0)

    async def _receive_in_flow(
        self, connection: Connection, task: Task, claimant: Claimant, max_retry_count: int, owed: OwedForm, flow: Flow
    ) -> Answer:
        if flow.paused:  # the pause before the row: whoever ends a pause has its lock first, too
            flow = replace(flow, paused=await self._flow_control.is_paused(connection, task))
        return await self._receive(connection, task, claimant, max_retry_count, owed, flow)

    async def _receive(
        self, connection: Connection, task: Task, claimant: Claimant, max_retry_count: int, owed: OwedForm, flow: Flow
    ) -> Answer:
        row = await self._locked_row(connection, task.task_id)
        receive = receive_paused if flow.paused else lifecycle.receive
        reception = receive(row, task.message, claimant)
        foreign = row is not None and row.foreign
        if row is not None and not (foreign or row.attempt):  # its handler's word counts, whoever wrote the row
            row = replace(row, max_retry_count=max_retry_count)
        if row is not None and foreign and isinstance(reception, Begin | Park):
            row = await self._complete_foreign(connection, task, max_retry_count)
            if row.due_in > 0:
                return Answer(Delay(delay=row.due_in), attempt=row.attempt)
        match reception:
            case Insert():
                return await self._insert(connection, task, claimant, max_retry_count, owed, flow)
            case Begin():
                assert row is not None
                if (later := await self._reservation(connection, row, reception, flow)) is not None:
                    return await self._postpone(connection, task, row, later)
                await self._begin(connection, task, claimant, row, reception)
                claim = _claim(task, claimant, row, reception, started=foreign)
                return Answer(reception, claim, reception.attempt, _rescued(row, reception))
            case Resume():
                assert row is not None
                begun = Begin(attempt=row.attempt, crashes=row.crashes, ahead=row.ahead)
                claim = _claim(task, claimant, row, begun)
                return Answer(reception, claim, row.attempt)
            case Close():
                assert row is not None
                if reception.completes:
                    row = await self._complete_unseen(connection, task, claimant, row, max_retry_count)
                await self._close(connection, task.task_id, row, reception, owed)
                return Answer(reception, None, row.attempt, _rescued(row, reception))
            case Park() if row is not None:
                return await self._postpone(connection, task, row, reception)
            case Park():
                return await self._insert(connection, task, claimant, max_retry_count, owed, flow)
            case Reattach() | AckOnly() | Delay() | AwaitSlot() | AwaitOwnProcess():
                pass
            case _:
                assert_never(reception)
        return Answer(reception, attempt=row.attempt if row else 0)

    async def _complete_unseen(
        self, connection: Connection, task: Task, claimant: Claimant, row: Row, max_retry_count: int
    ) -> Row:
        """A row that was cancelled before its message came gets what that says of the task."""
        params = records.new_row(task, claimant, max_retry_count, self._queue)
        await connection.execute(self._queries["complete_unseen"], params)
        return replace(row, callback=task.callback)

    async def _reservation(self, connection: Connection, row: Row, start: Begin, flow: Flow) -> Reserve | None:
        """The later start that its handler's rate gives it; None: now, or no rate limits it."""
        if flow.rate is None:
            return None
        reserve = needs_reservation(row, flow.rate)
        delay = await self._flow_control.delay_by_rate(connection, flow.handler, flow.rate, reserve=reserve)
        return Reserve(delay=delay, crashes=start.crashes, rescues=start.rescues) if delay > 0 else None

    async def _postpone(self, connection: Connection, task: Task, row: Row, why: Park | Reserve) -> Answer:
        if why.rescues:
            await self._note_lost(connection, task.task_id, row)
        await self._flow_control.postpone_start(connection, task, why)
        return Answer(why, None, row.attempt, _rescued(row, why))

    async def _insert(
        self, connection: Connection, task: Task, claimant: Claimant, max_retry_count: int, owed: OwedForm, flow: Flow
    ) -> Answer:
        params = records.new_row(task, claimant, max_retry_count, self._queue)
        if flow != FREE or task.defer_by or task.defer_until:  # to be begun, or postponed, as a row that is there
            deferred = params | records.deferral(task, CHECK_GRACE)
            inserted = await connection.execute(self._queries["insert_waiting"], deferred)
            row = await self._locked_row(connection, task.task_id)
            assert row is not None
            if inserted and row.due_in > 0:
                return Answer(Delay(delay=row.due_in), attempt=0)
        else:
            if await connection.execute(self._queries["insert_running"], params):
                return Answer(Insert(), _claim_of_first(task, claimant, max_retry_count), attempt=1)
        return await self._receive(
            connection, task, claimant, max_retry_count, owed, flow
        )  # it is there now, or due already

    async def _complete_foreign(self, connection: Connection, task: Task, max_retry_count: int) -> Row:
        """A row that another program wrote gets what the message says of the task, also when it wants to run."""
        await connection.execute(self._queries["complete_foreign"], records.foreign_columns(task, max_retry_count))
        if task.defer_by or task.defer_until:
            params = records.message_columns(task.message, self._queue) | records.deferral(task, CHECK_GRACE)
            await connection.execute(self._queries["defer"], params | {"id": task.task_id})
        row = await self._locked_row(connection, task.task_id)
        assert row is not None
        return row

    async def _begin(self, connection: Connection, task: Task, claimant: Claimant, row: Row, begin: Begin) -> None:
        if begin.rescues:
            await self._note_lost(connection, task.task_id, row)
        params = records.message_columns(task.message, self._queue) | {
            "id": task.task_id,
            "attempt": begin.attempt,
            "crashes": begin.crashes,
            "ahead": int(begin.ahead),
            "max_retry_count": row.max_retry_count,
            "worker_id": claimant.worker_id,
        }
        await connection.execute(self._queries["begin_next"], params)

    async def _close(self, connection: Connection, task_id: str, row: Row, close: Close, owed: OwedForm) -> None:
        if close.rescues:
            await self._note_lost(connection, task_id, row)
        params = {
            "id": task_id,
            "status": close.status.value,
            "error": close.error,
            "error_type": str(close.error_type),
            "crashes": close.crashes,
        }
        await connection.execute(self._queries["close"], params)
        callback = self._owed(row.callback, task_id, row.attempt, close, owed)
        for query, values in (*callback, *self._letters.owe(task_id, row.attempt, close, owed.form)):
            await connection.execute(query, values)

    def _owed(
        self, callback: Callback, task_id: str, attempt: int, end: Close, owed: OwedForm
    ) -> tuple[Statement, ...]:
        return outbox.owe(self._queries, self._queue, callback, task_id, attempt, end, self._clock.now(), owed)

    async def _note_lost(self, connection: Connection, task_id: str, row: Row) -> None:
        """End a dead worker's attempt in the history, so that its own late entry is refused."""
        params = {
            "id": task_id,
            "attempt": row.attempt,
            "worker_id": row.worker_id,
            "error": f"its worker {row.owner} stopped renewing its lease"
            if row.worker_id
            else "whoever ran it is gone",
        }
        await connection.execute(self._queries["attempt_lost"], params)

    async def _locked_row(self, connection: Connection, task_id: str) -> Row | None:
        rows = await connection.fetch(self._queries["row_locked"], {"id": task_id})
        return records.row(rows[0]) if rows else None

    async def _row(self, task_id: str) -> Row | None:
        rows = await self._database.fetch(self._queries["row"], {"id": task_id})
        return records.row(rows[0]) if rows else None

    async def is_running_one(self, task_type: str) -> bool:
        """Whether a live worker of this queue runs a task of this type now."""
        asked = {"task_type": task_type, "queue": self._queue}
        return bool(await self._database.fetch(self._queries["running_of_type"], asked))

    async def end_waiting(self, task: Task, error: str) -> bool:
        """A task that waits for its next attempt ends without it; False when it does not wait."""

        async def end(connection: Connection, owed: OwedForm) -> bool:
            row = await self._locked_row(connection, task.task_id)
            if row is None or row.status not in (Status.PENDING, Status.RETRYING):
                return False
            close = Close(status=Status.FAILED, error=error, error_type=ErrorType.VALIDATION, crashes=row.crashes)
            await self._close(connection, task.task_id, row, close, owed)
            return True

        return await callback_forms.until_storable(
            task.task_id, lambda owed: self._database.transact(lambda connection: end(connection, owed))
        )

    # -- an attempt runs -----------------------------------------------------------------------------------------------

    async def progress(self, claim: Claim, progress: Progress) -> bool:
        """Note how far the attempt is; False when it is not ours any more."""
        params = records.fence(claim) | records.progress_columns(progress)
        (changed,) = await self._batch.write(claim.task_id, (self._queries["progress"], params))
        return bool(changed)

    async def mark_started(self, claim: Claim, seconds: float) -> None:
        """A task that was claimed before there was a slot for it has had one for so long: from now on the death of its
        worker counts as a crash."""
        params = records.fence(claim) | {"duration": round(seconds, 3)}
        await self._batch.write(claim.task_id, (self._queries["mark_started"], params))

    async def hand_off(self, claim: Claim) -> bool:
        """From now on the store, not the broker, brings this task back; False when it is not ours any more."""
        (changed,) = await self._batch.write(claim.task_id, (self._queries["hand_off"], records.fence(claim)))
        return bool(changed)

    async def schedule(self, task_id: str, attempt: int) -> bool:
        """The broker refused a delayed message: maintenance brings the task back. False when the row has moved on."""
        params = {"id": task_id, "attempt": attempt}
        (changed,) = await self._batch.write(task_id, (self._queries["schedule"], params))
        return bool(changed)


def _claim_of_first(task: Task, claimant: Claimant, max_retry_count: int) -> Claim:
    return Claim(
        task=task,
        attempt=1,
        worker_id=claimant.worker_id,
        worker_name=claimant.worker_name,
        max_retry_count=max_retry_count,
        ahead=claimant.ahead,
    )


def _rescued(row: Row, reception: Begin | Close | Park | Reserve) -> Rescued | None:
    return Rescued(row.attempt, row.owner, row.silent_for) if reception.rescues else None


def _claim(task: Task, claimant: Claimant, row: Row, begun: Begin, *, started: bool = False) -> Claim:
    """`started`: for all we know, another program has run it."""
    return Claim(
        task=replace(task, callback=row.callback),  # the row's: another program may have written it
        attempt=begun.attempt,
        worker_id=claimant.worker_id,
        worker_name=claimant.worker_name,
        max_retry_count=row.max_retry_count,
        retry_count=row.retry_count,
        crashes=begun.crashes,
        interruptions=row.interruptions,
        redelivered=started or claimant.redelivered or begun.attempt > 1,
        checkpoint=records.checkpoint(row.checkpoint),
        ahead=begun.ahead,
    )
