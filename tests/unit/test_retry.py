"""How long a task waits before its next attempt."""

from __future__ import annotations

import random

import pytest

from gridsidecar.callbacks.deliverer import next_gap
from gridsidecar.rules.retry import RetryPolicy, callback_gap


def rng() -> random.Random:
    return random.Random(7)


@pytest.mark.parametrize("retry", [1, 2, 10, 1000])
def test_fixed_waits_the_same_before_every_retry(retry: int) -> None:
    assert RetryPolicy(delay=60).delay_before(retry, rng()) == 60


@pytest.mark.parametrize(("retry", "expected"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60)])
def test_exponential_doubles_up_to_the_longest_delay(retry: int, expected: float) -> None:
    policy = RetryPolicy(strategy="exponential", delay=5, max_delay=60)
    assert policy.delay_before(retry, rng()) == expected


@pytest.mark.parametrize("retry", [100, 1000, 10**6])
def test_exponential_does_not_overflow_at_a_high_count(retry: int) -> None:
    policy = RetryPolicy(strategy="exponential", delay=1e-3, max_delay=3600)
    assert policy.delay_before(retry, rng()) == 3600


@pytest.mark.parametrize("strategy", ["fixed", "exponential"])
def test_a_delay_of_zero_stays_zero(strategy: str) -> None:
    assert RetryPolicy(strategy=strategy, delay=0, jitter=1.0).delay_before(3, rng()) == 0


def test_jitter_adds_up_to_its_fraction_and_never_subtracts() -> None:
    chance = rng()
    policy = RetryPolicy(delay=100, jitter=0.25)
    delays = [policy.delay_before(1, chance) for _ in range(500)]
    assert min(delays) >= 100
    assert max(delays) <= 125
    assert min(delays) < 103
    assert max(delays) > 122


def test_jitter_comes_from_the_given_chance() -> None:
    policy = RetryPolicy(delay=100, jitter=0.5)
    assert policy.delay_before(1, random.Random(1)) == policy.delay_before(1, random.Random(1))
    assert policy.delay_before(1, random.Random(1)) != policy.delay_before(1, random.Random(2))


def test_no_jitter_means_an_exact_delay() -> None:
    assert {RetryPolicy(delay=3).delay_before(1, random.Random(seed)) for seed in range(20)} == {3}


# -- callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("retry", "gap"), [(1, 5), (2, 30), (3, 120), (4, 600), (5, 3600), (50, 3600)])
def test_gaps_of_a_callback_grow_and_are_a_lower_bound(retry: int, gap: float) -> None:
    drawn = {callback_gap(retry, random.Random(seed)) for seed in range(50)}
    assert len(drawn) > 1
    assert all(gap <= one <= gap * 1.2 for one in drawn)


@pytest.mark.parametrize(
    ("failures", "max_retries", "retry_after", "least", "most"),
    [
        (0, 3, None, 5, 6),
        (2, 3, None, 120, 144),
        (0, 3, 7.5, 7.5, 7.5),
        (0, 3, 1.0, 5, 6),
        (0, 1, 86400.0, 86400, 86400),
    ],
)
def test_a_callback_is_tried_again(
    failures: int, max_retries: int, retry_after: float | None, least: float, most: float
) -> None:
    gap = next_gap(failures, max_retries, retry_after, random.Random(1))
    assert gap is not None
    assert least <= gap <= most


@pytest.mark.parametrize(("failures", "max_retries"), [(0, 0), (3, 3), (4, 3)])
def test_a_callback_is_given_up_after_its_retries(failures: int, max_retries: int) -> None:
    assert next_gap(failures, max_retries, 1.0, random.Random(1)) is None
