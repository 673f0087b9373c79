"""From a broker message to a task, or to the reason why it can never be one."""

from __future__ import annotations

import re
from typing import Any

from gridsidecar.rules.task import Message, Task
from gridsidecar.wire.body import BodyRefused, body_chunks, body_text
from gridsidecar.wire.fields import FieldRefused, read_task, shown, task_id_problem
from gridsidecar.wire.refused import Refused
from gridsidecar.wire.strict_json import JsonRefused, parse_json, salvage_object


def decode_task(message: Message, max_bytes: int) -> Task | Refused:
    """Never raises for what a message contains. `max_bytes` bounds the body, also after inflating it."""
    if message.callback:  # without its id: the task of that name is another one
        return Refused("callback", None, "The message is a callback, which reports the end of a task; it is no task.")
    try:
        text = body_text(message, max_bytes)
    except BodyRefused as refused:
        return Refused(refused.reason, early_id(message), refused.error)
    try:
        value = parse_json(text)
    except JsonRefused as refused:
        return Refused(refused.reason, _salvaged_id(text), json_sentence(refused))
    if not isinstance(value, dict):
        return Refused("not-an-object", None, f"The message must be a JSON object, not {shown(value)}.")
    return task_of(message, value)


def task_of(message: Message, fields: dict[str, Any]) -> Task | Refused:
    """The task that the fields of a message describe."""
    task_id = fields.get("task_id")
    if task_id is None:
        return Refused("no-task-id", None, "The message has no task_id.")
    problem = task_id_problem(task_id)
    if problem is not None:
        return Refused("bad-task-id", None, problem)
    try:
        return read_task(task_id, message, fields)
    except FieldRefused as refused:
        return Refused("bad-field", task_id, str(refused))


def early_id(message: Message) -> str | None:
    """Of a body that nobody reads, the id of the row that was written before it was sent: whoever writes one says the
    id first."""
    if message.prewritten_id is None:
        return None
    try:
        head = bytes(next(iter(body_chunks(message)), b""))
    except BodyRefused:
        return None
    found = _FIRST.match(head.decode("utf-8", "replace"))
    return None if found is None else _salvaged_id(f"{found[0]}}}")


_FIRST = re.compile(r'\s*\{\s*"task_id"\s*:\s*"(?:[^"\\]|\\.)*"')


def _salvaged_id(text: str) -> str | None:
    task_id = salvage_object(text).get("task_id")
    return task_id if task_id_problem(task_id) is None else None


def json_sentence(refused: JsonRefused) -> str:
    said = "is not JSON" if refused.reason == "not-json" else "cannot be accepted"
    return f"The body {said}: {refused.detail}."
