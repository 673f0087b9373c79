"""Tasks that somebody cancels or wants run again: many in one transaction, each with its outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gridsidecar import wire
from gridsidecar.clock import Clock
from gridsidecar.rules import lifecycle, steering
from gridsidecar.rules.steering import KnownRow, Reopening, Steered
from gridsidecar.rules.task import ErrorType, Message, Status, Task, TaskUpdate
from gridsidecar.store import callback_forms, outbox, records
from gridsidecar.store.callback_forms import OwedForm
from gridsidecar.store.database import Connection, Database, RowRejected, Statement
from gridsidecar.store.ends import CHECK_GRACE
from gridsidecar.store.queries import Query
from gridsidecar.store.rebuilding import rebuilt

AT_ONCE = 500  # tasks in one transaction
TOLD_AT_ONCE = 200
HEAVIEST = 8 * 1024 * 1024  # bytes, about, of messages in memory at once
ROUNDS = 3  # looks for rows that appear while they are not yet there

Outcomes = dict[str, Steered]
Work = Callable[[Connection, Sequence[str], OwedForm], Awaitable[Outcomes]]


class Steering:
    """Raises `StoreUnavailable` while the database is away; nothing is changed then, or all of it: ask again."""

    def __init__(self, database: Database, queries: dict[str, Query], queue: str, clock: Clock) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._clock = clock

    async def cancel(self, ids: Iterable[str]) -> Outcomes:
        """End tasks that wait, have workers told of those that run, and note those that nobody knows yet.

        At most `AT_ONCE` ids.
        """
        return await self.each(ids, self.cancel_in)

    async def retry(self, ids: Iterable[str]) -> Outcomes:
        """Make ended tasks due now, with their counters at zero; `wake_ups` has what to publish for them."""
        return await self.each(ids, lambda connection, some, _: self.retry_in(connection, dict.fromkeys(some, 0.0)))

    async def preview(self, ids: Iterable[str], rule: Callable[[KnownRow | None], Steered]) -> Outcomes:
        """What would come of these under a rule of `gridsidecar.rules.steering`; changes nothing."""
        some = sorted(set(ids))
        if not some:
            return {}
        rows = await self._database.transact(lambda connection: self._locked(connection, some, "rows_to_retry"))
        return {task_id: rule(_known(rows.get(task_id))) for task_id in some}

    async def each(self, ids: Iterable[str], work: Work) -> Outcomes:
        """Do this to all of them in one transaction; where the database refuses a change, to each by itself."""
        some = sorted(set(ids))
        try:
            return await self._database.transact(lambda connection: work(connection, some, callback_forms.WHOLE))
        except RowRejected:
            return dict([await self._one(task_id, work) for task_id in some])

    async def _one(self, task_id: str, work: Work) -> tuple[str, Steered]:
        async def by_itself(owed: OwedForm) -> Outcomes:
            return await self._database.transact(lambda connection: work(connection, [task_id], owed))

        try:
            return task_id, (await callback_forms.until_storable(task_id, by_itself))[task_id]
        except RowRejected:
            return task_id, Steered.NOT_STORABLE

    # -- cancel -------------------------------------------------------------------------------------------------------

    async def cancel_in(self, connection: Connection, ids: Sequence[str], owed: OwedForm) -> Outcomes:
        """Within a transaction. `ids` in order, so that two at once do not wait for each other."""
        outcomes: Outcomes = {}
        missing = list(ids)
        for _ in range(ROUNDS):  # a row that appears meanwhile is looked at again
            rows = await self._locked(connection, missing, "rows_to_cancel")
            outcomes |= await self._cancel_known(connection, rows, owed)
            outcomes |= await self._note(connection, [task_id for task_id in missing if task_id not in rows])
            missing = [task_id for task_id in missing if task_id not in outcomes]
            if not missing:
                break
        return outcomes | dict.fromkeys(missing, Steered.NOT_FOUND)

    async def _cancel_known(self, connection: Connection, rows: Mapping[str, Any], owed: OwedForm) -> Outcomes:
        outcomes = {task_id: steering.cancel(_known(row)) for task_id, row in rows.items()}
        if ending := _those(outcomes, Steered.CANCELLED):
            end = {"ids": ending, "error": lifecycle.CANCELLED_ON_REQUEST, "error_type": ErrorType.CANCELLED.value}
            await connection.execute(self._queries["cancel_waiting"], end)
            if callbacks := [one for task_id in ending for one in self._owed(rows[task_id], owed)]:
                await connection.execute_all(callbacks)
        if running := _those(outcomes, Steered.ASKED) + _those(outcomes, Steered.UNREACHABLE):
            await connection.execute(self._queries["ask_cancel"], {"ids": running})
            if owners := tuple(sorted({rows[one]["worker_id"] for one in running if rows[one]["worker_id"]})):
                await connection.execute(self._queries["wake_workers"], {"ids": owners})
        return outcomes

    def _owed(self, row: Mapping[str, Any], owed: OwedForm) -> tuple[Statement, ...]:
        known = records.row(row)
        end, now = lifecycle.cancel(known), self._clock.now()
        return outbox.owe(self._queries, self._queue, known.callback, row["id"], known.attempt, end, now, owed)

    async def _note(self, connection: Connection, ids: Sequence[str]) -> Outcomes:
        """Rows for ids that have none; a message of such a name never comes where no task can have it."""
        possible = [task_id for task_id in ids if wire.task_id_problem(task_id) is None]
        outcomes = dict.fromkeys([one for one in ids if one not in possible], Steered.NOT_FOUND)
        if possible:
            words = {"error": lifecycle.CANCELLED_ON_REQUEST, "error_type": ErrorType.CANCELLED.value}
            rows = [(self._queries["insert_unseen"], {"id": one, "queue": self._queue, **words}) for one in possible]
            counts = await connection.execute_all(rows)
            outcomes |= {one: Steered.NOTED for one, count in zip(possible, counts, strict=True) if count}
        return outcomes

    async def untold(self) -> list[TaskUpdate]:
        """Tasks of this queue that were cancelled while they waited, for a worker to tell of: each is handed out once.
        Nobody else was there to do so."""
        asked = {"queue": self._queue, "limit": TOLD_AT_ONCE}
        if not await self._database.fetch(self._queries["untold"], asked | {"limit": 1}):
            return []

        async def take(connection: Connection) -> list[TaskUpdate]:
            rows = await connection.fetch(self._queries["untold_locked"], asked)
            if rows:
                await connection.execute(self._queries["told"], {"ids": tuple(row["id"] for row in rows)})
            return [_update(row) for row in rows]

        return await self._database.transact(take)

    # -- retry by hand ------------------------------------------------------------------------------------------------

    async def retry_in(self, connection: Connection, starts: Mapping[str, float]) -> Outcomes:
        """Within a transaction; `starts` in the order of ids, each with the seconds until it is due."""
        rows = await self._locked(connection, list(starts), "rows_to_retry")
        outcomes = {task_id: steering.retry(_known(rows.get(task_id))) for task_id in starts}
        writes: list[Statement] = []
        for task_id in _those(outcomes, Steered.RETRIED):
            row, message = rows[task_id], None
            if not row["has_body"]:
                message = await self._rebuilt(connection, task_id)
            if message is None and not (row["has_body"] and _is_readable(row)):
                outcomes[task_id] = Steered.NO_MESSAGE
            else:
                writes.append((self._queries["retry_by_hand"], self._again(row, starts[task_id], message)))
        if writes:
            await connection.execute_all(writes)
        return outcomes

    async def _rebuilt(self, connection: Connection, task_id: str) -> Message | None:
        (stored,) = await connection.fetch(self._queries["fields_of"], {"id": task_id})
        return rebuilt(stored)

    def _again(self, row: Mapping[str, Any], delay: float, message: Message | None) -> dict[str, Any]:
        """A row of another queue is brought back by the workers there as soon as it is due."""
        here = row["queue"] in (None, self._queue)
        return {
            "id": row["id"],
            "delay": round(delay, 3),
            "grace": CHECK_GRACE if here else 0.0,
            "queue": self._queue,
            "body": message and message.body,
            "headers": message and wire.encode_properties(message),
        }

    async def wake_ups(self, ids: Sequence[str]) -> AsyncIterator[tuple[str, Message, float]]:
        """For tasks of this queue that are to run again: id, the message that brings each back, and the seconds until
        it is due. Few are in memory at a time, where they are large; one that cannot be read is left out."""
        if not ids:
            return
        sizes = await self._database.fetch(self._queries["sizes_of"], {"ids": tuple(ids), "queue": self._queue})
        for group in _light(sizes):
            for row in await self._database.fetch(self._queries["messages_of"], {"ids": group}):
                try:
                    yield row["id"], records.wake_up(row), max(0.0, float(row["due_in"] or 0))
                except RowRejected:  # maintenance tells of it
                    continue

    # -- dead letters -------------------------------------------------------------------------------------------------

    async def reopen(self, task_id: str) -> Reopening | Steered:
        """Make a task's row ready for its letter; or why that would be in vain."""

        async def reopen(connection: Connection) -> Reopening | Steered:
            rows = await self._locked(connection, [task_id], "rows_to_retry")
            answer = steering.replay(_known(rows.get(task_id)))
            if answer is Reopening.REOPEN:
                await connection.execute(self._queries["reopen_refused"], {"id": task_id})
            elif answer is Reopening.RETRY:
                outcome = (await self.retry_in(connection, {task_id: 0.0}))[task_id]
                return answer if outcome is Steered.RETRIED else outcome
            return answer

        return await self._database.transact(reopen)

    async def _locked(self, connection: Connection, ids: Sequence[str], query: str) -> dict[str, dict[str, Any]]:
        wanted = set(ids)  # the database may take an id for another one that ends in spaces
        rows = await connection.fetch(self._queries[query], {"ids": tuple(ids)})
        return {row["id"]: row for row in rows if row["id"] in wanted}


def _known(row: Mapping[str, Any] | None) -> KnownRow | None:
    if row is None:
        return None
    return KnownRow(
        status=records.status(row["status"]),
        attempt=row["attempt"],
        has_message=bool(row["has_body"]),
        ours=row["queue"] is not None,
        set_aside=bool(row["set_aside"]),
    )


def _is_readable(row: Mapping[str, Any]) -> bool:
    """Whether a message can be made of this row, as far as can be seen without its body."""
    try:
        records.wake_up({**row, "body": b""})
    except RowRejected:
        return False
    return True


def _those(outcomes: Outcomes, outcome: Steered) -> tuple[str, ...]:
    return tuple(task_id for task_id, one in outcomes.items() if one is outcome)


def _light(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Ids in groups whose messages fit into memory together; one alone may be heavier."""
    group: list[str] = []
    weight = 0
    for row in rows:
        size = int(row["size"] or 0)
        if group and weight + size > HEAVIEST:
            yield tuple(group)
            group, weight = [], 0
        group.append(row["id"])
        weight += size
    if group:
        yield tuple(group)


def _update(row: Mapping[str, Any]) -> TaskUpdate:
    return TaskUpdate(
        task_id=row["id"],
        task_type=row["task_type"] or "default",
        status=Status.CANCELLED,
        attempt=row["attempt"],
        task=_task(row),
        retry_count=row["retry_count"] or 0,
        max_retry_count=row["max_retry_count"] or 0,
        error=lifecycle.CANCELLED_ON_REQUEST,
        error_type=ErrorType.CANCELLED,
    )


def _task(row: Mapping[str, Any]) -> Task | None:
    """Where its message is there, small, and can be read."""
    body = row["body"]
    if not isinstance(body, bytes):
        return None
    try:
        task = wire.decode_task(wire.decode_properties(row["headers"], body), records.SMALL_BODY)
    except ValueError:
        return None
    return None if isinstance(task, wire.Refused) else task
