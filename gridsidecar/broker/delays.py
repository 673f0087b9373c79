"""The ladder of fixed delays: which delay queue a delay uses, and what that queue looks like."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, Literal

from gridsidecar.config.values import LONGEST_DELAY

MINUTE, HOUR = 60, 3600

DELAYS = (
    *(1, 2, 5, 10, 30),
    *(1 * MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(1 * HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 12 * HOUR, LONGEST_DELAY),
)


def delay_step(delay: float) -> int:
    """The longest delay, in seconds, that does not overshoot `delay`; the shortest one below a second."""
    return DELAYS[max(0, bisect_right(DELAYS, delay) - 1)]


def delay_within(delay: float) -> int:
    """The shortest delay, in seconds, that is not over before `delay`; the longest one above all of them."""
    return DELAYS[min(len(DELAYS) - 1, bisect_left(DELAYS, delay))]


def queue_name(queue: str, seconds: int) -> str:
    """Name of the queue of one delay."""
    return f"{queue}.delay.{seconds}"


def queue_arguments(queue: str, seconds: int, queue_type: Literal["classic", "quorum"]) -> dict[str, Any]:
    """Arguments of the queue of one delay: what has waited there goes to `queue` by the default exchange."""
    arguments: dict[str, Any] = {
        "x-queue-type": queue_type,
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
    }
    if queue_type == "quorum":
        # Without both, a message that moves on while the work queue is away is lost.
        arguments |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    return arguments
