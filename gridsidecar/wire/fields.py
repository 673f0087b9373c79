"""The fields of a task message, in one table; absent and null mean the default that `Task` has."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from gridsidecar.rules.task import LONGEST_TYPE, Callback, Message, Task
from gridsidecar.wire.json_text import JsonText
from gridsidecar.wire.moments import time_of

PRIORITY_NAMES = {"low": 1, "normal": 3, "high": 6, "urgent": 9}
HIGHEST_PRIORITY = 9
MAX_RETRIES = 1000
MAX_SECONDS = 3650 * 86400  # ten years: longer waits overflow timers, and nobody means them

LONGEST_URL = 500  # characters that a row keeps
_TOO_LONG = "too-long:"  # in place of a callback's URL that no row can keep, before its start
LATEST_YEAR = 9000  # databases end at 9999, and we add to it

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class FieldRefused(ValueError):
    """The text names the field, what is allowed and what stands there."""

    def __init__(self, name: str, allowed: str, value: Any) -> None:
        # An earlier name with an underscore is told by the name of today.
        super().__init__(f"{name.lstrip('_')} must be {allowed}, not {shown(value)}.")


def task_id_problem(value: Any) -> str | None:
    """What keeps a value from being a task's id; None when it is usable."""
    if not isinstance(value, str):
        return f"task_id must be a string, not {shown(value)}."
    if not 1 <= len(value) <= 255:
        return f"task_id must have 1 – 255 characters; it has {len(value):,}."
    if _has_controls(value):
        return "task_id must not contain control characters."
    if value != value.strip():
        return "task_id must not start or end with a space."
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return "task_id contains half of a surrogate pair."
    return None


# -- what a value means, which is never null; `name` is what its message calls the field -------------------------------


def _task_type(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_TYPE or _has_controls(value):
        raise FieldRefused(name, f"a string of 1 – {LONGEST_TYPE} characters without control characters", value)
    return value


def _anything(_name: str, value: Any) -> Any:
    return value


def _text_or_nothing(_name: str, value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _retries(name: str, value: Any) -> int:
    number = _whole(value)
    if number is None or number > MAX_RETRIES:
        raise FieldRefused(name, f"a whole number from 0 to {MAX_RETRIES}", value)
    return number


def _callback_url(name: str, value: Any) -> str | None:
    if value == "":
        return None
    if isinstance(value, JsonText) and value.kind == "a text":  # of a large message: longer than all that is decoded
        return unusable_url("")
    if isinstance(value, str) and len(value) > LONGEST_URL and not _has_controls(value):
        return unusable_url(value)
    if not isinstance(value, str) or _has_controls(value):
        raise FieldRefused(name, "a URL of at most 500 characters, or null", value)
    return value


def unusable_url(url: str) -> str:
    """What stands in a row for a URL that is too long: nobody can be told there, and nobody shall be told elsewhere."""
    return _TOO_LONG + url[: LONGEST_URL - len(_TOO_LONG)]


def is_unusable_url(url: str) -> bool:
    return url.startswith(_TOO_LONG)


def _callback_type(name: str, value: Any) -> str:
    if value == "":
        return "http"
    if value not in ("http", "rabbitmq"):
        raise FieldRefused(name, "http or rabbitmq", value)
    return str(value)


def _priority(name: str, value: Any) -> int:
    if isinstance(value, str) and value.lower() in PRIORITY_NAMES:
        return PRIORITY_NAMES[value.lower()]
    number = _whole(value)
    if number is None:
        raise FieldRefused(name, "0 – 9, low, normal, high or urgent", value)
    return min(number, HIGHEST_PRIORITY)


def _timeout(name: str, value: Any) -> float | None:
    return _seconds(name, value) or None


def _seconds(name: str, value: Any) -> float:
    number = _number(value)
    if number is None or number > MAX_SECONDS:
        raise FieldRefused(name, f"seconds from 0 to {MAX_SECONDS:,}", value)
    return number


def _moment(name: str, value: Any) -> datetime | None:
    """Aware, UTC; a time without a zone is UTC; a time before 1970 (some languages' zero) is 1970."""
    if value == "":
        return None
    try:
        moment = time_of(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (AttributeError, ValueError, OverflowError):
        raise FieldRefused(name, "an ISO 8601 time such as 2026-01-31T12:00:00Z", value) from None
    if moment.year > LATEST_YEAR:
        raise FieldRefused(name, f"a time before the year {LATEST_YEAR + 1}", value)
    return max(moment, _EPOCH)


# -- all of them -------------------------------------------------------------------------------------------------------


class Field(Struct, frozen=True):
    read: Callable[[str, Any], Any]
    also: str | None = None  # another name, which counts where there is nothing under the first
    of_callback: str | None = None  # which attribute of `Callback` it is; the others are attributes of `Task`
    large: bool = False  # may have any size: in a large message it stays where it is
    withheld: bool = False  # no handler gets it: an address may carry a token


# Beside these a message has its `task_id`, and whatever its producer wants the handler to have.
FIELDS: Mapping[str, Field] = {
    "task_type": Field(_task_type),
    "data": Field(_anything, large=True),
    "max_retry_count": Field(_retries, also="retry_count"),
    "callback_url": Field(_callback_url, of_callback="url", withheld=True),
    "callback_type": Field(_callback_type, of_callback="type", withheld=True),
    "callback_data": Field(_anything, of_callback="data", large=True),
    "priority": Field(_priority),
    "timeout": Field(_timeout),
    "defer_by": Field(_seconds, also="_defer_by"),
    "defer_until": Field(_moment, also="_defer_until"),
    "idempotency_key": Field(_text_or_nothing),
}
OTHER_NAMES = {field.also: name for name, field in FIELDS.items() if field.also is not None}


def read_task(task_id: str, message: Message, fields: Mapping[str, Any]) -> Task:
    """What a message says in its fields. Raises FieldRefused for the first that cannot be read."""
    said: dict[str, Any] = {"task_id": task_id, "message": message, "fields": fields}
    if message.priority:  # the property, of up to 255, where no field says it
        said["priority"] = max(0, min(message.priority, HIGHEST_PRIORITY))
    callback: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None:
            continue
        if name in FIELDS:
            field = FIELDS[name]
            if field.of_callback is None:
                said[name] = field.read(name, value)
            else:
                callback[field.of_callback] = field.read(name, value)
        elif name in OTHER_NAMES and fields.get(OTHER_NAMES[name]) is None:
            known = OTHER_NAMES[name]
            said[known] = FIELDS[known].read(name, value)
    if callback:
        said["callback"] = Callback(**callback)
    return Task(**said)


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


def _has_controls(text: str) -> bool:
    return not text.isprintable() and _CONTROL.search(text) is not None  # the first costs little, and is mostly enough


def _whole(value: Any) -> int | None:
    """A whole number >= 0, also from 3.0 and "3", as several languages' producers write it."""
    if type(value) is int and value >= 0:  # most often
        return value
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
