"""How long a handler is left alone after starts that failed."""

from __future__ import annotations

import random

from gridsidecar.delivery.routes import StartBackoff


def test_a_process_that_did_not_start_is_one_failure_whatever_it_had_in_hand() -> None:
    rest = StartBackoff()
    for _ in range(10):
        rest.failed(100.0, random.Random(1))
    assert rest.failures == 1
    assert rest.until <= 102.0


def test_each_further_start_that_fails_is_put_off_for_longer() -> None:
    rest, now, rests = StartBackoff(), 100.0, []
    for _ in range(4):
        rest.failed(now, random.Random(1))
        rests.append(rest.until - now)
        now = rest.until
    assert rests == sorted(rests)
    assert rests[3] > 2 * rests[0]
