"""The handler seam: one attempt of a user's command, from its JSON on stdin to how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

from gridsidecar.clock import Clock
from gridsidecar.config.settings import HandlerSettings
from gridsidecar.task import Claim, Ended, Progress


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
        self._changed = asyncio.Event()

    def request(self, reason: StopReason) -> None:
        """SIGTERM now, SIGKILL after the handler's `kill_grace`."""
        if self.reason is None:
            self.reason = reason
        self._changed.set()

    def hurry(self) -> None:
        """SIGKILL now, if a stop was requested."""
        self.hurried = True
        self._changed.set()

    async def changed(self) -> None:
        """Wait until a stop is requested or hurried; returns at once for every change not yet seen."""
        await self._changed.wait()
        self._changed.clear()


class Handler(Protocol):
    """What can run an attempt."""

    def cannot_start(self) -> str | None:
        """None when the command is there and executable, else one sentence: what is wrong and what to do."""
        ...

    async def run(self, claim: Claim, on_progress: Callable[[Progress], None], stop: Stop) -> Ended:
        """Run the command once for this claim. Never raises for what the command does; every end is an outcome.

        `on_progress` is called for each progress event, as often as the handler sends one, and must not block.
        """
        ...


def make_handlers(settings: Mapping[str, HandlerSettings], clock: Clock) -> dict[str, Handler]:
    """A handler for each task type that the configuration names. Nothing is started."""
    from gridsidecar.handler.oneshot import OneshotHandler

    return {name: OneshotHandler(name, handler, clock) for name, handler in settings.items()}
