"""The times by which an attempt must be over, or be heard of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gridsidecar.handler.outcome import Cause


class Deadlines:
    """Calls `end_for` when the timeout is over, or after a silence of `stall` seconds. 0 is no limit."""

    def __init__(self, timeout: float, stall: float, end_for: Callable[[Cause], None]) -> None:
        self.timeout = timeout
        self.stall = stall
        self._end_for = end_for
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Cause, asyncio.TimerHandle] = {}
        self._heard_at = 0.0  # loop time

    def start(self) -> None:
        if self.timeout:
            self._timers[Cause.TIMEOUT] = self._loop.call_later(self.timeout, self._end_for, Cause.TIMEOUT)
        if self.stall:
            self.heard()
            self._check_stall()

    def heard(self) -> None:
        """The handler gave a sign of life."""
        self._heard_at = self._loop.time()

    def clear(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _check_stall(self) -> None:
        left = self._heard_at + self.stall - self._loop.time()
        if left <= 0:
            self._end_for(Cause.STALL)
        else:
            self._timers[Cause.STALL] = self._loop.call_later(left, self._check_stall)
