"""How long no process is started where one after the other crashes."""

from __future__ import annotations

import asyncio
import random

from gridsidecar.clock import Clock, backoff

FIRST_PAUSE = 0.1  # seconds before a start, after two crashes in a row without a finished task between them
LONGEST_PAUSE = 5.0


class CrashBackoff:
    """Of all processes of a pool."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._waiting: set[asyncio.Task[None]] = set()
        self.crashes = 0  # in a row, without a finished task between them

    async def wait(self) -> None:
        """Let time pass before the next start."""
        if self.crashes < 2:
            return
        starter = asyncio.current_task()
        assert starter is not None
        self._waiting.add(starter)
        try:
            pause = backoff(self.crashes - 1, base=FIRST_PAUSE, limit=LONGEST_PAUSE, rng=self._rng)
            await self._clock.sleep(pause)
        finally:
            self._waiting.discard(starter)

    def cancel(self) -> None:
        """Nothing starts any more: whoever waits here is cancelled."""
        for starter in self._waiting:
            starter.cancel()
