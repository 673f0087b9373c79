"""How long to wait: before the next attempt, before what was refused or passed on comes again. Pure."""

from __future__ import annotations

import random
from typing import Literal, assert_never

from msgspec import Struct

LONGEST_RETRY_AFTER = 24 * 3600.0  # seconds; a handler cannot park a task for longer

CALLBACK_GAPS = (5.0, 30.0, 120.0, 600.0, 3600.0)  # seconds before the 1st, 2nd … retry of a callback; the last repeats
CALLBACK_JITTER = 0.2  # random extra, as a fraction of the gap

# Seconds, one or the other, that a task is sent away for when it is passed on: about a sixth of what it was already.
PASSES = ((1.0, 2.0), (2.0, 5.0), (5.0, 10.0), (10.0, 30.0), (30.0, 120.0))
LONGEST_PASSING = 3600  # seconds
FIRST_REJECTION_DELAY = 5.0  # seconds, doubled each time: the database may be asked too much of by all tasks at once
LONGEST_REJECTION_DELAY = 300.0  # seconds


def passed_enough(passed: int) -> bool:
    """Whether a task of a type that this worker does not know was sent away for as long as it may. `passed` counts the
    seconds of that alone: each return is one more chance to meet a worker that knows it, however long the queue is."""
    return passed >= LONGEST_PASSING


def pass_on_delay(passed: int, rng: random.Random) -> float:
    """Seconds until it comes back for others. By chance: two that always came back together would always be handed to
    the two workers in the same order, the wrong one."""
    return rng.choice([pair for pair in PASSES if pair[0] <= max(1.0, passed / 6)][-1])


def callback_gap(retry: int, rng: random.Random) -> float:
    """Seconds before the given retry of a callback (1 is the first)."""
    return CALLBACK_GAPS[min(retry, len(CALLBACK_GAPS)) - 1] * (1.0 + CALLBACK_JITTER * rng.random())


def rejection_delay(rejections: int, max_crashes: int) -> float | None:
    """Seconds until a task comes back whose row the database refused to write so many times in a row; None: it does
    not, as one that takes its worker down so often does not."""
    if rejections > max_crashes:
        return None
    return min(LONGEST_REJECTION_DELAY, FIRST_REJECTION_DELAY * 2.0 ** min(rejections - 1, 10))


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """`max_retries` counts retries after the first attempt; times in seconds; `jitter` is a fraction of the delay."""

    max_retries: int = 0
    strategy: Literal["fixed", "exponential"] = "fixed"
    delay: float = 60.0
    max_delay: float = 3600.0
    jitter: float = 0.0

    def delay_before(self, retry: int, rng: random.Random) -> float:
        """Seconds before the given retry (1 is the first).

        `fixed` waits `delay`; `exponential` waits `delay * 2^(retry - 1)`, at most `max_delay`. Jitter adds up to
        `jitter` times that, never less, so that a configured gap is a lower bound.
        """
        match self.strategy:
            case "fixed":
                base = self.delay
            case "exponential":
                base = min(self.max_delay, self.delay * 2.0 ** min(retry - 1, 60))
            case _:
                assert_never(self.strategy)
        return base * (1.0 + self.jitter * rng.random())


def next_check(late: float) -> float:
    """Seconds until maintenance checks a row again that is `late` seconds overdue: at least 30, doubling, at most
    an hour."""
    return min(3600.0, max(30.0, late))
