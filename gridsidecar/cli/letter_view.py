"""A dead letter as an object for programs, and as facts for people."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from gridsidecar import wire
from gridsidecar.cli.letters import Letter
from gridsidecar.cli.screen import clean, cut, json_text
from gridsidecar.task import Task
from gridsidecar.wire.body import BodyRefused, body_text

BODY_SHOWN = 2000  # characters


def summary(letter: Letter) -> dict[str, Any]:
    """One letter of a list, for programs."""
    return {
        "task_id": letter.task_id,
        "message_id": letter.message_id,
        "reason": letter.dead.reason,
        "attempts": letter.dead.attempts,
        "queue": letter.dead.queue,
        "time": _iso(letter.dead.time),
        "bytes": len(letter.dead.message.body),
    }


def whole(letter: Letter) -> dict[str, Any]:
    """The same with properties and body: as text where it is text, inflated; and always byte for byte."""
    return {
        **summary(letter),
        "properties": _properties(letter),
        "body": _text(letter),
        "body_base64": base64.b64encode(letter.dead.message.body).decode("ascii"),
    }


def facts(letter: Letter) -> Iterator[tuple[str, str]]:
    """Label and text of what is worth a line; every text is safe to show."""
    yield "task", clean(letter.task_id or "cannot be read")
    yield "message", clean(letter.message_id or "has no id")
    if isinstance(letter.content, Task):
        yield "type", clean(letter.content.task_type)
    yield "reason", reason(letter)
    if letter.dead.attempts is not None:
        yield "attempts", str(letter.dead.attempts)
    yield "refused" if letter.dead.attempts is None else "failed", local_time(letter.dead.time) or "unknown"
    if letter.dead.queue:
        yield "queue", clean(letter.dead.queue)
    for name, value in _properties(letter).items():
        if name != "message_id":
            yield name, clean(value) if isinstance(value, str) else json_text(value)
    yield "body", _shown_body(letter)


def reason(letter: Letter) -> str:
    return clean(letter.dead.reason or "unknown")


def local_time(moment: datetime | None) -> str:
    """As the person's own clock shows it; empty where nobody wrote it down."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _properties(letter: Letter) -> dict[str, Any]:
    properties: dict[str, Any] = json.loads(wire.encode_properties(letter.dead.message))
    return properties


def _text(letter: Letter) -> str | None:
    message = letter.dead.message
    try:
        return body_text(message, max(letter.max_bytes, len(message.body)))
    except BodyRefused:
        return None


def _shown_body(letter: Letter) -> str:
    body = letter.dead.message.body
    if not body:
        return "empty"
    text = _text(letter)
    if text is None:
        text = body[: 4 * BODY_SHOWN].decode("utf-8", "backslashreplace")
    shown = clean(text[: BODY_SHOWN + 1])
    return f"{cut(shown, BODY_SHOWN)} ({len(body):,} bytes; see --json)" if len(shown) > BODY_SHOWN else shown
