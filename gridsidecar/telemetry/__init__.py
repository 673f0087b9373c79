"""One call per thing that happened. Log lines and counts are derived from it here."""

from __future__ import annotations

import atexit
import logging
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from select import PIPE_BUF
from typing import Any, TextIO

from gridsidecar.clock import SystemClock
from gridsidecar.language import translator
from gridsidecar.language.failures import told_of
from gridsidecar.language.quoting import theirs
from gridsidecar.rules.task import Claim, Report, Status, TaskUpdate
from gridsidecar.telemetry.file import Broken, LogFile, Mended
from gridsidecar.telemetry.formatters import ConsoleFormatter, JsonFormatter
from gridsidecar.telemetry.outlet import Outlet, write_all, write_alone
from gridsidecar.telemetry.stderr import Stderr

_log = logging.getLogger("gridsidecar")
logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False  # shown nowhere, looked up for each line


LONGEST_END = 5.0  # seconds, at most, that the last words may take; they get less where nothing moves

_outlets: list[Outlet] = []
for _library in ("uvicorn",):  # what clients do wrong is told to them
    logging.getLogger(_library).addHandler(logging.NullHandler())
    logging.getLogger(_library).propagate = False

counts: Counter[str] = Counter()  # seldom things that happened in this process, for its figures


def free_stderr(lock: int | None = None) -> None:
    """From now on nobody in this process waits for who reads its stderr; see `finish`. With `lock`, an open file of
    this process that its siblings have opened as well, their lines and ours do not get mixed."""
    if isinstance(sys.stderr, Stderr):
        return

    def stuck() -> None:
        warning("stderr takes no lines", hint="its reader stands still; what does not fit is lost to it, and counted")

    def drained(lost: int) -> None:
        warning("stderr takes lines again", lost_lines=lost)

    fd = sys.stderr.fileno()
    write = partial(write_all, fd) if lock is None else partial(write_alone, lock, fd)
    outlet = _outlet("stderr", write, stuck=stuck, drained=drained)
    sys.stderr = Stderr(sys.stderr, outlet)


def finish() -> bool:
    """Let what was told get out, as far as it can in a moment. Comes by itself at the end of the process."""
    until = SystemClock().monotonic() + LONGEST_END
    unfinished = [outlet for outlet in _outlets if not outlet.finish(until)]  # each is waited for
    return not unfinished


def _outlet(name: str, write: Callable[[bytes], None], **rest: Any) -> Outlet:
    if not _outlets:
        atexit.register(_close)
    outlet = Outlet(f"gridsidecar {name}", write, **rest)
    _outlets.append(outlet)
    return outlet


def _close() -> None:
    """The threads end with the process. What Python may have to say after this must not wait for a reader, either."""
    moving = finish()
    if isinstance(sys.stderr, Stderr):
        sys.stderr = sys.stderr.original if moving else None


class _Output(logging.StreamHandler[TextIO]):
    """Each record as one line on stderr and, where there is one, in the log file."""

    def __init__(self, stream: TextIO, file: Outlet | None, lines: ConsoleFormatter | JsonFormatter) -> None:
        super().__init__(stream)
        self._file = file
        self._lines = lines
        self.setFormatter(lines)

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        with suppress(OSError, ValueError):  # stderr is closed or its disk is full: nobody is left to tell
            self.stream.write(line + "\n")  # stderr flushes whole lines by itself
        if self._file is not None:
            kept = self._lines.in_file(record, line)
            self._file.put(f"{kept}\n".encode("utf-8", "backslashreplace"))


def configure(level: str, fmt: str, *, language: str = "en", file: LogFile | None = None) -> None:
    """Send log lines of `level` and above to stderr and into `file`, for people (`console`) or machines (`json`)."""
    kept = None if file is None else _file_outlet(file)
    output = _Output(sys.stderr, kept, _formatter(fmt, language))
    _log.handlers[:] = [output]
    _log.setLevel(level)
    _log.propagate = False
    if kept is not None:
        kept.put(b"")  # a folder that cannot be used is told at the start


def _file_outlet(file: LogFile) -> Outlet:
    """What is wrong with the file is told on stderr: a broken file takes no lines."""

    def broken(reason: str) -> None:
        warning("log file cannot be written", reason=reason, hint="stderr has every line; it is tried again")

    def mended(lost: int) -> None:
        info("log file works again", lost_lines=lost)

    def write(lines: bytes) -> None:
        match file.keep(lines):
            case Broken(reason):
                broken(reason)
            case Mended(lost):
                mended(lost)

    hung = partial(broken, f"its disk takes nothing: {file.path}")
    return _outlet("log file", write, stuck=hung, drained=mended, batch=4 * PIPE_BUF)


def _formatter(fmt: str, language: str) -> ConsoleFormatter | JsonFormatter:
    words: Mapping[str, str] = {}
    if language == "zh":
        from gridsidecar.language.chinese.log import CHINESE as words  # only whoever reads it pays for it
    if fmt == "console":
        return ConsoleFormatter(words, translator(language))
    # What a stderr without Unicode makes of a character is not always JSON.
    ascii_only = sys.stderr.encoding.lower().replace("-", "") != "utf8"
    return JsonFormatter(words, translator(language), ascii_only=ascii_only)


def event(level: int, text: str, **fields: object) -> None:
    """Something happened; `fields` with the value None are left out."""
    if _log.isEnabledFor(level):
        _record(level, text, fields)


def _record(level: int, text: str, fields: Mapping[str, object], cause: BaseException | None = None) -> None:
    # Made by hand: `log` would walk the stack for a file and line that no formatter of ours shows.
    exc_info = None if cause is None else (type(cause), cause, cause.__traceback__)
    record = logging.LogRecord(_log.name, level, "", 0, text, None, exc_info)
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


LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

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
            error=update.error and _error_of(update),
            retry_in=update.retry_in,
            trace_id=update.trace_id,
        )


def _error_of(update: TaskUpdate) -> str:
    return told_of(update.error or "", update.last_error_type or update.error_type, began=update.attempt > 0)


def handler_said(claim: Claim, stream: str, text: str, level: str = "info") -> None:
    """A handler printed a line, or said one by an event of the protocol."""
    event(
        LEVELS[level],
        "handler output",
        task_id=claim.task_id,
        attempt=claim.attempt,
        stream=stream,
        line=text,
        trace_id=claim.trace_id,
    )


def handler_said_more(claim: Claim, lines: int) -> None:
    """A handler printed more lines than the log takes in so short a time."""
    info(
        "handler output left out of the log",
        task_id=claim.task_id,
        attempt=claim.attempt,
        lines=lines,
        trace_id=claim.trace_id,
    )


def rescued(*, task_id: str, attempt: int, worker: str, silent_for: float | None) -> None:
    """An attempt's worker is dead: the task is ours now."""
    seconds = None if silent_for is None else round(silent_for, 1)
    warning("task taken over from a dead worker", task_id=task_id, attempt=attempt, worker=worker, silent_for=seconds)


def superseded(claim: Claim, report: Report) -> None:
    """An attempt ended whose task belongs to somebody else by now."""
    info(
        "task superseded",
        task_id=claim.task_id,
        type=claim.task.task_type,
        attempt=claim.attempt,
        seconds=round(report.duration_s, 3),
        trace_id=claim.trace_id,
    )


def duplicate(*, task_id: str, why: str, news: bool) -> None:
    """A message that its task does not need was acked; `news`: its producer may wonder where it went."""
    event(logging.INFO if news else logging.DEBUG, "duplicate message dropped", task_id=task_id, why=why)


def leaseless(*, task_id: str, looks_again_in: float) -> None:
    """A task's row says that it runs, in an earlier system that keeps no lease."""
    warning(
        "a task is said to run in an earlier system",
        task_id=task_id,
        hint="if its worker is gone, set the row's status to pending",
        looks_again_in=looks_again_in,
    )


def reattached(*, task_id: str, attempt: int) -> None:
    """The broker handed out a running task's message again, to us."""
    info("message came again, the attempt goes on", task_id=task_id, attempt=attempt)


def refused(*, task_id: str | None, reason: str, error: str) -> None:
    """A message that can never run went to the dead letters."""
    counts["dead letters"] += 1
    warning("message refused", task_id=task_id, reason=reason, error=error)


def kept(*, row: str, reason: str, news: bool) -> None:
    """A message was refused, and no dead-letter queue took it."""
    level = logging.WARNING if news else logging.DEBUG
    event(level, "message refused, kept in the database until there are dead letters", row=row, reason=reason)


def unexpected_error(error: BaseException) -> None:
    """An error that no rule covers; the traceback is for the bug report."""
    _record(logging.ERROR, "unexpected error", {"error_type": type(error).__name__, "error": theirs(str(error))}, error)


def died(part: str, error: BaseException) -> None:
    """A loop ended that should go on as long as its process."""
    _record(logging.ERROR, "a part of this process has died", {"part": part, "error": theirs(str(error))}, error)


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
