"""Counts what ends, by the minute, and writes that down once a minute, beside the tasks' own writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct, field

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.rules.task import TaskUpdate
from gridsidecar.store import RowRejected, records
from gridsidecar.store.histogram import bound_of
from gridsidecar.store.minutes import AT_ONCE, Cell, Minutes, Total, minute_of

WRITE_EVERY = 60.0  # seconds
KEPT_MINUTES = 60  # that wait for a database that does not take them; then the oldest go
MOST_TYPES = 50  # of tasks in a minute
MOST_ERRORS = 20  # of a type in a minute
OTHER = "other"  # what the rest counts as
LONGEST_TYPE, LONGEST_ERROR = 100, 255  # characters
LAST_WRITE = 2.0  # seconds that leaving waits for it


class _Minute(Struct):
    """Of one minute: the counts, and which names have one of their own."""

    cells: dict[Cell, Total] = field(default_factory=dict)
    errors: dict[str, set[str]] = field(default_factory=dict)  # of each type

    def names(self, task_type: str, error: str) -> tuple[str, str]:
        """Those under which these are counted."""
        if task_type not in self.errors and len(self.errors) >= MOST_TYPES:
            task_type = OTHER
        known = self.errors.setdefault(task_type, set())
        if error and error not in known and len(known) >= MOST_ERRORS:
            return task_type, OTHER
        if error:
            known.add(error)
        return task_type, error


class MinuteCounters:
    """The counts of this process that are not written yet. A worker that is killed takes them with it."""

    def __init__(self, store: Minutes, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._minutes: dict[int, _Minute] = {}
        self._writing = asyncio.Lock()
        self._rejected = False

    def hear(self, update: TaskUpdate) -> None:
        """Something happened to a task."""
        number = minute_of(self._clock.now())
        minute = self._minutes.get(number)
        if minute is None:
            minute = self._minutes[number] = _Minute()
            self._forget_oldest()
        error = update.last_error_type or update.error_type or ""  # what it was that exhausted the retries
        task_type, error = minute.names(_short(update.task_type, LONGEST_TYPE), _short(error, LONGEST_ERROR))
        report = update.report
        seconds, up_to = (0.0, 0) if report is None else (report.duration_s, bound_of(report.duration_s))
        _add_to(minute.cells, Cell(number, task_type, update.status.value, error, up_to), 1, seconds)

    async def write(self) -> None:
        """Add all of it to the store's counters. What the database does not take now is kept for the next time."""
        async with self._writing:
            minutes, self._minutes = self._minutes, {}
            cells = [one for minute in minutes.values() for one in minute.cells.items()]
            written = 0
            try:
                while written < len(cells):
                    await self._add(cells[written : written + AT_ONCE])
                    written += AT_ONCE
            except StoreUnavailable:  # the others tell of it
                pass
            finally:
                self._keep(cells[written:])

    async def close(self) -> None:
        """The last time, within a moment: these are only figures."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WRITE):
                await self.write()

    async def _add(self, some: Sequence[tuple[Cell, Total]]) -> None:
        """What the database refuses would be refused again."""
        try:
            await self._store.add(some)
            self._rejected = False
        except (RowRejected, AccessRefused) as error:
            if not self._rejected:
                telemetry.warning("the database refuses the minute counters", reason=str(error))
            self._rejected = True

    def _keep(self, cells: Sequence[tuple[Cell, Total]]) -> None:
        """Back to what was counted meanwhile."""
        for cell, counted in cells:
            minute = self._minutes.setdefault(cell.minute, _Minute())
            minute.names(cell.task_type, cell.error)
            _add_to(minute.cells, cell, counted.n, counted.seconds)
        self._forget_oldest()

    def _forget_oldest(self) -> None:
        for number in sorted(self._minutes)[:-KEPT_MINUTES]:
            del self._minutes[number]


def _add_to(cells: dict[Cell, Total], cell: Cell, n: int, seconds: float) -> None:
    counted = cells.get(cell)
    if counted is None:
        counted = cells[cell] = Total()
    counted.n += n
    counted.seconds += seconds


def _short(text: str, longest: int) -> str:
    """Plain text, whatever names an error."""
    return str(text) if text.isascii() and len(text) <= longest else records.storable(text)[:longest]
