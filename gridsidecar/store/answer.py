"""What the store answers to a delivery."""

from __future__ import annotations

from msgspec import Struct

from gridsidecar.rules.flow import Park, Reserve
from gridsidecar.rules.reception import Reception
from gridsidecar.rules.task import Claim


class Rescued(Struct, frozen=True):
    """An attempt whose worker died, so that its task goes on elsewhere, or ends."""

    attempt: int
    worker: str  # its name
    silent_for: float | None  # seconds since its last sign of life, where that is known


class Answer(Struct, frozen=True):
    """What a delivery meant, and the claim where it may start an attempt."""

    reception: Reception | Park | Reserve
    claim: Claim | None = None
    attempt: int = 0  # of the row, for the stamp on a delayed message
    rescued: Rescued | None = None  # the attempt before, where its worker is dead
