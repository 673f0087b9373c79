"""What one line from a handler means: an event, plain text, or something to count and ignore."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gridsidecar.task import ErrorType
from gridsidecar.wire.fields import shown
from gridsidecar.wire.handler_input import PROTOCOL_VERSION, TASK_PREFIX
from gridsidecar.wire.strict_json import MAX_DEPTH, JsonRefused, data_json, deeper_than, json_size, parse_json

MAX_PROGRESS_MESSAGE = 1024  # bytes, like the next two
MAX_ERROR = 4096
MAX_TRACEBACK = 65536
MAX_ERROR_TYPE = 255  # characters
MAX_CHECKPOINT_DEPTH = MAX_DEPTH - 2  # it comes back inside of two objects, the task and its `run`
MAX_CHECKPOINT = 65536  # bytes as JSON; a larger one is refused, and the one before stands


class Channel(Enum):
    """Where a line came from. Lines on EVENTS need no `gs`; lines on STDOUT without it are plain text."""

    EVENTS = "events"
    STDOUT = "stdout"


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    percent: float | None  # 0 – 100
    message: str | None


@dataclass(frozen=True, slots=True)
class LogEvent:
    level: str  # debug | info | warning | error
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeartbeatEvent:
    """The handler lives."""


@dataclass(frozen=True, slots=True)
class CheckpointEvent:
    data: Any


@dataclass(frozen=True, slots=True)
class ResultEvent:
    result: Any
    size: int  # bytes of the result as JSON


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    error: str
    error_type: str = ErrorType.HANDLER_ERROR
    retryable: bool | None = None
    retry_after: float | None = None  # seconds
    traceback: str | None = None


@dataclass(frozen=True, slots=True)
class ReadyEvent:
    sdk: str | None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Plain log text."""

    line: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Counted, never fatal."""

    reason: str
    unaddressed_end: bool = False  # a result or an error that does not say of which task


Event = ProgressEvent | LogEvent | HeartbeatEvent | CheckpointEvent | ResultEvent | ErrorEvent | ReadyEvent


def decode_event(
    line: bytes,
    channel: Channel,
    *,
    task_id: str | None = None,
    attempt: int | None = None,
    addressed: bool = False,
) -> Event | Text | Ignored:
    """Never raises. `line` comes without its LF. An event of another task or attempt than the given one is ignored,
    and so is, with `addressed`, one that decides something and names no task."""
    if line.startswith(TASK_PREFIX):  # `cat` is a handler, too: its task needs no parsing
        return Ignored("task echoed")
    raw = line[:-1] if line.endswith(b"\r") else line
    on_stdout = channel is Channel.STDOUT
    if on_stdout and not raw.startswith(b"{"):
        return Text(raw.decode("utf-8", "replace"))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Text(raw.decode("utf-8", "replace")) if on_stdout else Ignored("not UTF-8")
    try:
        value = parse_json(text)
    except JsonRefused as refused:
        return Text(text) if on_stdout and not _claims_to_be_event(text, refused) else Ignored(refused.detail)
    if on_stdout and not _is_marked(value):
        return Text(text)
    return _checked(value, task_id, attempt, addressed)


def _claims_to_be_event(text: str, refused: JsonRefused) -> bool:
    return refused.reason != "not-json" and '"type"' in text and _MARK.search(text) is not None


_MARK = re.compile(r'"gs"\s*:\s*[0-9]')


def _is_marked(value: dict[str, Any]) -> bool:
    return _is_integer(value.get("gs")) and isinstance(value.get("type"), str)


def _checked(value: Any, task_id: str | None, attempt: int | None, addressed: bool) -> Event | Ignored:
    if not isinstance(value, dict):
        return Ignored("not a JSON object")
    version = value.get("gs", PROTOCOL_VERSION)
    if not _is_integer(version) or version != PROTOCOL_VERSION:
        return Ignored(f"protocol version {shown(version)} is not known")
    kind = value.get("type")
    if not isinstance(kind, str):
        return Ignored("no type")
    if kind == "task":
        return Ignored("task echoed")
    if task_id is not None and value.get("task_id", task_id) != task_id:
        return Ignored("it names another task")
    if addressed and kind in _ADDRESSED and "task_id" not in value:
        return Ignored(f"a {kind} that names no task", unaddressed_end=kind in ("result", "error"))
    if attempt is not None and value.get("attempt", attempt) != attempt:
        return Ignored("it names another attempt")
    read = _READERS.get(kind)
    return read(value) if read is not None else Ignored(f"unknown type {shown(kind)}")


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


def _error(value: dict[str, Any]) -> ErrorEvent:
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
    return ReadyEvent(
        sdk[:MAX_ERROR_TYPE] if isinstance(sdk, str) else None, tuple(name for name in known if isinstance(name, str))
    )


_READERS: dict[str, Callable[[dict[str, Any]], Event | Ignored]] = {
    "progress": _progress,
    "log": _log,
    "heartbeat": _heartbeat,
    "checkpoint": _checkpoint,
    "result": _result,
    "error": _error,
    "ready": _ready,
}


_ADDRESSED = frozenset({"progress", "checkpoint", "result", "error"})


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _head(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8 from the front, no character split."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore")


def _tail(text: str, limit: int) -> str:
    raw = text.encode()
    return text if len(raw) <= limit else raw[-limit:].decode("utf-8", "ignore")
