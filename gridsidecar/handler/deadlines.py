"""The times by which an attempt must be over, or be heard of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gridsidecar.handler.outcome import Cause


class Deadlines:
    """When a timeout is over, or after a silence of `stall` seconds, `start` has somebody called. 0 is no limit."""

    def __init__(self, timeout: float, stall: float) -> None:
        self.timeout = timeout
        self.stall = stall
        self._loop = asyncio.get_running_loop()
        self._timers: dict[Cause, asyncio.TimerHandle] = {}
        self._heard_at = 0.0  # loop time

    def start(self, end_for: Callable[[Cause], None]) -> None:
        if self.timeout:
            self._timers[Cause.TIMEOUT] = self._loop.call_later(self.timeout, end_for, Cause.TIMEOUT)
        if self.stall:
            self.heard()
            self._check_stall(end_for)

    def heard(self) -> None:
        """The handler gave a sign of life."""
        self._heard_at = self._loop.time()

    def clear(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _check_stall(self, end_for: Callable[[Cause], None]) -> None:
        left = self._heard_at + self.stall - self._loop.time()
        if left <= 0:
            end_for(Cause.STALL)
        else:
            self._timers[Cause.STALL] = self._loop.call_later(left, self._check_stall, end_for)
