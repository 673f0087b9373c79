"""How a rate is written, and what it means."""

from __future__ import annotations

import pytest

from gridsidecar.rules.flow import BUCKET_WIDTH, FIRST_BUCKET, bucket, bucket_bounds
from gridsidecar.rules.rate import Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10, 1.0)),
        ("100/1m", Rate(100, 60.0)),
        (" 5000 / 2h ", Rate(5000, 7200.0)),
        ("1/1d", Rate(1, 86400.0)),
    ],
)
def test_a_rate_is_a_number_of_starts_in_a_time(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


def test_places_are_spread_evenly_and_kept_for_as_long_as_the_rate_counts() -> None:
    assert (parse_rate("100/1m").interval, parse_rate("100/1m").keep) == (0.6, 60.0)
    assert (parse_rate("20/s").interval, parse_rate("20/s").keep) == (0.05, 10.0)


@pytest.mark.parametrize("task_type", ["default", "mail", "x" * 100, "类型", "\ud800"])
def test_what_is_parked_is_looked_for_in_centuries_that_databases_know(task_type: str) -> None:
    first, last = bucket_bounds(task_type)
    assert "3000-01-01" <= first < last <= "9000-01-01"
    assert int(first[:4]) - 2000 == bucket(task_type)
    assert (bucket(task_type) - FIRST_BUCKET) % BUCKET_WIDTH == 0
