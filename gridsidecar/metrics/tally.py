"""Numbers by metric and labels, as plain values that travel between processes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gridsidecar.metrics.families import FAMILIES, Family

SeriesKey = tuple[str, ...]  # a family's name, then the values of its labels
Value = Any  # a number; of a histogram a list: a count for each bucket, one for what is beyond them, and the sum
Series = Mapping[SeriesKey, Value]


class Tally:
    """What one process counts."""

    def __init__(self) -> None:
        self.series: dict[SeriesKey, Value] = {}
        self._changed: set[SeriesKey] = set()

    def add(self, family: Family, *labels: str, by: float = 1) -> None:
        key = (family.name, *labels)
        self.series[key] = self.series.get(key, 0) + by
        self._changed.add(key)

    def set(self, family: Family, *labels: str, to: float) -> None:
        key = (family.name, *labels)
        if self.series.get(key) != to:
            self.series[key] = to
            self._changed.add(key)

    def observe(self, family: Family, seconds: float, *labels: str) -> None:
        key = (family.name, *labels)
        found = self.series.get(key)
        if found is None:
            found = self.series[key] = [0] * (len(family.buckets) + 2)
        found[bisect_left(family.buckets, seconds)] += 1
        found[-1] += seconds
        self._changed.add(key)

    def labels_of(self, family: Family) -> list[tuple[str, ...]]:
        """Of the series that there are."""
        return [key[1:] for key in self.series if key[0] == family.name]

    def changes(self) -> Iterator[tuple[SeriesKey, Value]]:
        """Each series that has changed since this was last asked, with its value of now."""
        changed, self._changed = self._changed, set()
        for key in changed:
            yield key, self.series[key]


def total(parts: Iterable[Series]) -> dict[SeriesKey, Value]:
    """Several processes as one."""
    whole: dict[SeriesKey, Value] = {}
    for part in parts:
        for key, value in part.items():
            whole[key] = value if key not in whole else _both(FAMILIES[key[0]], whole[key], value)
    return whole


def lasting(series: Series) -> dict[SeriesKey, Value]:
    """What stays true of a process that is gone: no counter may fall."""
    return {key: value for key, value in series.items() if FAMILIES[key[0]].kind != "gauge"}


def _both(family: Family, one: Value, other: Value) -> Value:
    if family.kind == "histogram":
        return [a + b for a, b in zip(one, other, strict=True)]
    return max(one, other) if family.greatest else one + other
