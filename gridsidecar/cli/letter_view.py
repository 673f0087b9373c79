"""A dead letter as facts for people."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from gridsidecar.cli.terminal import clean, cut, json_text, say
from gridsidecar.cli.times import local_time
from gridsidecar.errors import EX_FAILED
from gridsidecar.language import counted
from gridsidecar.language.failures import in_letter
from gridsidecar.language.quoting import theirs

if TYPE_CHECKING:
    from gridsidecar.fleet import Queue
    from gridsidecar.views import LetterInFull, LetterView

BODY_SHOWN = 2000  # characters


def id_of(letter: LetterView) -> str:
    """How people call it; empty where it has no id at all."""
    return letter["task_id"] or letter["message_id"] or ""


def ids_of(letter: LetterView) -> set[str]:
    return {id_ for id_ in (letter["task_id"], letter["message_id"]) if id_}


def facts(letter: LetterInFull) -> Iterator[tuple[str, str]]:
    """Label and text of what is worth a line; every text is safe to show."""
    yield "task", theirs(clean(letter["task_id"] or "")) or "cannot be read"
    yield "message", theirs(clean(letter["message_id"] or "")) or "has no id"
    if letter["task_type"] is not None:
        yield "type", theirs(clean(letter["task_type"]))
    yield "reason", reason(letter)
    if letter["attempts"] is not None:
        yield "attempts", str(letter["attempts"])
    yield "refused" if letter["attempts"] is None else "failed", time_of(letter) or "unknown"
    if letter["queue"]:
        yield "queue", theirs(clean(letter["queue"]))
    for name, value in letter["properties"].items():
        if name != "message_id":
            yield name, theirs(clean(value) if isinstance(value, str) else json_text(value))
    yield "body", _shown_body(letter)


def reason(letter: LetterView) -> str:
    """For `translated`: what the handler of a task that failed said is marked."""
    words = clean(letter["reason"] or "unknown")
    return words if letter["attempts"] is None else in_letter(words)


def time_of(letter: LetterView) -> str:
    """As the person's own clock shows it; empty where nobody wrote it down."""
    return "" if letter["time"] is None else local_time(letter["time"])


def _shown_body(letter: LetterInFull) -> str:
    text, size = letter["body"], letter["bytes"]
    if not size:
        return "empty"
    if text is None:
        start = base64.b64decode(letter["body_base64"] or "")[: 4 * BODY_SHOWN]
        text = start.decode("utf-8", "backslashreplace")
    whole = clean(text[: BODY_SHOWN + 1])
    shown = theirs(cut(whole, BODY_SHOWN))
    return f"{shown} ({size:,} bytes; see --json)" if len(whole) > BODY_SHOWN else shown


async def say_unknown(ids: Set[str], queue: Queue) -> int:
    """Tell of ids that no letter has; the exit code."""
    place = (await queue.info())["dead_letter_queue"]
    for id_ in sorted(ids):
        say(f"no dead letter {id_} in {place}")
    return EX_FAILED


def say_unnamed(count: int) -> None:
    """Tell of letters that an API counts only."""
    if count:
        say(f"{counted(count, 'more letter')}, which the API counts and does not name")
