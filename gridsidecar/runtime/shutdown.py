"""How a run ends: a reason to leave, then one phase after the other, each with a limit, until nothing is in hand."""

from __future__ import annotations

import asyncio
import math
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings

CLOSE_LIMIT = 5.0  # seconds for the last notices, for the lease's goodbye, and for callbacks when a signal ends us
KILL_MARGIN = 15.0  # seconds beyond a handler's kill grace for its drain, its last write and its message


def longest_exit(settings: Settings) -> int:
    """Seconds from SIGTERM to the end, at the very worst."""
    kill_grace = max(handler.kill_grace for handler in settings.handlers.values())
    drain = settings.worker.shutdown_grace + kill_grace + KILL_MARGIN / 3 + KILL_MARGIN
    hooks = sum(settings.hooks.timeout for hook in (settings.hooks.on_task_end, settings.hooks.on_shutdown) if hook)
    return math.ceil(2 * CLOSE_LIMIT + drain + hooks)


class Phase(IntEnum):
    """How far a run is on its way out. It only ever grows."""

    SERVING = 0
    FINISHING = 1  # no more deliveries are asked for; those in hand, or on their way to us, are work like any other
    LEAVING = 2  # nothing starts any more; what runs may come to its end
    INTERRUPTING = 3  # what runs is asked to end, and killed after its grace
    KILLING = 4  # what still runs is killed; no server is waited for any more
    LEFT = 5  # all is settled, or let go of


class Crew(Protocol):
    """Who does the work, as seen by who ends it."""

    async def drained(self) -> None:
        """Return when nothing is in hand."""
        ...

    def requeue_waiting(self) -> None: ...

    def interrupt(self) -> None: ...

    def kill(self) -> None: ...

    async def abandon(self) -> None:
        """Let go of whatever is left."""
        ...


class Shutdown:
    """The reason to leave, whether somebody wants that or even hurries us, and the phase."""

    def __init__(self) -> None:
        self.phase = Phase.SERVING
        self.why = ""
        self.finishes_work = False  # we leave because the work is done: what still arrives is work, too
        self.requested = asyncio.Event()  # there is a reason to leave, by our own rules or because somebody wants it
        self.hurry = asyncio.Event()  # a second signal came
        self._demanded = asyncio.Event()  # a first one came, or word from our supervisor

    def request(self, why: str, *, finishes_work: bool = False) -> None:
        """There is a reason to leave; the first one stands."""
        if not self.requested.is_set():
            self.why = why
            self.finishes_work = finishes_work
            self.requested.set()

    def demand(self, why: str, *, hurry: bool) -> None:
        """Somebody wants us to go, or (`hurry`) says so once more."""
        (self.hurry if hurry else self._demanded).set()
        self.request(why)

    @property
    def demanded(self) -> bool:
        """Whether somebody wants us to go."""
        return self._demanded.is_set()

    async def drain(self, crew: Crew, *, grace: float, kill_grace: float) -> None:
        """Through all phases. `grace` is for handlers to come to their end by themselves, `kill_grace` for those that
        were asked to, both in seconds; a second signal cuts either short."""
        drained = asyncio.create_task(crew.drained())
        if self.finishes_work:
            self._enter(Phase.FINISHING)
            await _first(drained, self._demanded)
        self._enter(Phase.LEAVING)
        crew.requeue_waiting()
        await _first(drained, self.hurry, grace)
        if not drained.done():
            self._enter(Phase.INTERRUPTING)
            crew.interrupt()
            self.hurry.clear()
            await _first(drained, self.hurry, kill_grace + KILL_MARGIN / 3)
        self._enter(Phase.KILLING)
        if not drained.done():
            crew.kill()
            await asyncio.wait({drained}, timeout=KILL_MARGIN)
        if not drained.done():
            await crew.abandon()
        await drained
        self._enter(Phase.LEFT)

    def _enter(self, phase: Phase) -> None:
        assert phase > self.phase
        self.phase = phase


async def _first(drained: asyncio.Task[None], cut_short: asyncio.Event, seconds: float | None = None) -> None:
    """Until drained, or until the event, for so many seconds at most."""
    cutting = asyncio.create_task(cut_short.wait())
    await asyncio.wait({drained, cutting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    cutting.cancel()
