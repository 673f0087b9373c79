"""Named points after each side effect, where this project's own tests kill, pause or break a sidecar.

`GRIDSIDECAR_FAILPOINTS="committed:kill, acked:pause=2.5@3"` kills it at the first commit, or lets what was acked third
wait for 2.5 seconds. Only the tests' own launcher obeys the variable; `gridsidecar run` refuses to start with it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct

from gridsidecar.clock import SystemClock
from gridsidecar.errors import UsageError

VARIABLE = "GRIDSIDECAR_FAILPOINTS"
POINTS = (
    # a delivery that starts an attempt, in its order
    "claimed",
    "spawned",
    "exited",
    "committed",
    "delay_published",
    "scheduled",
    "acked",
    "requeued",
    # a delivery that does not
    "reattached",
    "republished",
    "dead_lettered",
    "refusal_recorded",
    # the heartbeat, and what maintenance does
    "maintained",
    "lease_renewed",
    "row_returned",
    "hand_off_marked",
    "handed_off",
    "next_check_moved",
    "wake_up_published",
    # a type that is paused
    "parked",
    "released",
    "probe_taken",
    # cancel and retry of many
    "operation_stepped",
    # a producer that writes the row first
    "row_written",
    "task_published",
    # callbacks
    "callback_claimed",
    "callback_sent",
    "callback_cleared",
    # leaving
    "draining",
    "drained",
)


class FailpointHit(Exception):
    """What a failpoint raises: an error that no rule covers."""


class Kill(Struct, frozen=True):
    """SIGKILL to this process."""


class Sleep(Struct, frozen=True):
    """Whoever comes here waits; everything else goes on."""

    seconds: float


class Raise(Struct, frozen=True):
    """`FailpointHit`."""


Action = Kill | Sleep | Raise


class Failpoint(Struct):
    """An action, and how many times the point is passed before it happens, once."""

    action: Action
    passes_left: int


_armed: dict[str, Failpoint] = {}
armed_as = ""  # the specification, for the process that is to break in this one's place


async def reached(point: str) -> None:
    """A side effect has happened. Does nothing unless a test armed this point."""
    if _armed:
        await _act(point)


def arm(specification: str) -> None:
    """Set the points of `name:kill|pause=SECONDS|raise[@N]`, separated by commas. Raises `UsageError`."""
    global armed_as
    armed_as = specification
    for part in filter(None, (part.strip() for part in specification.split(","))):
        name, _, rest = part.partition(":")
        action, _, nth = rest.partition("@")
        if name not in POINTS:
            raise UsageError(f"{VARIABLE}: no failpoint {name!r}; known are {', '.join(POINTS)}")
        try:
            _armed[name] = Failpoint(_action(action), int(nth or 1) - 1)
        except ValueError:
            raise UsageError(
                f"{VARIABLE}: {part!r} is not name:kill, name:pause=SECONDS or name:raise, with @N"
            ) from None


def refuse(environ: Mapping[str, str]) -> None:
    """`UsageError` where somebody tries to arm failpoints outside the tests."""
    if environ.get(VARIABLE):
        raise UsageError(f"{VARIABLE} is set, which breaks a sidecar on purpose: it is for its own tests; unset it")


def _action(text: str) -> Action:
    match text.partition("="):
        case ("kill", "", ""):
            return Kill()
        case ("raise", "", ""):
            return Raise()
        case ("pause", "=", seconds):
            return Sleep(float(seconds))
    raise ValueError(text)


async def _act(point: str) -> None:
    failpoint = _armed.get(point)
    if failpoint is None:
        return
    if failpoint.passes_left:
        failpoint.passes_left -= 1
        return
    del _armed[point]
    os.write(2, f"failpoint reached  point={point}\n".encode())  # now: a line of the log would die with its thread
    match failpoint.action:
        case Kill():
            os.kill(os.getpid(), signal.SIGKILL)
        case Sleep(seconds):
            await SystemClock().sleep(seconds)
        case Raise():
            raise FailpointHit(point)
        case _:
            assert_never(failpoint.action)
