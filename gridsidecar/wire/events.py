"""What a handler may say, and how the fields of each message are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from msgspec import Struct, field

from gridsidecar.rules.task import ErrorType
from gridsidecar.wire.fields import shown
from gridsidecar.wire.strict_json import MAX_DEPTH, data_json, deeper_than, json_size

MAX_PROGRESS_MESSAGE = 1024  # bytes, like the next two
MAX_ERROR = 4096
MAX_TRACEBACK = 65536
MAX_ERROR_TYPE = 255  # characters
MAX_CHECKPOINT_DEPTH = MAX_DEPTH - 2  # it comes back inside of two objects, the task and its `run`
MAX_CHECKPOINT = 65536  # bytes as JSON; a larger one is refused, and the one before stands


class LineSource(Enum):
    """Where a line came from. Lines on EVENTS need no `gs`; lines on STDOUT without it are plain text."""

    EVENTS = "events"
    STDOUT = "stdout"


class ProgressEvent(Struct, frozen=True):
    percent: float | None  # 0 – 100
    message: str | None


class LogEvent(Struct, frozen=True):
    level: str  # debug | info | warning | error
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class HeartbeatEvent(Struct, frozen=True):
    """The handler lives."""


class CheckpointEvent(Struct, frozen=True):
    data: Any


class ResultEvent(Struct, frozen=True):
    result: Any
    size: int  # bytes of the result as JSON


class ErrorEvent(Struct, frozen=True):
    error: str
    error_type: str = ErrorType.HANDLER_ERROR
    retryable: bool | None = None
    retry_after: float | None = None  # seconds
    traceback: str | None = None


class ReadyEvent(Struct, frozen=True):
    sdk: str | None
    capabilities: tuple[str, ...] = ()
    concurrency: int = 1  # tasks that it takes at once
    refused: str | None = None  # what it said instead of a number of them


class Text(Struct, frozen=True):
    """Plain log text."""

    line: str


class Ignored(Struct, frozen=True):
    """Counted, never fatal."""

    reason: str


class Unreadable(Struct, frozen=True):
    """It claims to be a result or an error and cannot be read as one, or not whose it is: it fails the attempt."""

    reason: str
    event: ErrorEvent  # what the attempt fails with
    kind: str  # result | error
    task_id: str | None  # of the task that it names
    own: bool = False  # the handler's own error, in its words: only a detail was lost


Event = ProgressEvent | LogEvent | HeartbeatEvent | CheckpointEvent | ResultEvent | ErrorEvent | ReadyEvent


def _progress(value: dict[str, Any]) -> ProgressEvent | Ignored:
    percent, message = value.get("progress"), value.get("progress_message")
    if percent is None and message is None:
        return Ignored("progress without a figure or a message")
    if percent is not None and not (_is_number(percent) and 0 <= percent <= 100):
        return Ignored(f"progress must be a number from 0 to 100, not {shown(percent)}")
    if message is not None and not isinstance(message, str):
        return Ignored(f"progress_message must be a string, not {shown(message)}")
    return ProgressEvent(percent, None if message is None else _head(message, MAX_PROGRESS_MESSAGE))


def _log(value: dict[str, Any]) -> LogEvent | Ignored:
    message, level, fields = value.get("message"), value.get("level"), value.get("fields")
    if not isinstance(message, str):
        return Ignored("log without a message")
    known = level if level in ("debug", "info", "warning", "error") else "info"
    return LogEvent(known, message, fields if isinstance(fields, dict) else {})


def _heartbeat(_: dict[str, Any]) -> HeartbeatEvent:
    return HeartbeatEvent()


def _checkpoint(value: dict[str, Any]) -> CheckpointEvent | Ignored:
    if "data" not in value:
        return Ignored("checkpoint without data")
    size = json_size(value["data"])
    if size > MAX_CHECKPOINT:
        return Ignored(f"the checkpoint has {size} bytes, more than {MAX_CHECKPOINT}: keep a reference in it")
    if deeper_than(1 + MAX_CHECKPOINT_DEPTH, [value["data"]]):
        return Ignored(f"the checkpoint is nested deeper than {MAX_CHECKPOINT_DEPTH} levels")
    return CheckpointEvent(value["data"])


def _result(value: dict[str, Any]) -> ResultEvent:
    result = value.get("result")
    return ResultEvent(result, json_size(result))


def read_error(value: dict[str, Any]) -> ErrorEvent:
    """A reported error is never dropped for a bad detail: the exit code alone could turn it into a success."""
    retryable = value["retryable"] if isinstance(value.get("retryable"), bool) else None
    retry_after = None if retryable is False else _retry_after(value.get("retry_after_s"))
    error_type, traceback = value.get("error_type"), value.get("traceback")
    return ErrorEvent(
        error=_head(_error_text(value.get("error")), MAX_ERROR),
        error_type=error_type[:MAX_ERROR_TYPE] if isinstance(error_type, str) and error_type else "HandlerError",
        retryable=True if retry_after is not None else retryable,
        retry_after=retry_after,
        traceback=_tail(traceback, MAX_TRACEBACK) if isinstance(traceback, str) else None,
    )


def _retry_after(seconds: Any) -> float | None:
    return seconds if _is_number(seconds) and seconds >= 0 else None


def _error_text(error: Any) -> str:
    if error is None or error == "":
        return "The handler reported an error without a text."
    return error if isinstance(error, str) else data_json(error)


def _ready(value: dict[str, Any]) -> ReadyEvent:
    sdk, capabilities = value.get("sdk"), value.get("capabilities")
    known = capabilities if isinstance(capabilities, list) else []
    concurrency = value.get("concurrency", 1)
    counts = isinstance(concurrency, int) and not isinstance(concurrency, bool) and concurrency >= 1
    return ReadyEvent(
        sdk[:MAX_ERROR_TYPE] if isinstance(sdk, str) else None,
        tuple(name for name in known if isinstance(name, str)),
        concurrency if counts else 1,
        None if counts else shown(concurrency),
    )


READERS: dict[str, Callable[[dict[str, Any]], Event | Ignored]] = {
    "progress": _progress,
    "log": _log,
    "heartbeat": _heartbeat,
    "checkpoint": _checkpoint,
    "result": _result,
    "error": read_error,
    "ready": _ready,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _head(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8 from the front, no character split."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore")


def _tail(text: str, limit: int) -> str:
    raw = text.encode()
    return text if len(raw) <= limit else raw[-limit:].decode("utf-8", "ignore")
