"""The ladder of delays."""

from __future__ import annotations

import pytest

from gridsidecar.broker import delays


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (-1, 1),
        (0, 1),
        (0.2, 1),
        (1, 1),
        (1.99, 1),
        (2, 2),
        (9.9, 5),
        (59, 30),
        (60, 60),
        (3599, 1800),
        (86_399, 43_200),
        (86_400, 86_400),
        (10**9, 86_400),
        (float("inf"), 86_400),
    ],
)
def test_the_delay_step_is_the_longest_that_does_not_overshoot(delay: float, seconds: int) -> None:
    assert delays.delay_step(delay) == seconds


def test_delays_rise_and_any_delay_takes_few_steps() -> None:
    assert list(delays.DELAYS) == sorted(set(delays.DELAYS))
    for delay in range(1, 86_400, 7):
        left, steps = float(delay), 0
        while left > 0:
            left -= delays.delay_step(left)
            steps += 1
        assert steps <= 24, delay


def test_a_quorum_delay_queue_loses_nothing_when_it_moves_a_message_on() -> None:
    assert delays.queue_arguments("work", 30, "quorum") == {
        "x-queue-type": "quorum",
        "x-message-ttl": 30_000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "work",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    assert delays.queue_name("work", 30) == "work.delay.30"


@pytest.mark.parametrize(
    ("delay", "seconds"), [(0, 1), (1, 1), (1.01, 2), (59.9, 60), (61, 120), (86_400, 86_400), (10**9, 86_400)]
)
def test_the_delay_within_is_the_shortest_that_is_long_enough(delay: float, seconds: int) -> None:
    assert delays.delay_within(delay) == seconds
