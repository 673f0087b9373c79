"""A message as AMQP properties and back: the producer's own travel on, our stamps are added and taken off."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pamqp.encode
from pamqp.commands import Basic

from gridsidecar import telemetry
from gridsidecar.rules.task import Message

OURS = "x-gridsidecar-"
# Messages of an earlier version may be in the queue: a header keeps its name, whatever we call the thing today.
ATTEMPT, WAKE_UP, SEEN_RUNNING, PASSED, REFUSALS, KEPT, CALLBACK, ROW = (
    f"{OURS}{name}" for name in ("attempt", "nudge", "busy", "passed", "refusals", "kept", "callback", "row")
)

# What the broker wrote about one journey would mislead it, or send copies elsewhere, on the next.
RETURNS = "x-delivery-count"  # of quorum queues; at a limit (20 by default in 4.x) they throw the message away
BROKERS = ("x-death", "x-first-death-", "x-last-death-", RETURNS, "x-acquired-count")
ROUTING = ("CC", "BCC")
_NOT_TRAVELLING = (OURS, *BROKERS)
_NESTED = (dict, list, tuple)

PERSISTENT = 2
LARGEST_COUNT = 2**31 - 1
LONGEST_ID = 255  # characters
DEEPEST = 32  # levels of nesting in a header
LARGEST_HEADERS = 100_000  # bytes: they must fit one frame of 128 KiB together with what we add


def fresh_id() -> str:
    return uuid4().hex


def decode(properties: Mapping[str, Any], body: bytes) -> Message:
    """A delivery's message, by its properties' names in AMQP. Whatever stands in its headers, this does not fail."""
    get = properties.get
    headers = get("headers")
    return Message(
        body=body,
        message_id=get("message_id"),
        content_type=get("content_type"),
        content_encoding=get("content_encoding"),
        priority=get("priority"),
        correlation_id=get("correlation_id"),
        reply_to=get("reply_to"),
        type=get("message_type"),
        app_id=get("app_id"),
        **(_read(headers) if headers else {}),
    )


def _read(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The producer's headers, and what our stamps say."""
    return {
        "headers": _travelling(headers),
        "attempt": _count(headers.get(ATTEMPT)),
        "wake_up": _count(headers.get(WAKE_UP)) == 1,
        "seen_running": _count(headers.get(SEEN_RUNNING)),
        "passed": _count(headers.get(PASSED)),
        "rejections": _count(headers.get(REFUSALS)),
        "kept": _id(headers.get(KEPT)),
        "callback": _count(headers.get(CALLBACK)) > 0,
        "prewritten_id": _id(headers.get(ROW)),
    }


def returns(properties: Mapping[str, Any]) -> int:
    """How often a quorum queue counted this message as handed out in vain."""
    headers = properties.get("headers")
    return _count(headers.get(RETURNS)) if headers else 0


def encode(message: Message, message_id: str, extra: Mapping[str, Any] | None = None) -> Basic.Properties:
    """Properties for a persistent publish. Raises ValueError or TypeError for what AMQP cannot carry."""
    return Basic.Properties(
        message_id=message_id,
        delivery_mode=PERSISTENT,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        priority=message.priority,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        message_type=message.type,
        app_id=message.app_id,
        headers={**_carriable(_travelling(message.headers)), **_stamps(message), **(extra or {})},
    )


def _travelling(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in headers.items()
        if not key.startswith(_NOT_TRAVELLING) and key not in ROUTING and _shallow(value, DEEPEST)
    }


def _shallow(value: Any, levels: int) -> bool:
    """Nested no deeper than `levels`, so that every recursion down the line can follow, and without the numbers over
    which RabbitMQ closes the connection."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, _NESTED):
        items = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(_shallow(item, levels - 1) for item in items)
    return True


def _carriable(headers: dict[str, Any]) -> dict[str, Any]:
    """The headers that AMQP takes. One that it does not take is left out: better than a task that cannot travel."""
    if not headers:
        return headers
    headers = {key: _amqp_value(value) for key, value in headers.items()}
    if _encodable(headers):
        return headers
    kept = {key: value for key, value in headers.items() if _encodable({key: value})}
    telemetry.warning("left out headers that AMQP cannot carry", headers=sorted(headers.keys() - kept.keys()))
    return kept if _encodable(kept) else {}


def _amqp_value(value: Any) -> Any:
    """The client decodes byte arrays as `bytes` in places, and encodes them from `bytearray` only."""
    match value:
        case bytes():
            return bytearray(value)
        case dict():
            return {key: _amqp_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_amqp_value(item) for item in value]
        case _:
            return value


def _encodable(headers: dict[str, Any]) -> bool:
    try:
        return len(pamqp.encode.field_table(headers)) <= LARGEST_HEADERS
    except (TypeError, ValueError, OverflowError, RecursionError, struct.error):
        return False


def _stamps(message: Message) -> dict[str, int | str | None]:
    stamps = {
        ATTEMPT: message.attempt,
        WAKE_UP: int(message.wake_up),
        SEEN_RUNNING: message.seen_running,
        PASSED: message.passed,
        REFUSALS: message.rejections,
        KEPT: message.kept,
        CALLBACK: int(message.callback),
        ROW: message.prewritten_id,
    }
    return {key: value for key, value in stamps.items() if value}


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_ID else None


def _count(value: object) -> int:
    """A counter of ours; anything else that stands there came from outside and counts as 0."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT:
        return value
    return 0
