"""The fields of a task message, one reader each; absent and null mean the default."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gridsidecar.rules.task import LONGEST_TYPE, NO_CALLBACK, Callback, Task
from gridsidecar.wire.json_text import JsonText
from gridsidecar.wire.moments import time_of

PRIORITY_NAMES = {"low": 1, "normal": 3, "high": 6, "urgent": 9}
HIGHEST_PRIORITY = 9
MAX_RETRIES = 1000
MAX_SECONDS = 3650 * 86400  # ten years: longer waits overflow timers, and nobody means them

LONGEST_URL = 500  # characters that a row keeps
_TOO_LONG = "too-long:"  # in place of a callback's URL that no row can keep, before its start
LATEST_YEAR = 9000  # databases end at 9999, and we add to it

_CALLBACK = ("callback_url", "callback_type", "callback_data")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FieldRefused(ValueError):
    """The text names the field, what is allowed and what stands there."""

    def __init__(self, name: str, allowed: str, value: Any) -> None:
        super().__init__(f"{name} must be {allowed}, not {shown(value)}.")


def task_id_problem(value: Any) -> str | None:
    """What keeps a value from being a task's id; None when it is usable."""
    if not isinstance(value, str):
        return f"task_id must be a string, not {shown(value)}."
    if not 1 <= len(value) <= 255:
        return f"task_id must have 1 – 255 characters; it has {len(value):,}."
    if _CONTROL.search(value):
        return "task_id must not contain control characters."
    if value != value.strip():
        return "task_id must not start or end with a space."
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return "task_id contains half of a surrogate pair."
    return None


def read_task_type(fields: Mapping[str, Any]) -> str:
    value = fields.get("task_type")
    if value is None:
        return "default"
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_TYPE or _CONTROL.search(value):
        raise FieldRefused("task_type", f"a string of 1 – {LONGEST_TYPE} characters without control characters", value)
    return value


def read_max_retry_count(fields: Mapping[str, Any]) -> int | None:
    name = "max_retry_count" if fields.get("max_retry_count") is not None else "retry_count"
    value = fields.get(name)
    if value is None:
        return None
    number = _whole(value)
    if number is None or number > MAX_RETRIES:
        raise FieldRefused(name, f"a whole number from 0 to {MAX_RETRIES}", value)
    return number


def read_callback(fields: Mapping[str, Any]) -> Callback:
    if fields.keys().isdisjoint(_CALLBACK):  # most often
        return NO_CALLBACK
    return Callback(url=_callback_url(fields), type=_callback_type(fields), data=fields.get("callback_data"))


def _callback_url(fields: Mapping[str, Any]) -> str | None:
    value = fields.get("callback_url")
    if value is None or value == "":
        return None
    if isinstance(value, JsonText) and value.kind == "a text":  # of a large message: longer than all that is decoded
        return unusable_url("")
    if isinstance(value, str) and len(value) > LONGEST_URL and not _CONTROL.search(value):
        return unusable_url(value)
    if not isinstance(value, str) or _CONTROL.search(value):
        raise FieldRefused("callback_url", "a URL of at most 500 characters, or null", value)
    return value


def unusable_url(url: str) -> str:
    """What stands in a row for a URL that is too long: nobody can be told there, and nobody shall be told elsewhere."""
    return _TOO_LONG + url[: LONGEST_URL - len(_TOO_LONG)]


def is_unusable_url(url: str) -> bool:
    return url.startswith(_TOO_LONG)


def _callback_type(fields: Mapping[str, Any]) -> str:
    value = fields.get("callback_type")
    if value is None or value == "":
        return "http"
    if value not in ("http", "rabbitmq"):
        raise FieldRefused("callback_type", "http or rabbitmq", value)
    return str(value)


def read_priority(fields: Mapping[str, Any], of_message: int | None) -> int:
    """The body's priority, else the message's own (RabbitMQ allows up to 255; ours end at 9), else 0."""
    value = fields.get("priority")
    if value is None:
        return max(0, min(of_message or 0, HIGHEST_PRIORITY))
    if isinstance(value, str) and value.lower() in PRIORITY_NAMES:
        return PRIORITY_NAMES[value.lower()]
    number = _whole(value)
    if number is None:
        raise FieldRefused("priority", "0 – 9, low, normal, high or urgent", value)
    return min(number, HIGHEST_PRIORITY)


def doubtful(task: Task) -> Iterator[tuple[str, str]]:
    """Fields that a worker takes otherwise than they are written, each with the reason."""
    if task.priority == HIGHEST_PRIORITY and (_whole(task.fields.get("priority")) or 0) > HIGHEST_PRIORITY:
        yield "priority", f"{shown(task.fields['priority'])} is above {HIGHEST_PRIORITY}, the highest"
    if task.callback.url is not None and is_unusable_url(task.callback.url):
        length = len(task.fields.get("callback_url") or "")
        yield (
            "callback_url",
            f"it has {length:,} characters, at most {LONGEST_URL} can be kept, so nobody can be called",
        )


def read_timeout(fields: Mapping[str, Any]) -> float | None:
    return _seconds("timeout", fields.get("timeout")) or None


def read_defer_by(fields: Mapping[str, Any]) -> float | None:
    value = fields.get("defer_by")
    return _seconds("defer_by", fields.get("_defer_by") if value is None else value)


def read_defer_until(fields: Mapping[str, Any]) -> datetime | None:
    """Aware, UTC; a time without a zone is UTC; a time before 1970 (some languages' zero) is 1970."""
    value = fields.get("defer_until")
    if value is None:
        value = fields.get("_defer_until")
    if value is None or value == "":
        return None
    try:
        moment = time_of(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (AttributeError, ValueError, OverflowError):
        raise FieldRefused("defer_until", "an ISO 8601 time such as 2026-01-31T12:00:00Z", value) from None
    if moment.year > LATEST_YEAR:
        raise FieldRefused("defer_until", f"a time before the year {LATEST_YEAR + 1}", value)
    return max(moment, _EPOCH)


def shown(value: Any) -> str:
    """A value for an error text: short, printable, on one line."""
    match value:
        case JsonText():
            return f"{value.kind} of {len(value):,} bytes"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return json.dumps(value[:60] + "…" if len(value) > 60 else value, ensure_ascii=False)
        case _:
            return json.dumps(value)[:60]


def _whole(value: Any) -> int | None:
    """A whole number >= 0, also from 3.0 and "3", as several languages' producers write it."""
    number = _number(value)
    return None if number is None or number != int(number) else int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return float(value)
    if isinstance(value, (int, float)) and 0 <= value < math.inf:
        return value
    return None


def _seconds(name: str, value: Any) -> float | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number > MAX_SECONDS:
        raise FieldRefused(name, f"seconds from 0 to {MAX_SECONDS:,}", value)
    return number
