"""Which workers live, which rows they hold, and what got lost: the store's side of heartbeat and maintenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from gridsidecar import __version__, telemetry
from gridsidecar.clock import Clock
from gridsidecar.errors import StoreUnavailable
from gridsidecar.rules import lifecycle
from gridsidecar.rules.retry import next_check
from gridsidecar.rules.task import ErrorType, Message
from gridsidecar.store import callback_forms, outbox, records
from gridsidecar.store.callback_forms import OwedForm
from gridsidecar.store.database import Connection, Database, FalseAlarm, RowLocked, RowRejected
from gridsidecar.store.quarantine import Ask, Quarantine
from gridsidecar.store.queries import Query

UNREADABLE_GAP = 86400.0  # seconds until a row is looked at again that could not be read


class HeldRow(Struct, frozen=True):
    """A row that says its worker runs this attempt."""

    task_id: str
    attempt: int
    cancel_requested: bool


class Leases:
    """One heartbeat row a worker, by the database's clock. Raises `StoreUnavailable` while that is away."""

    def __init__(self, database: Database, queries: dict[str, Query], queue: str, clock: Clock) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._clock = clock
        self._quarantine = Quarantine(clock)

    async def renew(self, worker_id: str, name: str, lease: float, concurrency: int = 1) -> None:
        """Say that this worker, which runs so many tasks at once, lives for another `lease` seconds."""
        known = {"version": __version__, "concurrency": concurrency}
        params = {"id": worker_id, "name": name[:255], "queue": self._queue, "lease": lease, **known}
        try:
            await self._database.batch([(self._queries["renew"], params)])
        except (FalseAlarm, RowLocked) as error:  # no task is to blame here
            raise StoreUnavailable(str(error)) from error

    async def leave(self, worker_id: str) -> None:
        """A clean goodbye: whatever still names this worker may be taken over at once. It runs 0 tasks at once from
        then on, by which it is told from one that fell silent."""
        await self._database.batch([(self._queries["leave"], {"id": worker_id})])
        await self.forget_gone()

    async def forget_gone(self) -> None:
        """Delete the rows of workers that have been gone for a day, unless a task still names them."""
        # Looked up first: a DELETE that reads the tasks would lock them.
        if gone := tuple(row["id"] for row in await self._database.fetch(self._queries["gone_workers"], {})):
            await self._database.batch([(self._queries["forget_workers"], {"ids": gone})])

    async def rows_of(self, worker_id: str) -> list[HeldRow]:
        """The running rows that name this worker."""
        rows = await self._database.fetch(self._queries["rows_of_worker"], {"worker_id": worker_id})
        return [HeldRow(row["id"], row["attempt"], bool(row["cancel_requested"])) for row in rows]

    async def cancels(self, worker_ids: Sequence[str]) -> dict[str, int]:
        """For each of these workers a figure that grows whenever one of its running tasks is to be cancelled."""
        rows = await self._database.fetch(self._queries["cancels_of"], {"ids": tuple(worker_ids)})
        return {row["id"]: int(row["cancels"]) for row in rows}

    async def give_back(self, worker_id: str, row: HeldRow) -> bool:
        """A row that no attempt stands behind becomes due now, for any worker; or cancelled, where that was asked."""
        status = lifecycle.given_back(row.cancel_requested)
        params = {
            "id": row.task_id,
            "attempt": row.attempt,
            "worker_id": worker_id,
            "status": status.value,
            "terminal": int(status.terminal),
            "cancel_requested": int(row.cancel_requested),
            "error": lifecycle.CANCELLED_ON_REQUEST if status.terminal else None,
            "error_type": ErrorType.CANCELLED.value if status.terminal else None,
        }
        lost = {
            "id": row.task_id,
            "attempt": row.attempt,
            "worker_id": worker_id,
            "error": "its worker does not know of it",
        }

        async def change(connection: Connection, owed: OwedForm) -> bool:
            if not await connection.execute(self._queries["give_back"], params):
                return False
            await connection.execute(self._queries["attempt_lost"], lost)
            if status.terminal:
                await self._owe_callback(connection, row, owed)
            return True

        return await callback_forms.until_storable(
            row.task_id, lambda owed: self._database.transact(lambda connection: change(connection, owed))
        )

    async def _owe_callback(self, connection: Connection, held: HeldRow, owed: OwedForm) -> None:
        (stored,) = await connection.fetch(self._queries["row_locked"], {"id": held.task_id})
        row = records.row(stored)
        end = lifecycle.cancel(row)
        for query, params in outbox.owe(
            self._queries, self._queue, row.callback, held.task_id, held.attempt, end, self._clock.now(), owed
        ):
            await connection.execute(query, params)

    async def overdue(self, *, judge_others: bool, limit: int = 100) -> list[Message]:
        """Wake-ups for tasks of this queue that nobody brought back in time, or (`judge_others`) whose worker died.

        Each row's next check is moved, at doubling gaps, before its wake-up is returned: a backlog is not woken again
        and again, and several sidecars share the work. A row that cannot be read is told, and looked at again in a day.
        """
        found: list[_Overdue] = []
        for query in ("overdue_waiting", "overdue_orphaned") if judge_others else ("overdue_waiting",):
            found += await self._quarantine.passing(partial(self._overdue, query, limit))
        for row in found:
            if row.problem:
                telemetry.error(
                    "a task cannot be brought back: its row cannot be read",
                    task_id=row.task_id,
                    error=row.problem,
                    hint="mend body and headers (NULL: none) in its row, or send its message again; it is looked at "
                    "again in a day, or when next_check_at is set to now",
                )
        return [row.message for row in found if row.message is not None]

    async def _overdue(self, query: str, limit: int, ask: Ask) -> list[_Overdue]:
        async def collect(connection: Connection) -> list[_Overdue]:
            found = []
            asked = {"limit": limit, "queue": self._queue, "aside": ask.aside}
            for row in await connection.fetch(self._queries[query], asked):
                ask.looking_at(row["id"], task_id=row["id"])
                overdue = _Overdue.of(row)
                gap = UNREADABLE_GAP if overdue.problem else next_check(float(row["late"] or 0))
                await connection.execute(self._queries["postpone"], {"id": row["id"], "gap": gap})
                found.append(overdue)
            return found

        return await self._database.transact(collect)


class _Overdue(Struct, frozen=True):
    """A row that is due, and the message that brings its task back; or why there is none."""

    task_id: str
    message: Message | None
    problem: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _Overdue:
        try:
            return cls(row["id"], records.wake_up(row))
        except RowRejected as error:
            return cls(row["id"], None, str(error))
