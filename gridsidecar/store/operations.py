"""Cancelling or retrying many tasks as a stored operation: whoever drives it may die, and another one goes on."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import uuid4

from msgspec import Struct

from gridsidecar.errors import EX_FAILED, GridSidecarError
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Status
from gridsidecar.store.callback_forms import OwedForm
from gridsidecar.store.database import Connection, Database, Statement
from gridsidecar.store.queries import Query
from gridsidecar.store.selection import Cursor, Filter, Selection
from gridsidecar.store.steering import AT_ONCE, Outcomes, Steering

LEASE = 30.0  # seconds without a sign of its driver until others go on with an operation
EXPECTED = "expected_count"  # in what was asked
KEPT = 7 * 86400.0  # seconds that an ended operation can still be looked at


class OperationKind(StrEnum):
    CANCEL = "cancel"
    RETRY = "retry"


class NotDriven(GridSidecarError):
    """Somebody else drives this operation, or it has ended, or there is none."""

    exit_code = EX_FAILED


class OperationTask(Struct, frozen=True):
    """A task of an operation; no outcome where it is still to be done."""

    position: int
    task_id: str
    outcome: str | None


class Operation(Struct, frozen=True, kw_only=True):
    """What was asked, and how far it is."""

    id: str
    kind: OperationKind
    queue: str
    asked: dict[str, Any]
    spread: float  # seconds over which the starts of retries are spread
    total: int  # tasks
    collected: bool  # which tasks it is about is fixed
    driven: bool
    age: float  # seconds since it was made
    created_at: str
    ended_at: str | None

    @property
    def state(self) -> str:
        """`running`, `waiting` for somebody to go on, `starting` when all is done and the last of its tasks have yet to
        start, `ended`, or `count_changed`: it found another number of tasks than was expected, and did nothing."""
        if self.ended_at is None:
            return "running" if self.driven else "waiting"
        if self.asked.get(EXPECTED, self.total) != self.total:
            return "count_changed"
        return "starting" if self.collected and self.age < self.spread else "ended"

    def start_of(self, position: int) -> float:
        """Seconds from now until the task at this position is to start."""
        return max(0.0, self.spread * position / max(1, self.total) - self.age)


class Operations:
    """Raises `StoreUnavailable` while the database is away; then an operation can be gone on with later."""

    def __init__(self, database: Database, queries: dict[str, Query], queue: str, steering: Steering) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._steering = steering
        self._driver = uuid4().hex

    # -- made ---------------------------------------------------------------------------------------------------------

    async def count(self, filter_: Filter) -> int:
        """Tasks that it names right now."""
        return await Selection(self._database, self._queries, filter_).count()

    def choose(self, filter_: Filter) -> AsyncIterator[list[str]]:
        """The ids of the tasks that it names right now, page by page."""
        return Selection(self._database, self._queries, filter_).pages()

    async def page(self, filter_: Filter, after: Cursor | None) -> tuple[list[str], Cursor | None]:
        """Some of these ids from there on, and where they end: None where nothing follows."""
        return await Selection(self._database, self._queries, filter_).page(after)

    async def by_type(self, filter_: Filter) -> list[tuple[str, Status, int]]:
        """How many tasks of which type are in which state."""
        return await Selection(self._database, self._queries, filter_).by_type()

    async def begin(
        self, kind: OperationKind, filter_: Filter, spread: float = 0.0, expected: int | None = None
    ) -> str:
        """An operation on what the filter names, driven by us; its id. `collect` is to follow. Where that finds another
        number than is expected, it ends, and nothing is done."""
        asked = filter_.to_dict() | ({} if expected is None else {EXPECTED: expected})
        return await self._insert(kind, json.dumps(asked), spread, ())

    async def begin_with(self, kind: OperationKind, ids: Iterable[str], spread: float = 0.0) -> str:
        """An operation on these tasks, driven by us; its id."""
        some = list(dict.fromkeys(ids))
        return await self._insert(kind, json.dumps({"ids": len(some)}), spread, some)

    async def _insert(self, kind: OperationKind, asked: str, spread: float, ids: Sequence[str]) -> str:
        operation = f"op_{uuid4().hex[:16]}"
        params = self._mine(operation) | {
            "kind": kind.value,
            "queue": self._queue,
            "asked": asked,
            "spread": float(spread),
            "total": len(ids),
            "collected": int(bool(ids)),
        }
        await self._database.batch([(self._queries["insert_operation"], params), *self._rows(operation, ids, 0)])
        return operation

    async def collect(self, operation: Operation) -> None:
        """Fix which tasks it is about. Whoever goes on with it before that begins anew: nothing was done yet.

        Raises `NotDriven` when somebody else has taken it over, who may be further.
        """
        await self._database.transact(partial(self._begin_anew, operation=operation.id))
        total = 0
        async for page in Selection(self._database, self._queries, Filter.of_dict(operation.asked)).pages():
            rows = self._rows(operation.id, page, total)
            await self._database.transact(partial(self._add, operation=operation.id, rows=rows))
            total += len(page)
        params = self._mine(operation.id) | {"total": total}
        await self._database.batch([(self._queries["operation_collected"], params)])
        if total != operation.asked.get(EXPECTED, total):
            await self.stop(operation.id)
            raise NotDriven(f"the operation {operation.id} found {total:,} tasks, and was to be about another number")

    async def _begin_anew(self, connection: Connection, operation: str) -> None:
        await self._drive(connection, operation)
        await connection.execute(self._queries["forget_operation_ids"], {"id": operation})

    async def _add(self, connection: Connection, operation: str, rows: Sequence[Statement]) -> None:
        await self._drive(connection, operation)
        await connection.execute_all(rows)

    def _rows(self, operation: str, ids: Sequence[str], first: int) -> list[Statement]:
        insert = self._queries["insert_operation_id"]
        return [(insert, {"id": operation, "position": first + at, "task_id": one}) for at, one in enumerate(ids)]

    # -- driven -------------------------------------------------------------------------------------------------------

    async def take(self, operation: str) -> Operation:
        """Drive it from now on. `NotDriven` where that is not to be."""
        if not is_operation_id(operation):
            raise _unknown(operation)
        await self._database.batch([(self._queries["take_operation"], self._mine(operation))])
        (mine,) = await self._database.batch([(self._queries["drive_operation"], self._mine(operation))])
        known = await self.get(operation)
        if known is None:
            raise _unknown(operation)
        if not mine:
            state = "has ended" if known.ended_at else "is being driven by another process"
            raise NotDriven(f"the operation {operation} {state}; `gridsidecar operations show {operation}` tells more")
        return known

    async def leave(self, operation: str) -> None:
        """Others may go on with it at once."""
        await self._database.batch([(self._queries["leave_operation"], self._mine(operation))])

    async def stop(self, operation: str) -> bool:
        """Have nobody go on with it: what is not done yet stays so. False where it has ended."""
        if not is_operation_id(operation):
            return False
        (stopped,) = await self._database.batch([(self._queries["stop_operation"], {"id": operation})])
        return bool(stopped)

    async def forsaken(self) -> str | None:
        """An operation of this queue that has not ended, and that nobody drives any more."""
        rows = await self._database.fetch(self._queries["forsaken_operations"], {"queue": self._queue})
        return rows[0]["id"] if rows else None

    async def step(self, operation: Operation) -> Outcomes:
        """Do the next tasks, all in one transaction with what came of each; empty when all are done, and it has ended.

        Raises `NotDriven` when somebody else has taken it over.
        """
        asked = {"id": operation.id, "limit": AT_ONCE}
        rows = await self._database.fetch(self._queries["operation_next"], asked)
        if not rows:
            await self._database.batch([(self._queries["operation_done"], self._mine(operation.id))])
            return {}
        positions = {row["task_id"]: int(row["position"]) for row in rows}

        async def work(connection: Connection, ids: Sequence[str], owed: OwedForm) -> Outcomes:
            await self._drive(connection, operation.id)
            outcomes = await self._steer(connection, operation, {one: positions[one] for one in ids}, owed)
            await connection.execute_all(self._noted(operation.id, positions, outcomes))
            return outcomes

        outcomes = await self._steering.each(positions, work)
        refused: Outcomes = {task_id: one for task_id, one in outcomes.items() if one is Steered.NOT_STORABLE}
        if refused:
            await self._database.batch(self._noted(operation.id, positions, refused))
        return outcomes

    async def _steer(
        self, connection: Connection, operation: Operation, positions: dict[str, int], owed: OwedForm
    ) -> Outcomes:
        if operation.kind is OperationKind.CANCEL:
            return await self._steering.cancel_in(connection, list(positions), owed)
        starts = {task_id: operation.start_of(position) for task_id, position in positions.items()}
        return await self._steering.retry_in(connection, starts)

    def _noted(self, operation: str, positions: dict[str, int], outcomes: Outcomes) -> list[Statement]:
        by_outcome: dict[str, list[int]] = {}
        for task_id, outcome in outcomes.items():
            by_outcome.setdefault(outcome.value, []).append(positions[task_id])
        note = self._queries["operation_outcome"]
        return [
            (note, {"id": operation, "outcome": outcome, "positions": tuple(sorted(positions))})
            for outcome, positions in sorted(by_outcome.items())
        ]

    async def _drive(self, connection: Connection, operation: str) -> None:
        """Hold it for a while longer, against any other driver."""
        if not await connection.execute(self._queries["drive_operation"], self._mine(operation)):
            raise NotDriven(f"the operation {operation} was taken over by another process, which goes on with it")

    def _mine(self, operation: str) -> dict[str, Any]:
        return {"id": operation, "driver": self._driver, "lease": LEASE}

    # -- looked at ----------------------------------------------------------------------------------------------------

    async def get(self, operation: str) -> Operation | None:
        if not is_operation_id(operation):
            return None
        rows = await self._database.fetch(self._queries["operation"], {"id": operation})
        return _operation(rows[0]) if rows else None

    async def newest(self, limit: int = 20) -> list[Operation]:
        """The newest first."""
        return [_operation(row) for row in await self._database.fetch(self._queries["operations"], {"limit": limit})]

    async def outcomes(self, operation: str) -> dict[str, int]:
        """How many tasks have which outcome; `open` is what is still to be done."""
        rows = await self._database.fetch(self._queries["operation_outcomes"], {"id": operation})
        return {row["outcome"] or "open": int(row["n"]) for row in rows}

    async def tasks(self, operation: str, after: int = -1, limit: int = AT_ONCE) -> list[OperationTask]:
        """The next ones in their order."""
        params = {"id": operation, "after": after, "limit": limit}
        rows = await self._database.fetch(self._queries["operation_tasks"], params)
        return [OperationTask(int(row["position"]), row["task_id"], row["outcome"]) for row in rows]

    async def prune(self) -> None:
        """Forget what ended long ago."""
        for row in await self._database.fetch(self._queries["old_operations"], {"age": KEPT}):
            await self._database.batch([(self._queries["forget_operation_ids"], {"id": row["id"]})])
            await self._database.batch([(self._queries["forget_operation"], {"id": row["id"]})])


def is_operation_id(text: str) -> bool:
    """Whether an operation may be called so: a database need not compare other texts with its ids."""
    return re.fullmatch(r"op_[0-9a-f]{16}", text) is not None


def _unknown(operation: str) -> NotDriven:
    return NotDriven(f"there is no operation {operation}; `gridsidecar operations list` shows them")


def _operation(row: dict[str, Any]) -> Operation:
    return Operation(
        id=row["id"],
        kind=OperationKind(row["kind"]),
        queue=row["queue"],
        asked=json.loads(row["asked"]),
        spread=float(row["spread"]),
        total=int(row["total"]),
        collected=bool(row["collected"]),
        driven=bool(row["driven"]) and row["ended_at"] is None,
        age=float(row["age"] or 0),
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )
