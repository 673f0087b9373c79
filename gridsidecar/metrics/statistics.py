"""Figures of this run: what ended how, and what is left; a line now and then, and at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.errors import GridSidecarError
from gridsidecar.rules.task import Status, TaskUpdate
from gridsidecar.runtime.health import Vitals

BACKLOG_LIMIT = 1.0  # seconds for the broker to say what is left


class Statistics:
    """Counts updates. `interval` is in seconds, 0 = a line at the end only; `left` is the broker's ready count."""

    def __init__(
        self, clock: Clock, interval: float, running: Callable[[], int], left: Callable[[], Awaitable[int]]
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._running = running
        self._left = left
        self.counts: Counter[Status] = Counter()
        self._started = clock.monotonic()
        self._told_at, self._told_ended = self._started, 0  # the line before
        self._loop: asyncio.Task[None] | None = None

    def hear(self, update: TaskUpdate) -> None:
        """Something happened to a task."""
        self.counts[update.status] += 1

    def start(self, vitals: Vitals) -> None:
        if self._interval:
            self._loop = vitals.start("statistics", self._tell_regularly())

    async def stop(self) -> None:
        """A last line, with the pace of the whole run."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        self._told_at, self._told_ended = self._started, 0
        await self._tell()

    async def _tell_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._interval)
            await self._tell()

    async def _tell(self) -> None:
        left = await self.left()
        now, ended = self._clock.monotonic(), self._ended
        telemetry.info(
            "statistics",
            done=self.counts[Status.SUCCESS],
            failed=self.counts[Status.FAILED],
            retried=self.counts[Status.RETRYING],
            cancelled=self.counts[Status.CANCELLED],
            given_back=self.counts[Status.PENDING] or None,
            running=self._running(),
            left=left,
            per_minute=_per_minute(ended - self._told_ended, now - self._told_at),
            uptime=round(now - self._started),
        )
        self._told_at, self._told_ended = now, ended

    @property
    def _ended(self) -> int:
        return sum(count for status, count in self.counts.items() if status.terminal)

    async def left(self) -> int | None:
        """Messages that wait in the queue; None when the broker does not say so in time."""
        try:
            async with asyncio.timeout(BACKLOG_LIMIT):
                return await self._left()
        except (GridSidecarError, TimeoutError):
            return None
        except Exception as error:  # figures are not worth a worker
            telemetry.unexpected_error(error)
            return None


def _per_minute(tasks: int, seconds: float) -> float:
    return round(60 * tasks / seconds, 1) if seconds > 0 else 0.0
