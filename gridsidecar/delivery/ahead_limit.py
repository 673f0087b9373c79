"""How quickly handlers come to their end, and how many tasks may therefore be taken ahead of their turn. Pure."""

from __future__ import annotations

AHEAD_S = 0.5  # a task is claimed ahead only if its turn comes within so many seconds, as far as one can tell
MOST_AHEAD = 64
ENOUGH_ENDS = 20  # fewer say nothing about the next one
_NEWEST = 0.1  # weight of the newest end


class AheadLimit:
    """By a moving average over how long one kind of task takes."""

    def __init__(self) -> None:
        self._mean = 0.0  # seconds
        self._ends = 0

    def record(self, seconds: float) -> None:
        """A handler took so many seconds."""
        self._ends += 1
        self._mean += max(_NEWEST, 1 / self._ends) * (seconds - self._mean)

    def reset(self) -> None:
        """What was known is no guide any more: claim ahead only after further ends."""
        self._mean, self._ends = 0.0, 0

    def of(self, width: int) -> int:
        """How many tasks so many handlers at a time come to, within `AHEAD_S`."""
        if self._ends < ENOUGH_ENDS:
            return 0
        return min(MOST_AHEAD, int(AHEAD_S * width / max(self._mean, 1e-6)))
