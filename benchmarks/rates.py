"""Figures from times, and what becomes of figures over several rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median

WARM_UP = 10  # a tenth of the tasks end before the measuring begins: processes start, caches fill


def steady_rate(ends: Sequence[float]) -> float:
    """Things a second, from the ascending times at which they ended, without the first tenth."""
    skipped = max(1, len(ends) // WARM_UP)
    return (len(ends) - skipped) / max(ends[-1] - ends[skipped - 1], 0.001)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the rounds."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), median(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Of the ratio within each round: what disturbs a round disturbs both sides of it."""
    return Spread.of([our / their for our, their in zip(ours, theirs, strict=True)])


def short(value: float) -> str:
    """Three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2f}"
