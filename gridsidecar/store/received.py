"""What the store answers to a delivery."""

from __future__ import annotations

from dataclasses import dataclass

from gridsidecar.flow import Park, Reserve
from gridsidecar.lifecycle import Reception
from gridsidecar.task import Claim


@dataclass(frozen=True, slots=True)
class TakenOver:
    """An attempt that its worker will not end any more."""

    attempt: int
    worker: str  # its name
    silent_for: float | None  # seconds since its last sign of life, where that is known


@dataclass(frozen=True, slots=True)
class Received:
    """What a delivery meant, and the claim where it may start an attempt."""

    reception: Reception | Park | Reserve
    claim: Claim | None = None
    attempt: int = 0  # of the row, for the stamp on an alarm
    taken_over: TakenOver | None = None  # by this
