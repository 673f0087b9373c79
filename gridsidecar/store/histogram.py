"""How long things took, counted up to fixed bounds, so that what several workers counted adds up to percentiles."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct, field

# Milliseconds: 1, 2, 5 of each power of ten from 10 ms to 100,000 s. The last takes whatever is longer.
BOUNDS: tuple[int, ...] = (*(step * int(10**power) for power in range(1, 8) for step in (1, 2, 5)), 100_000_000)


def bound_of(seconds: float) -> int:
    """The bound, in milliseconds, under which a duration is counted."""
    return BOUNDS[min(bisect_left(BOUNDS, seconds * 1000), len(BOUNDS) - 1)]


class Histogram(Struct, frozen=True):
    """How many took up to so many milliseconds, and longer than the bound before."""

    counts: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(dict(Counter(self.counts) + Counter(other.counts)))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def percentile(self, share: float) -> float | None:
        """Seconds within which this share (0 – 1) of them was done, as if those of one bound were spread evenly below
        it; None where there are none."""
        rank, seen = share * self.total, 0
        for bound in sorted(bound for bound, count in self.counts.items() if count > 0):
            count = self.counts[bound]
            if seen + count >= rank:
                lower = _bound_before(bound)
                return (lower + (bound - lower) * max(0.0, rank - seen) / count) / 1000
            seen += count
        return None


def _bound_before(bound: int) -> int:
    at = bisect_left(BOUNDS, bound)
    return BOUNDS[at - 1] if at else 0
