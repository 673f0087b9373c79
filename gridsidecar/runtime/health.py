"""How a process is: what in it only a restart can cure, and what keeps it from taking tasks now."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct, field

from gridsidecar import telemetry

OK, UNAVAILABLE = 200, 503
MOST_REASONS = 10  # told to the supervisor, of each kind
LONGEST_REASON = 300  # characters

Reasons = Mapping[str, str]  # by part


class Health(Struct, frozen=True):
    """A moment's view. A server that is away breaks nothing here: it comes back without a restart."""

    broken: Reasons = field(default_factory=dict)
    not_ready: Reasons = field(default_factory=dict)

    def brief(self) -> Health:
        """What of it fits into one message."""
        return Health(_cut(self.broken), _cut(self.not_ready))


def in_words(reasons: Reasons) -> list[str]:
    """A line for each; one of a handler names it already."""
    return [reason if reason.startswith("handler ") else f"{part}: {reason}" for part, reason in reasons.items()]


def livez(health: Health) -> tuple[int, str]:
    """Status and text of an answer to a liveness probe."""
    if health.broken:
        return UNAVAILABLE, "\n".join(in_words(health.broken))
    return OK, "alive"


def readyz(health: Health) -> tuple[int, Reasons]:
    """Status of an answer to a readiness probe, and its reasons by part."""
    reasons = {**health.not_ready, **health.broken}
    return (UNAVAILABLE if reasons else OK), reasons


def of_all(processes: Iterable[Health], own: Reasons) -> Health:
    """Several processes as one: ready where one of them is. `own` is what is broken in their supervisor; what is broken
    in one of them is not: that one is replaced."""
    several = list(processes)
    if any(readyz(each)[0] == OK for each in several):
        return Health(own, {})
    reasons = {part: reason for each in reversed(several) for part, reason in readyz(each)[1].items()}
    return Health(own, reasons or {"worker": "no process is there yet"})


class Vitals:
    """The loops that a process lives by. Whoever starts one cancels it; one that ends otherwise is missed."""

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}

    def start(self, part: str, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(loop)
        task.add_done_callback(partial(self._ended, part))
        return task

    def _ended(self, part: str, task: asyncio.Task[None]) -> None:
        if task.cancelling():
            return
        # A client of a server may end what waits for it by a cancellation that nobody here asked for.
        error = asyncio.CancelledError("cancelled by nobody here") if task.cancelled() else task.exception()
        if error is not None:
            telemetry.died(part, error)
            self.broken[part] = f"died of {type(error).__name__}: {error}; only a restart brings it back"


def _cut(reasons: Reasons) -> Reasons:
    return {part: reason[:LONGEST_REASON] for part, reason in list(reasons.items())[:MOST_REASONS]}
