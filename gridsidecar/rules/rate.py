"""How many attempts of a handler may start in a time, over all workers. Pure."""

from __future__ import annotations

import re

from msgspec import Struct

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SHAPE = "a number of starts per time, as 10/s, 100/1m or 5000/2h"
LONGEST_KEY = 100  # characters
SHORTEST_VALIDITY = 10.0  # seconds
LATENESS = 1.0  # seconds that a reserved start may be late, as the shortest delay queue is, and others not wait
_RATE = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})?\s*([smhd])")


class Rate(Struct, frozen=True):
    """Starts are spread evenly, `interval` seconds apart, and reserved. As they may be late, t seconds have at most one
    more than were reserved for t + `LATENESS` seconds."""

    count: int
    per: float  # seconds

    @property
    def interval(self) -> float:
        """Seconds from one start to the next."""
        return self.per / self.count

    def key(self, handler: str) -> str:
        """Under which its starts are counted: each rate has its own, so that a changed one begins anew."""
        return f"{handler}@{self.interval:.6g}"[:LONGEST_KEY]

    @property
    def valid_for(self) -> float:
        """Seconds after its time for which a reserved start may still be used. What was away for longer (all workers
        were gone) reserves another: else all that waited would start at once."""
        return max(self.per, SHORTEST_VALIDITY)


def parse_rate(text: str) -> Rate:
    """Raises ValueError, which says what is allowed."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"must be {SHAPE}")
    count, per = int(match[1]), float(match[2] or 1) * UNITS[match[3]]
    if not count or not per:
        raise ValueError(f"must be {SHAPE}; neither part may be 0")
    return Rate(count, per)


def rate_problem(text: str) -> str | None:
    """What is wrong with a rate; None when it can be used."""
    try:
        parse_rate(text)
    except ValueError as error:
        return str(error)
    return None
