"""Tasks that share a process, and suspects, which get one to themselves."""

from __future__ import annotations

import asyncio
import random

from gridsidecar.clock import Clock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Handler, Stop, own_processes_of
from gridsidecar.handler.attempt_output import OnProgress
from gridsidecar.handler.capture import LogText
from gridsidecar.handler.process_pool import ProcessPool
from gridsidecar.rules.isolation import is_suspect
from gridsidecar.rules.task import Claim, Ended


def make_persistent(name: str, settings: HandlerSettings, clock: Clock, rng: random.Random, width: int) -> Handler:
    """`width`: most tasks at the same time."""
    concurrency = min(settings.persistent.concurrency, width)
    if concurrency == 1:
        return ProcessPool(name, settings, clock, rng, width)
    shared = ProcessPool(
        name, settings, clock, rng, min(settings.persistent.processes or width, width), concurrency=concurrency
    )
    isolated = ProcessPool(name, settings, clock, rng, own_processes_of(settings, width), stays=False)
    return IsolatingHandler(shared, isolated)


class IsolatingHandler:
    """Two pools: in one tasks share processes, in the other each suspect has its own."""

    def __init__(self, shared: ProcessPool, isolated: ProcessPool) -> None:
        self._shared = shared
        self._isolated = isolated

    def cannot_start(self) -> str | None:
        """See the seam."""
        return self._shared.cannot_start()

    def start(self) -> None:
        """See the seam."""
        self._shared.start()

    async def run(self, claim: Claim, on_progress: OnProgress, stop: Stop, log: LogText | None = None) -> Ended:
        """See the seam."""
        pool = self._isolated if is_suspect(claim.crashes) else self._shared
        return await pool.run(claim, on_progress, stop, log)

    async def close(self, cut_short: asyncio.Event) -> None:
        """See the seam."""
        await asyncio.gather(self._shared.close(cut_short), self._isolated.close(cut_short))
