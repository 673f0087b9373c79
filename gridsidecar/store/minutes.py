"""What ended, by the minute: added to by workers, read for charts, figures and percentiles, kept for a week."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from gridsidecar.clock import Clock
from gridsidecar.rules.task import Status
from gridsidecar.store.database import Database
from gridsidecar.store.histogram import Histogram
from gridsidecar.store.queries import Query

KEPT = timedelta(days=8)
AT_ONCE = 200  # rows in one transaction
_GROUPS = " GROUP BY "


class Cell(Struct, frozen=True, order=True):
    """What is counted together: `error` is empty where there is none, `up_to` is a bound in milliseconds, 0 where the
    task ended without an attempt."""

    minute: int  # since 1970, UTC
    task_type: str
    outcome: str
    error: str
    up_to: int


class Total(Struct):
    """How many, and how many seconds their attempts took together."""

    n: int = 0
    seconds: float = 0.0


class MinuteTally(Struct, frozen=True, kw_only=True):
    """Ends of attempts of one type, with one outcome and one error. Those without an attempt are in `count` alone."""

    task_type: str
    outcome: Status
    error_type: str | None
    count: int
    seconds: float  # of all their attempts together
    histogram: Histogram


class Point(Struct, frozen=True, kw_only=True):
    """The same of all types, for the time from `at` until the next point."""

    at: datetime
    outcome: Status
    count: int
    seconds: float
    histogram: Histogram


class Minutes:
    """The counters of one queue are written, those of all can be read. Raises `StoreUnavailable`.

    They are figures, not the truth about any task: what a worker counted in the minute before it was killed is missing,
    what was written as the connection broke may be there twice, and a task that people cancel while it waits is counted
    when a worker tells of it.
    """

    def __init__(self, database: Database, queries: Mapping[str, Query], queue: str, clock: Clock) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue
        self._clock = clock

    async def add(self, counted: Iterable[tuple[Cell, Total]]) -> None:
        """Add to what others have counted. The order of the cells, by which they are locked, is that of all workers."""
        await self._database.batch([(self._queries["count_minute"], self._row(*one)) for one in sorted_cells(counted)])

    def _row(self, cell: Cell, counted: Total) -> dict[str, Any]:
        return {
            "minute": cell.minute,
            "queue": self._queue,
            "task_type": cell.task_type,
            "outcome": cell.outcome,
            "error_type": cell.error,
            "bound": cell.up_to,
            "n": counted.n,
            "seconds": round(counted.seconds, 3),
        }

    async def between(
        self, since: datetime, until: datetime, *, queue: str | None = None, task_type: str | None = None
    ) -> list[MinuteTally]:
        """What ended in these minutes, the most frequent first; of all queues and types, or of one."""
        found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
        for row in await self._fetch("minutes_between", since, until, queue, task_type):
            found.setdefault((row["task_type"], row["outcome"], row["error_type"]), []).append(row)
        tallies = [
            MinuteTally(task_type=task_type, outcome=Status(outcome), error_type=error or None, **_sums(rows))
            for (task_type, outcome, error), rows in found.items()
        ]
        return sorted(tallies, key=lambda tally: (-tally.count, tally.task_type, tally.outcome, tally.error_type or ""))

    async def series(
        self,
        since: datetime,
        until: datetime,
        step: timedelta,
        *,
        queue: str | None = None,
        task_type: str | None = None,
    ) -> list[Point]:
        """The same over time, in steps of whole minutes: the oldest first, without those in which nothing ended."""
        found: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
        minutes = max(1, round(step / timedelta(minutes=1)))
        for row in await self._fetch("minutes_series", since, until, queue, task_type, step=minutes):
            found.setdefault((int(row["at"]), row["outcome"]), []).append(row)
        return [
            Point(at=datetime.fromtimestamp(at * 60, UTC), outcome=Status(outcome), **_sums(rows))
            for (at, outcome), rows in sorted(found.items())
        ]

    async def _fetch(
        self, name: str, since: datetime, until: datetime, queue: str | None, task_type: str | None, step: int = 1
    ) -> list[dict[str, Any]]:
        query = narrowed(self._queries[name], queue=queue is not None, task_type=task_type is not None)
        params = {
            "since": minute_of(since),
            "until": -int(-until.timestamp() // 60),
            "step": step,
            "queue": queue,
            "task_type": task_type,
        }
        return await self._database.fetch(query, params)

    async def prune(self) -> int:
        """Forget some of what is too old; how many rows went."""
        params = {"before": minute_of(self._clock.now() - KEPT), "limit": AT_ONCE}
        (gone,) = await self._database.batch([(self._queries["prune_minutes"], params)])
        return gone


def sorted_cells(counted: Iterable[tuple[Cell, Total]]) -> list[tuple[Cell, Total]]:
    return sorted(counted, key=lambda one: one[0])


def narrowed(query: Query, *, queue: bool, task_type: bool) -> Query:
    """Only what is asked for, as in every question: a condition that may be empty hides what it is about."""
    conditions = [" AND queue = :queue"] * queue + [" AND task_type = :task_type"] * task_type
    return Query.of(query.name, query.text.replace(_GROUPS, "".join(conditions) + _GROUPS))


def minute_of(moment: datetime) -> int:
    return int(moment.timestamp() // 60)


def _sums(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {int(row["up_to_ms"]): int(row["n"]) for row in rows}
    return {
        "count": sum(counts.values()),
        "seconds": round(sum(float(row["seconds"]) for row in rows), 3),
        "histogram": Histogram({bound: count for bound, count in counts.items() if bound}),
    }
