"""The handler seam: one attempt of a user's command, from its JSON on stdin to how it ended; and plain commands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, assert_never

from msgspec import Struct

from gridsidecar.clock import Clock, system_random
from gridsidecar.rules.isolation import own_processes
from gridsidecar.rules.task import Cancelled, Claim, Disowned, Ended, Interrupted, Outcome, Progress

if TYPE_CHECKING:
    from gridsidecar.config.handlers import HandlerSettings  # a supervisor needs our reaper, and no pydantic
    from gridsidecar.handler.capture import LogText
    from gridsidecar.handler.command import Command
    from gridsidecar.wire import Spliced


class StopReason(StrEnum):
    """Why a running attempt must end before its time."""

    CANCEL = "cancel"  # somebody asked for it: outcome Cancelled
    SHUTDOWN = "shutdown"  # we are leaving: outcome Interrupted
    DISOWNED = "disowned"  # the row is no longer ours: outcome Disowned


class Stop:
    """Asks one running attempt to end. The first reason stands; `hurry` skips the rest of its grace."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None
        self.hurried = False
        self._listener: Callable[[], None] | None = None

    def request(self, reason: StopReason) -> None:
        """SIGTERM now, SIGKILL after the handler's `kill_grace`."""
        if self.reason is None:
            self.reason = reason
        self._tell()

    def hurry(self) -> None:
        """SIGKILL now, if a stop was requested."""
        self.hurried = True
        self._tell()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` at each request; at once if there was one."""
        self._listener = listener
        if self.reason is not None:
            listener()

    def close(self) -> None:
        """The attempt is over: nobody is told any more."""
        self._listener = None

    def _tell(self) -> None:
        if self._listener is not None and self.reason is not None:
            self._listener()


def stopped_before_start(reason: StopReason) -> Outcome:
    """The outcome of an attempt that was stopped before its start."""
    match reason:
        case StopReason.CANCEL:
            return Cancelled()
        case StopReason.SHUTDOWN:
            return Interrupted()
        case StopReason.DISOWNED:
            return Disowned()
        case _:
            assert_never(reason)


class Handler(Protocol):
    """What can run an attempt."""

    def cannot_start(self) -> str | None:
        """None when the command is there and executable, else one sentence: what is wrong and what to do."""
        ...

    def start(self) -> None:
        """Get ready ahead of the first attempt, in the background; what goes wrong is told by that attempt, too."""
        ...

    async def close(self, cut_short: asyncio.Event) -> None:
        """No attempt will follow: end what waits for one, in good order until `cut_short` is set."""
        ...

    async def run(
        self, claim: Claim, on_progress: Callable[[Progress], None], stop: Stop, log: LogText | None = None
    ) -> Ended:
        """Run the command once for this claim. Never raises for what the command does; every end is an outcome.

        `on_progress` is called for each progress event, as often as the handler sends one, and must not block. What
        the command prints and logs is written into `log`, as it arrives.
        """
        ...


def timeout_of(claim: Claim, settings: HandlerSettings) -> float:
    """Seconds that an attempt may take; 0 is no limit. What the task says wins."""
    return settings.timeout if claim.task.timeout is None else claim.task.timeout


def width_of(settings: HandlerSettings, concurrency: int) -> int:
    """Attempts that run at the same time, in a worker of this concurrency."""
    width = min(settings.concurrency or concurrency, concurrency)
    if settings.mode == "persistent" and settings.persistent.processes:
        width = min(settings.persistent.processes * settings.persistent.concurrency, width)
    return width


def own_processes_of(settings: HandlerSettings, width: int) -> int:
    """How many suspects may run at the same time; 0 where no task ever shares a process."""
    shares = settings.mode == "http" or (settings.mode == "persistent" and settings.persistent.concurrency > 1)
    return own_processes(width) if shares else 0


def make_handlers(
    settings: Mapping[str, HandlerSettings],
    clock: Clock,
    *,
    concurrency: int = 1,
    rng: random.Random | None = None,
) -> dict[str, Handler]:
    """A handler for each task type that the configuration names. Nothing is started."""
    chance = rng or system_random()

    def make(name: str, handler: HandlerSettings) -> Handler:
        match handler.mode:
            case "oneshot":
                from gridsidecar.handler.oneshot import OneshotHandler

                return OneshotHandler(name, handler, clock)
            case "persistent":
                from gridsidecar.handler.isolation import make_persistent

                return make_persistent(name, handler, clock, chance, width_of(handler, concurrency))
            case "http":
                from gridsidecar.handler.http import HttpHandler

                return HttpHandler(name, handler, clock, chance)
            case _:
                assert_never(handler.mode)

    return {name: make(name, handler) for name, handler in settings.items()}


class CommandEnd(Struct, frozen=True, kw_only=True):
    """How a command that is no handler ended. All is well with exit code 0."""

    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False  # we ended it when its time was up
    stopped: bool = False  # we ended it because we were asked to, or did not even start it
    stderr_line: str = ""  # the last that it said there, or the one that names an error
    cannot_start: str | None = None  # one sentence: what is wrong and what to do


async def run_command(command: Command, stdin: bytes | Spliced, timeout: float, stop: Stop) -> CommandEnd:
    """Run a command that is no handler, for `timeout` seconds at most; its output is read and forgotten.

    Nothing that it started outlives it.
    """
    from gridsidecar.handler.run_command import run

    return await run(command, stdin, timeout, stop)
