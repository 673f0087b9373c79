"""How quickly handlers come to their end, and how many tasks may therefore be taken ahead of their turn. Pure."""

from __future__ import annotations

AHEAD_S = 0.5  # a task is claimed ahead only if its turn comes within so many seconds, as far as one can tell
MOST_AHEAD = 64
_NEWEST = 0.1  # weight of the newest end


class Pace:
    """A moving average over the ends of one kind of task."""

    def __init__(self) -> None:
        self._mean: float | None = None  # seconds

    def ended(self, seconds: float) -> None:
        """A handler ended after so many seconds."""
        self._mean = seconds if self._mean is None else self._mean + _NEWEST * (seconds - self._mean)

    def forget(self) -> None:
        """What was known is no guide any more: look ahead only after further ends."""
        self._mean = None

    def ahead(self, width: int) -> int:
        """How many tasks so many handlers at a time come to, within `AHEAD_S`."""
        if self._mean is None:
            return 0
        return min(MOST_AHEAD, int(AHEAD_S * width / max(self._mean, 1e-6)))
