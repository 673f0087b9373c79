"""One call per thing that happened. Log lines, and later metrics and spans, are derived from it here."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from gridsidecar.task import Claim, Report, Status, TaskUpdate

_log = logging.getLogger("gridsidecar")
logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False  # shown nowhere, looked up for each line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{key}={_plain(value)}" for key, value in getattr(record, "fields", {}).items())
        line = f"{stamp} {record.levelname:<7} {record.getMessage()}{'  ' + fields if fields else ''}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _plain(value: object) -> str:
    """One field for the console: control characters escaped, so that text from outside cannot forge a line."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text.isprintable() or " " in text or not text else text


def configure(level: str, fmt: str) -> None:
    """Send log lines of `level` and above to stderr, for people (`console`) or machines (`json`)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if fmt == "json" else _ConsoleFormatter())
    _log.handlers[:] = [handler]
    _log.setLevel(level)
    _log.propagate = False


def event(level: int, text: str, **fields: object) -> None:
    """Something happened; `fields` with the value None are left out."""
    if _log.isEnabledFor(level):
        # Made by hand: `log` would walk the stack for a file and line that no formatter of ours shows.
        record = logging.LogRecord(_log.name, level, "", 0, text, None, None)
        record.fields = {key: value for key, value in fields.items() if value is not None}
        _log.handle(record)


def debug(text: str, **fields: object) -> None:
    event(logging.DEBUG, text, **fields)


def info(text: str, **fields: object) -> None:
    event(logging.INFO, text, **fields)


def warning(text: str, **fields: object) -> None:
    event(logging.WARNING, text, **fields)


def error(text: str, **fields: object) -> None:
    event(logging.ERROR, text, **fields)


_STATES = {
    Status.PENDING: "task pending",
    Status.RETRYING: "task retrying",
    Status.SUCCESS: "task success",
    Status.FAILED: "task failed",
    Status.CANCELLED: "task cancelled",
}


def task_update(update: TaskUpdate) -> None:
    """An attempt, or a task without one, came to an end and is stored."""
    level = logging.WARNING if update.error else logging.INFO
    if _log.isEnabledFor(level):
        event(
            level,
            _STATES[update.status],
            task_id=update.task_id,
            type=update.task_type,
            attempt=update.attempt,
            seconds=update.report and round(update.report.duration_s, 3),
            error_type=update.error_type and str(update.error_type),
            error=update.error,
            retry_in=update.retry_in,
        )


def superseded(claim: Claim, report: Report) -> None:
    """An attempt ended whose task belongs to somebody else by now."""
    info(
        "task superseded",
        task_id=claim.task_id,
        type=claim.task.task_type,
        attempt=claim.attempt,
        seconds=round(report.duration_s, 3),
    )


def duplicate(*, task_id: str, why: str, from_producer: bool) -> None:
    """A message that its task does not need was acked; a producer may wonder where it went."""
    event(logging.INFO if from_producer else logging.DEBUG, "duplicate message dropped", task_id=task_id, why=why)


def adopted(*, task_id: str, attempt: int) -> None:
    """The broker handed out a running task's message again, to us."""
    info("message came again, the attempt goes on", task_id=task_id, attempt=attempt)


def refused(*, task_id: str | None, reason: str, error: str) -> None:
    """A message that can never run went to the dead letters."""
    warning("message refused", task_id=task_id, reason=reason, error=error)


def stumbled(error: BaseException) -> None:
    """An error that no rule covers; the traceback is for the bug report."""
    _log.error(f"unexpected {type(error).__name__}: {error}", exc_info=error)


class Readiness:
    """Why this worker is not ready to take tasks, by part (`store`, `broker`, `handler default`, …).

    Logged when it changes, once per change.
    """

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def blocked(self, part: str, reason: str) -> None:
        """`part` keeps us from working; `reason` says what happened and what to do."""
        if self.reasons.get(part) != reason:
            self.reasons[part] = reason
            warning("not ready", part=part, reason=reason)

    def clear(self, part: str) -> None:
        """`part` works (again)."""
        if self.reasons.pop(part, None) is not None:
            info("ready again", part=part)
