"""Tasks that share a process, and those that may have brought one down, which get one to themselves."""

from __future__ import annotations

import asyncio
import random

from gridsidecar.clock import Clock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Handler, Stop, own_processes_of
from gridsidecar.handler.attempt_output import OnProgress
from gridsidecar.handler.capture import LogText
from gridsidecar.handler.process_pool import ProcessPool
from gridsidecar.rules.task import Claim, Ended


def make_persistent(name: str, settings: HandlerSettings, clock: Clock, rng: random.Random, width: int) -> Handler:
    """`width`: most tasks at the same time."""
    concurrency = min(settings.persistent.concurrency, width)
    if concurrency == 1:
        return ProcessPool(name, settings, clock, rng, width)
    together = ProcessPool(
        name, settings, clock, rng, min(settings.persistent.processes or width, width), concurrency=concurrency
    )
    for_suspects = ProcessPool(name, settings, clock, rng, own_processes_of(settings, width), stays=False)
    return SharedHandler(together, for_suspects)


class SharedHandler:
    """A task with a crash to its name runs alone: if it was the one, it fails by itself and takes nobody with it."""

    def __init__(self, together: ProcessPool, for_suspects: ProcessPool) -> None:
        self._together = together
        self._for_suspects = for_suspects

    def cannot_start(self) -> str | None:
        """See the seam."""
        return self._together.cannot_start()

    def start(self) -> None:
        """See the seam."""
        self._together.start()

    async def run(self, claim: Claim, on_progress: OnProgress, stop: Stop, log: LogText | None = None) -> Ended:
        """See the seam."""
        pool = self._for_suspects if claim.crashes else self._together
        return await pool.run(claim, on_progress, stop, log)

    async def close(self, cut_short: asyncio.Event) -> None:
        """See the seam."""
        await asyncio.gather(self._together.close(cut_short), self._for_suspects.close(cut_short))
