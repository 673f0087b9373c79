"""How a rate is written, and what it means."""

from __future__ import annotations

import pytest

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
    assert (parse_rate("100/1m").interval, parse_rate("100/1m").valid_for) == (0.6, 60.0)
    assert (parse_rate("20/s").interval, parse_rate("20/s").valid_for) == (0.05, 10.0)
