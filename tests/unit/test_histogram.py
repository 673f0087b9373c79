"""How long things took: counted under fixed bounds, added up, and read as percentiles that are near enough."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from gridsidecar.store.histogram import BOUNDS, Histogram, bound_of


def histogram(*seconds: float) -> Histogram:
    return Histogram(dict(Counter(map(bound_of, seconds))))


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        (-1, 10),
        (0, 10),
        (0.01, 10),
        (0.0101, 20),
        (0.3, 500),
        (1, 1000),
        (59, 100_000),
        (21_600, 50_000_000),
        (1e9, 10**8),
    ],
)
def test_each_is_counted_under_the_first_bound_that_is_not_below_it(seconds: float, bound: int) -> None:
    assert bound_of(seconds) == bound


def test_bounds_rise_by_at_most_two_and_a_half() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert all(following / bound <= 2.5 for bound, following in pairwise(BOUNDS))


def test_none_has_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None
    assert Histogram({10: 0}).percentile(0.5) is None


def test_those_of_one_bound_are_spread_evenly() -> None:
    one = Histogram({1000: 10})
    assert one.percentile(0) == 0.5
    assert one.percentile(0.5) == 0.75
    assert one.percentile(1) == 1.0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_percentiles_are_within_their_bound(share: float) -> None:
    rng = random.Random(1)
    durations = sorted(rng.lognormvariate(0, 2) for _ in range(5000))
    true = durations[max(0, round(share * len(durations)) - 1)]
    found = histogram(*durations).percentile(share)
    assert found is not None
    assert true / 2.5 <= found <= true * 2.5


def test_histograms_add_up() -> None:
    some, more = [0.1, 0.2, 3], [0.2, 70, 80]
    assert histogram(*some) + histogram(*more) == histogram(*some, *more)
    assert (histogram(*some) + Histogram()).total == 3
