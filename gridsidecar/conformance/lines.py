"""What a handler's line is by the specification, and what it was probably meant to be."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

from gridsidecar.wire import Event, Ignored, Text, Unreadable

TYPES = {
    "progress": ("progress", "progress_message"),
    "log": ("message", "level", "fields"),
    "heartbeat": (),
    "checkpoint": ("data",),
    "result": ("result",),
    "error": ("error", "error_type", "retryable", "traceback"),
    "ready": ("sdk", "capabilities"),
}
_ALLOWED = re.compile(r"task echoed|it names another (task|attempt)|unknown type ")


class LineKind(StrEnum):
    """What the specification says of a line."""

    EVENT = "event"
    LOG = "log"
    IGNORED = "ignored"  # allowed, and without effect
    VIOLATION = "violation"  # without effect, and a mistake of the handler
    FAILURE = "failure"  # an end that cannot be read: the attempt has failed


def kind_of(heard: Event | Text | Ignored | Unreadable) -> LineKind:
    match heard:
        case Text():
            return LineKind.LOG
        case Unreadable():
            return LineKind.FAILURE
        case Ignored(reason):
            return LineKind.IGNORED if _ALLOWED.match(reason) else LineKind.VIOLATION
        case _:
            return LineKind.EVENT


def near_miss(text: str) -> str | None:
    """Why a line of text on stdout was not taken for a message, if it looks like one; else None."""
    line = text.strip("\ufeff \t\r")
    start = line.find("{")
    if start < 0:
        return None
    value = _object(line[start:])
    if value is None:
        return _broken(line[start:])
    if value.get("type") not in TYPES:
        return None
    if start or not text.startswith("{"):
        return "something stands before the { of a message" if "gs" in value else None
    if "gs" in value:
        return f'"gs" must be the number 1, not {json.dumps(value["gs"])}'
    fields = TYPES[value["type"]]
    meant = not fields or any(name in value for name in fields)
    return f'it has "type": "{value["type"]}" but no "gs": 1' if meant else None


def _object(text: str) -> dict[str, Any] | None:
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_PYTHON = re.compile(r"\{\s*'(gs|type)'\s*:")
_CUT = re.compile(r'\{\s*"gs"\s*:')


def _broken(text: str) -> str | None:
    if _PYTHON.match(text):
        return "it has single quotes: it is Python's form of a dict, not JSON"
    if text.rstrip() == "{":
        return None  # the start of anything
    if _CUT.match(text):
        return "it starts as a message but is not JSON: is it cut off, or spread over several lines?"
    return None
