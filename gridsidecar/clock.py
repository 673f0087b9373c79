"""Time and chance. Everything that waits, dates or draws lots takes one of these as an argument."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """Wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, and that go on while the machine sleeps, as those of other machines do."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def system_random() -> random.Random:
    """Chance for jitter; nothing secret is drawn from it."""
    return random.Random()


def backoff(failures: int, *, base: float, limit: float, rng: random.Random) -> float:
    """Seconds to wait after this many failures in a row: `base`, doubling, at most `limit`, each ± 25 %."""
    return min(limit, base * 2.0 ** min(failures - 1, 30)) * rng.uniform(0.75, 1.25)
