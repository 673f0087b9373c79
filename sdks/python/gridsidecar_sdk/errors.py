"""What a handler raises to say what shall happen next, and any exception as an error event."""

from __future__ import annotations

import math
import traceback
from datetime import timedelta
from typing import Any, Optional, Union

MAX_TEXT = 65536  # characters; the sidecar keeps less

Seconds = Union[int, float, timedelta]


class Retry(Exception):
    """The task failed for a reason that passes: try again after `defer` (seconds), else as the policy says."""

    def __init__(self, message: object = "", *, defer: Optional[Seconds] = None, error_type: Optional[str] = None):
        super().__init__(message or "the handler asks for another attempt")
        self.defer = None if defer is None else seconds(defer, "defer")
        self.error_type = error_type


class Permanent(Exception):
    """The task failed for good: no further attempt."""

    def __init__(self, message: object = "", *, error_type: Optional[str] = None):
        super().__init__(message or "the handler gave the task up")
        self.error_type = error_type


class Stopped(BaseException):
    """Raised inside a function whose task is to stop: by SIGTERM, or by a cancel. `except Exception` lets it pass."""


def seconds(value: Seconds, name: str) -> float:
    """ValueError for what is no number of seconds from 0 on."""
    number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{name} must be a number of seconds of at least 0, not {value!r}")
    return number


def error_event(error: BaseException) -> dict[str, Any]:
    """The error event for whatever was raised."""
    event: dict[str, Any] = {
        "type": "error",
        "error": _text(error),
        "error_type": _kind(error),
        "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__))[-MAX_TEXT:],
    }
    if isinstance(error, Permanent):
        event["retryable"] = False
    if isinstance(error, Retry):
        event["retryable"] = True
        if error.defer is not None:
            event["retry_after_s"] = error.defer
    return event


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT] or type(error).__name__
    except Exception:
        return f"{type(error).__name__}, whose text cannot be read"


def _kind(error: BaseException) -> str:
    """Its own name for what happened; of a Retry or Permanent raised `from` another, the name of that one."""
    if isinstance(error, (Retry, Permanent)):
        if error.error_type is not None:
            return error.error_type
        if error.__cause__ is not None:
            return type(error.__cause__).__name__
    return type(error).__name__
