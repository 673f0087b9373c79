"""A dead letter as facts for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gridsidecar.cli.screen import clean, cut, json_text
from gridsidecar.dead_letters import Letter
from gridsidecar.shapes import letter_body, letter_properties
from gridsidecar.task import Task

BODY_SHOWN = 2000  # characters


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
    for name, value in letter_properties(letter).items():
        if name != "message_id":
            yield name, clean(value) if isinstance(value, str) else json_text(value)
    yield "body", _shown_body(letter)


def reason(letter: Letter) -> str:
    return clean(letter.dead.reason or "unknown")


def local_time(moment: datetime | None) -> str:
    """As the person's own clock shows it; empty where nobody wrote it down."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _shown_body(letter: Letter) -> str:
    body = letter.dead.message.body
    if not body:
        return "empty"
    text = letter_body(letter)
    if text is None:
        text = body[: 4 * BODY_SHOWN].decode("utf-8", "backslashreplace")
    shown = clean(text[: BODY_SHOWN + 1])
    return f"{cut(shown, BODY_SHOWN)} ({len(body):,} bytes; see --json)" if len(shown) > BODY_SHOWN else shown
