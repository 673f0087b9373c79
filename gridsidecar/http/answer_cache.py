"""Figures that take a while: read once for all who ask, and never so often that reading them is what we do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from gridsidecar.clock import Clock

MOST = 64  # figures that are kept
SHARE = 20  # of a connection's time, at most one in so many goes into one of them
OF_SPAN = 1440  # figures of a day may be a minute old
LONGEST = 300.0  # seconds


class _Figure:
    def __init__(self) -> None:
        self.reading = asyncio.Lock()
        self.until = float("-inf")
        self.value: Any = None


class AnswerCache:
    """Values by what was asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._figures: dict[str, _Figure] = {}

    async def get(self, name: str, max_age: float, read: Callable[[], Awaitable[Any]]) -> Any:
        """What `read` gave within the last `max_age` seconds; longer where it takes long."""
        figure = self._figures.pop(name, None) or _Figure()
        self._figures[name] = figure
        if len(self._figures) > MOST:
            self._figures.pop(next(iter(self._figures)))
        async with figure.reading:
            began = self._clock.monotonic()
            if began > figure.until:
                figure.value = await read()
                ended = self._clock.monotonic()
                figure.until = ended + max(max_age, (ended - began) * SHARE)
            return figure.value

    def drop(self) -> None:
        """Somebody has changed something: what was read before, or is being read just now, holds no more."""
        self._figures.clear()


def max_age_of(span: timedelta) -> float:
    """Seconds for which figures of so long a time are good."""
    return min(LONGEST, span.total_seconds() / OF_SPAN)
