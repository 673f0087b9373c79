"""A task message made of fields, as a producer does."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gridsidecar.rules.task import Message, Task
from gridsidecar.wire.fields import doubtful
from gridsidecar.wire.large_message import is_small, read_large
from gridsidecar.wire.refused import Refused
from gridsidecar.wire.strict_json import data_json
from gridsidecar.wire.task_message import decode_task


class BadTask(Exception):
    """Why something is no task message, in one sentence."""


def make_task(fields: Mapping[str, Any], max_bytes: int, room: int | None = None) -> Task:
    """A task whose message can be sent, with an id of its own where none is given. `room` is how many bytes of memory
    a worker has for one message, where that is known. Raises BadTask.

    It is read back as a worker will read it, so that its producer hears of a mistake and not the dead-letter queue.
    """
    given = fields.get("task_id")
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise BadTask(f"{name} is {value}: it must be a number of seconds")
    body = data_json({"task_id": uuid.uuid4().hex if given is None else given, **_without_id(fields)}).encode()
    found = decode_task(Message(body=body), max_bytes)
    if room is not None and isinstance(found, Task) and not is_small(found.message, max_bytes):
        large = read_large(found.message, max_bytes, room)
        found = large if isinstance(large, Refused) else found
    if isinstance(found, Refused):
        raise BadTask(found.error)
    for name, why in doubtful(found):  # a worker takes it all the same; whoever is here to hear it may correct it
        raise BadTask(f"{name}: {why}.")
    priority = None if found.fields.get("priority") is None else found.priority
    message = Message(body=body, content_type="application/json", priority=priority)
    return replace(found, message=message)


def _without_id(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "task_id"}
