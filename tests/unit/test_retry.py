"""How long a task waits before its next attempt."""

from __future__ import annotations

import random

import pytest

from gridsidecar.retry import RetryPolicy


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
