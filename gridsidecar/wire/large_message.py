"""From a broker message of any size to a task, with what is large in it left where it is."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gridsidecar.rules.task import Message, Task
from gridsidecar.wire.body import BodyRefused, check_text, inflated_size, large_body
from gridsidecar.wire.fields import FIELDS, OTHER_NAMES, task_id_problem
from gridsidecar.wire.json_scan import check_counts, members, value_end, value_start
from gridsidecar.wire.json_text import JsonText
from gridsidecar.wire.refused import Refused
from gridsidecar.wire.strict_json import JsonRefused
from gridsidecar.wire.task_message import early_id, json_sentence, task_of

SMALL = 8192  # bytes; up to here a message is decoded as a whole: its values may take 25 times as much memory
_FIELD = 4096  # bytes; up to here a field of a large message is decoded, while all of them together are small


def is_small(message: Message, max_bytes: int) -> bool:
    """Whether a message may be decoded at once, as a whole: also one that is refused before it is inflated."""
    try:
        return inflated_size(message, max_bytes) <= SMALL
    except BodyRefused:
        return True


def read_large(message: Message, max_bytes: int, room: int) -> Task | Refused:
    """As `decode_task`, for what is not small: large values stay in their message, as `JsonText`. `room` is how many
    bytes the message may take for a while, here and where it is stored; one that needs more is refused."""
    fields: dict[str, Any] = {}
    try:
        size = inflated_size(message, max_bytes)
        if _packed(message, size) > room:
            return _no_room(early_id(message), _packed(message, size), room)
        raw = large_body(message, size)
        check_text(raw)
        _read(raw, message, fields)
    except BodyRefused as refused:
        return Refused(refused.reason, early_id(message), refused.error)
    except JsonRefused as refused:
        if refused.reason == "not-an-object":
            return Refused(refused.reason, None, "The message must be a JSON object.")
        return Refused(refused.reason, _usable_id(fields), json_sentence(refused))
    needed = _needed(message, fields)
    if needed <= room:
        return task_of(message, fields)
    task = task_of(message, _without_large(fields))
    return replace(_no_room(_usable_id(fields), needed, room), task=task if isinstance(task, Task) else None)


def _without_large(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What the row of a refused message has. A callback without its own data might go to another receiver."""
    small = {name: value for name, value in fields.items() if not isinstance(value, JsonText)}
    if "callback_data" in fields and "callback_data" not in small:
        small |= {"callback_url": None, "callback_type": None}
    return small


def _usable_id(fields: Mapping[str, Any]) -> str | None:
    task_id = fields.get("task_id")
    return task_id if task_id_problem(task_id) is None else None


def _packed(message: Message, size: int) -> int:
    """Bytes that reading takes: of a body that came as it is, none."""
    return 0 if size == len(message.body) else size


def _needed(message: Message, fields: Mapping[str, Any]) -> int:
    """Bytes that storing takes: what is large is in memory up to three times on its way into a row, and the body twice
    beside itself. A callback repeats its data in ASCII, where a character may take six bytes."""
    sizes = {name: len(value) for name, value in fields.items() if isinstance(value, JsonText)}
    row = 3 * (sizes.get("data", 0) + sizes.get("callback_data", 0)) + 2 * len(message.body)
    return max(row, 3 * _ascii_size(fields.get("callback_data")))


def _ascii_size(value: Any) -> int:
    return sum(map(len, value.ascii_chunks())) if isinstance(value, JsonText) else 0


def _no_room(task_id: str | None, needed: int, room: int) -> Refused:
    error = (
        f"The message needs {needed:,} bytes of memory, and {room:,} are there for one message: make it smaller, give "
        "the worker more memory, or raise worker.memory_budget_mb."
    )
    return Refused("no-memory", task_id, error)


def _read(raw: bytes | bytearray, message: Message, fields: dict[str, Any]) -> None:
    start = len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0
    left = SMALL
    for name, at, end in members(raw, start):
        size = end - at
        if size <= _FIELD and (size <= left or name in _OURS):
            fields[name] = json.loads(raw[at:end])
            left -= size
        else:
            fields[name] = JsonText(message, at, end)
    check_counts(raw)


_OURS = {"task_id"} | {name for name, field in FIELDS.items() if not field.large} | OTHER_NAMES.keys()


def stored_text(text: str) -> JsonText:
    """A large JSON text as a value that is passed on; JsonRefused for what is none."""
    raw = text.encode("utf-8", "replace")
    start = value_start(raw)
    end = value_end(raw, start, 0)
    if raw[end:].strip():
        raise JsonRefused("not-json", "more follows its end")
    return JsonText(Message(body=raw), start, end)
