"""What one worker process counts: it hears what happens to tasks, and looks at the rest when it is asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping

from gridsidecar import telemetry
from gridsidecar.metrics import families
from gridsidecar.metrics.tally import Series, Tally
from gridsidecar.rules.task import ErrorType, Status, TaskUpdate
from gridsidecar.runtime.health import Health, readyz

_OURS = frozenset(ErrorType)
_PAGE = os.sysconf("SC_PAGE_SIZE")


class OwnFigures:
    """What every process has: those of the system, and what its telemetry has heard."""

    def __init__(self, queue: str, lag: Callable[[], float]) -> None:
        """`lag` is that of the event loop, in seconds."""
        self.tally = Tally()
        self._queue = queue
        self._lag = lag

    def series(self) -> Series:
        """As of now."""
        self.sample()
        return self.tally.series

    def sample(self) -> None:
        tally, counts = self.tally, telemetry.counts
        tally.set(families.DEAD_LETTERS, self._queue, to=counts["dead letters"])
        tally.set(families.ORPHANS, to=counts["orphans reaped"])
        for server in ("broker", "store"):
            tally.set(families.RECONNECTS, server, to=counts[f"reconnects to {server}"])
        tally.set(families.LAG, to=round(self._lag(), 3))
        tally.set(families.CPU, to=round(time.process_time(), 2))
        with open("/proc/self/statm", "rb") as file:
            tally.set(families.MEMORY, to=int(file.read().split()[1]) * _PAGE)


class WorkerFigures(OwnFigures):
    """Those of a process that runs tasks."""

    def __init__(
        self,
        queue: str,
        handlers: Collection[str],
        *,
        slots: int,
        running: Callable[[], Mapping[str, int]],
        lag: Callable[[], float],
        health: Callable[[], Health],
    ) -> None:
        """`running` is by handler."""
        super().__init__(queue, lag)
        self._handlers = frozenset(handlers)
        self._others = "default" if "default" in handlers else "none"
        self._slots = slots
        self._running = running
        self._health = health

    def hear(self, update: TaskUpdate) -> None:
        """Something happened to a task."""
        tally, labels = self.tally, (self._queue, self._handler(update.task_type))
        report = update.report
        if report is not None:
            tally.add(families.ATTEMPTS, *labels, update.outcome or update.status)
            if update.waited is not None:
                tally.observe(families.WAIT, update.waited, *labels)
                tally.observe(families.DURATION, report.duration_s, *labels)
            if report.spawn_s is not None:
                tally.observe(families.SPAWN, report.spawn_s, *labels)
        if update.status.terminal:
            tally.add(families.ENDED, *labels, update.status, _error_class(update))
        elif update.status is Status.RETRYING:
            tally.add(families.RETRIES, *labels)

    def _handler(self, task_type: str) -> str:
        """The configured one: what producers write could be anything."""
        return task_type if task_type in self._handlers else self._others

    def sample(self) -> None:
        super().sample()
        tally = self.tally
        for handler, running in self._running().items():
            tally.set(families.RUNNING, self._queue, handler, to=running)
        tally.set(families.SLOTS, self._queue, to=self._slots)
        reasons = readyz(self._health())[1]
        for (reason,) in tally.labels_of(families.NOT_READY):
            tally.set(families.NOT_READY, reason, to=int(reason in reasons))
        for reason in reasons:
            tally.set(families.NOT_READY, reason, to=1)


def _error_class(update: TaskUpdate) -> str:
    """A name of ours; what handlers call their errors could be anything."""
    if update.error_type is None:
        return ""
    return str(update.error_type) if update.error_type in _OURS else "handler"
