"""What is written on a dead letter when it is put away, and what can be read from it later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from gridsidecar.broker import DeadLetter
from gridsidecar.rules.task import Message
from gridsidecar.wire.moments import time_of

REASON, QUEUE, TIME = "x-gridsidecar-reason", "x-gridsidecar-queue", "x-gridsidecar-time"
ATTEMPTS = "x-gridsidecar-attempts"  # of a task that failed for good, and of nothing else
LABELS = (REASON, QUEUE, TIME, ATTEMPTS)
REASON_LENGTH = 1000  # characters: headers have to fit into one frame

# What RabbitMQ writes itself where a queue's own policy sends messages to the dead letters.
BROKERS_REASON, BROKERS_QUEUE, BROKERS_DEATHS = "x-first-death-reason", "x-first-death-queue", "x-death"


def label(reason: str, queue: str, now: datetime, attempt_count: int | None = None) -> dict[str, str | int]:
    """The headers that say why, from where and when."""
    labels: dict[str, str | int] = {
        REASON: reason[:REASON_LENGTH],
        QUEUE: queue,
        TIME: now.isoformat(timespec="milliseconds"),
    }
    return labels if attempt_count is None else labels | {ATTEMPTS: attempt_count}


def read_letter(message: Message, headers: Mapping[str, Any], remove: Callable[[], Awaitable[None]]) -> DeadLetter:
    """A dead letter by the headers it was found with: anybody may have put it there, so they may say nothing at all."""
    own = {key: value for key, value in message.headers.items() if key not in LABELS}
    return DeadLetter(
        message=replace(message, headers=own),
        reason=_text(headers.get(REASON)) or _text(headers.get(BROKERS_REASON)),
        queue=_text(headers.get(QUEUE)) or _text(headers.get(BROKERS_QUEUE)),
        time=_moment(headers.get(TIME)) or _time_of_death(headers.get(BROKERS_DEATHS)),
        attempt_count=_count(headers.get(ATTEMPTS)),
        remove=remove,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = time_of(value)
        except (ValueError, OverflowError):
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        return None


def _time_of_death(deaths: object) -> datetime | None:
    if isinstance(deaths, list) and deaths and isinstance(deaths[-1], Mapping):
        return _moment(deaths[-1].get("time"))
    return None
