"""What the store answers to a delivery."""

from __future__ import annotations

from msgspec import Struct

from gridsidecar.rules.flow import Park, Reserve
from gridsidecar.rules.reception import Reception
from gridsidecar.rules.task import Claim


class TakenOver(Struct, frozen=True):
    """An attempt that its worker will not end any more."""

    attempt: int
    worker: str  # its name
    silent_for: float | None  # seconds since its last sign of life, where that is known


class Received(Struct, frozen=True):
    """What a delivery meant, and the claim where it may start an attempt."""

    reception: Reception | Park | Reserve
    claim: Claim | None = None
    attempt: int = 0  # of the row, for the stamp on a delayed message
    taken_over: TakenOver | None = None  # by this
