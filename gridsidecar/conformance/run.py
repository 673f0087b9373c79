"""One task through a handler, from its line to its end, with all that was seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gridsidecar.conformance.handler_under_test import HandlerLine, ObservedExit
from gridsidecar.conformance.lines import LineKind, kind_of, near_miss
from gridsidecar.handler.outcome import TerminalMessage
from gridsidecar.rules.task import Outcome, Succeeded
from gridsidecar.wire import ErrorEvent, Event, Ignored, LineSource, ResultEvent, Text, Unreadable


@dataclass(frozen=True, kw_only=True)
class Run:
    """`ended` and `exit.at` are seconds since the start of the process, as `HandlerLine.at` is."""

    task_id: str
    lines: tuple[HandlerLine, ...]
    outcome: Outcome | None  # None: it did not end in time
    began: float  # when the task was sent
    ended: float
    exit: ObservedExit | None
    leftovers: tuple[str, ...] = ()
    discarded: int = 0  # lines over the limit
    stderr: str = ""  # its last words there
    printed: int = 0  # bytes on stdout
    ready: HandlerLine | None = None  # persistent mode

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @cached_property
    def events(self) -> tuple[HandlerLine, ...]:
        """Valid messages, on whichever channel."""
        return tuple(line for line in self.lines if kind_of(line.heard) is LineKind.EVENT)

    @cached_property
    def terminal(self) -> tuple[HandlerLine, ...]:
        """Messages that end a task, on the channel that decides."""
        return deciding(self.lines)

    @property
    def is_the_result(self) -> bool:
        """What it wrote, as no message says a result: the plain answer of a server."""
        return isinstance(self.outcome, Succeeded) and self.outcome.result is not None and not self.terminal

    def of(self, kind: type[Event]) -> tuple[HandlerLine, ...]:
        return tuple(line for line in self.events if isinstance(line.heard, kind))

    def text(self) -> tuple[HandlerLine, ...]:
        return tuple(line for line in self.lines if isinstance(line.heard, Text))

    def near_misses(self) -> tuple[tuple[HandlerLine, str], ...]:
        """Text that was probably meant to be a message, and what is wrong with it."""
        return tuple((line, why) for line in self.text() if (why := near_miss(line.raw.decode("utf-8", "replace"))))

    def violations(self) -> tuple[HandlerLine, ...]:
        return tuple(line for line in self.lines if kind_of(line.heard) in (LineKind.VIOLATION, LineKind.FAILURE))


def deciding_channel(events: Sequence[HandlerLine]) -> LineSource:
    """The events pipe, where it was used at all."""
    used = (line.channel for line in events if kind_of(line.heard) in (LineKind.EVENT, LineKind.FAILURE))
    return LineSource.EVENTS if LineSource.EVENTS in used else LineSource.STDOUT


def deciding(events: Sequence[HandlerLine]) -> tuple[HandlerLine, ...]:
    """The terminal messages among these, on the channel that decides."""
    channel = deciding_channel(events)
    return tuple(
        line
        for line in events
        if line.channel is channel and isinstance(line.heard, (ResultEvent, ErrorEvent, Unreadable))
    )


def error_of(line: HandlerLine) -> ErrorEvent | None:
    """An error, or one that could not be read."""
    match line.heard:
        case ErrorEvent() as error:
            return error
        case Unreadable(event=error, kind="error"):
            return error
        case _:
            return None


def terminal_of(line: HandlerLine) -> TerminalMessage | None:
    """A terminal message, for a verdict."""
    match line.heard:
        case ResultEvent() | ErrorEvent() as event:
            return TerminalMessage(event)
        case Unreadable(event=error, own=own):
            return TerminalMessage(error, unread=not own)
        case _:
            return None


def names(line: HandlerLine, task_id: str) -> bool:
    """Whether a message is about this task, as far as it can be read."""
    if isinstance(line.heard, Unreadable):
        return line.heard.task_id in (task_id, None)
    return bool(fields_of(line).get("task_id") == task_id)


def fields_of(line: HandlerLine) -> dict[str, Any]:
    """The JSON object of a message; empty where it is none."""
    try:
        value = json.loads(line.raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def shown(line: HandlerLine, width: int = 100) -> str:
    """A line for a report: short, on one line."""
    text = line.raw.decode("utf-8", "replace")
    return text if len(text) <= width else text[: width - 3] + "..."


def reason(line: HandlerLine) -> str:
    return line.heard.reason if isinstance(line.heard, (Ignored, Unreadable)) else ""
