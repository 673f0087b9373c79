"""What may keep a task that is due from its start, pure: the pause of its type, the rate of its handler."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar.rules import lifecycle
from gridsidecar.rules.rate import Rate
from gridsidecar.rules.reception import Begin, Claimant, Insert, Reception, Row
from gridsidecar.rules.task import Message, Status


class Flow(Struct, frozen=True):
    """`paused`: as far as this worker knows, the type may not start; the store looks again, under a lock."""

    paused: bool = False
    rate: Rate | None = None
    handler: str = ""  # whose rate it is


FREE = Flow()


class Pause(Struct, frozen=True, kw_only=True):
    """A task type that may not start now."""

    task_type: str
    since: str  # UTC text, as all stored times
    until: str | None = None  # None: until somebody resumes it
    expired: bool = False  # that time has come
    cool_down: float | None = None  # seconds; a breaker set it: one task is tried at its end. None: people did
    probe: str | None = None  # the task that a breaker lets through
    reason: str | None = None

    @property
    def lifted(self) -> bool:
        """What it parked is on its way back. A breaker's pause ends with a success alone."""
        return self.expired and self.cool_down is None

    @property
    def wants_probe(self) -> bool:
        return self.expired and self.cool_down is not None

    def stops(self, task_id: str) -> bool:
        """Whether it keeps this task from its start: one is let through to try."""
        return not self.lifted and task_id != self.probe


def is_due(status: str | None, due_in: float | None) -> bool:
    """Whether such a task would start now, were its type not paused. `due_in`: seconds."""
    return (status or Status.PENDING) in (Status.PENDING, Status.RETRYING) and not due_in


class BreakerChange(Struct, frozen=True, kw_only=True):
    """A breaker paused a type, or a success ended that."""

    task_type: str
    opened: bool
    failures: int = 0  # in a row
    cool_down: float = 0.0  # seconds
    error: str = ""  # the last one
    error_type: str | None = None


# -- what becomes of a start that is not to be ------------------------------------------------------------------------


class Park(Struct, frozen=True, kw_only=True):
    """Its type is paused: the row alone keeps the task, and no clock brings it back. `rescues`: its worker died."""

    crashes: int = 0
    rescues: bool = False


class Reserve(Struct, frozen=True, kw_only=True):
    """A start is reserved for it in `delay` seconds: it is back then, and starts without asking again."""

    delay: float
    crashes: int = 0
    rescues: bool = False


def receive_paused(row: Row | None, message: Message, claimant: Claimant) -> Reception | Park:
    """`lifecycle.receive`, while the task's type may not start: what would start is parked."""
    reception = lifecycle.receive(row, message, replace(claimant, ahead=False))
    match reception:
        case Insert():
            return Park()
        case Begin(crashes=crashes, rescues=rescues):
            return Park(crashes=crashes, rescues=rescues)
        case _:
            return reception


def needs_reservation(row: Row, rate: Rate) -> bool:
    """Whether a start has to be reserved: each attempt its own, unless it has one and is in time."""
    return not row.reserved or row.due_in < -rate.valid_for
