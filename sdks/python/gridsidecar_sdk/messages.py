"""A task as the message that the sidecar reads."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple, Optional, Union

from gridsidecar_sdk.encoding import to_json
from gridsidecar_sdk.errors import Seconds, seconds

RECONNECT_FOR = 30.0  # seconds that a send may take while the broker is away
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between tries; the last one stays

Priority = Optional[Union[int, str]]
_WORDS = {"low": 1, "normal": 3, "high": 6, "urgent": 9}  # as the sidecar reads them


class NotSent(Exception):
    """The broker did not confirm the task: it was away, refused it, or has no such queue."""


class Message(NamedTuple):
    """What goes out: `priority` is the AMQP property, by which queues with priorities order."""

    task_id: str
    body: bytes
    priority: Optional[int]
    encoding: Optional[str] = None  # the AMQP property content_encoding


class Wishes(NamedTuple):
    """What a producer may say beside the task."""

    priority: Priority = None
    defer_by: Optional[Seconds] = None
    defer_until: Optional[datetime] = None


def make_message(
    task_data: Mapping[str, Any], task_id: Optional[str], wishes: Wishes, compress: bool = False
) -> Message:
    """`task_data` has the fields of a task (`data`, `task_type`, …); an id is made where none is given."""
    if not isinstance(task_data, Mapping):
        raise TypeError(f"a task is a dict with a key 'data', not {type(task_data).__name__}")
    fields = dict(task_data)
    fields["task_id"] = str(task_id or fields.get("task_id") or uuid.uuid4())
    if wishes.priority is not None:
        fields["priority"] = wishes.priority
    if wishes.defer_by is not None:
        fields["defer_by"] = seconds(wishes.defer_by, "defer_by")
    if wishes.defer_until is not None:
        fields["defer_until"] = _moment(wishes.defer_until)
    message = Message(fields["task_id"], to_json(fields), _property(fields.get("priority")))
    return _compressed(message) if compress else message


def _compressed(message: Message) -> Message:
    """In gzip, unless that makes it no smaller."""
    packed = gzip.compress(message.body, mtime=0)
    return message._replace(body=packed, encoding="gzip") if len(packed) < len(message.body) else message


def unwrapped(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item of a batch: a task, or one under the key `task_data`, with an id beside it."""
    if "task_data" not in item:
        return item
    inner: Mapping[str, Any] = item["task_data"]
    return {**inner, "task_id": item["task_id"]} if item.get("task_id") else inner


def _moment(when: datetime) -> str:
    if when.tzinfo is None:
        raise ValueError("defer_until needs a time zone: datetime.now(timezone.utc) + timedelta(hours=1)")
    return when.astimezone(timezone.utc).isoformat()


def _property(priority: Priority) -> Optional[int]:
    if priority is None:
        return None
    number = _WORDS.get(priority.lower()) if isinstance(priority, str) and not priority.isdigit() else int(priority)
    if number is None or not 0 <= number <= 9:
        raise ValueError(f"priority must be 0 - 9, low, normal, high or urgent, not {priority!r}")
    return number
