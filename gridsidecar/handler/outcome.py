"""How an attempt ended, from plain values: what the handler said, how its process ended, and what we did to it."""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import Any, assert_never

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import StopReason
from gridsidecar.rules.task import Cancelled, Disowned, ErrorType, Failed, Interrupted, Outcome, Succeeded
from gridsidecar.wire import ErrorEvent, ResultEvent


class Cause(StrEnum):
    """Why we ended the process."""

    TIMEOUT = "timeout"
    STALL = "stall"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    DISOWNED = "disowned"
    CLOSED = "closed"  # it can be heard or reached no more

    @classmethod
    def of(cls, reason: StopReason) -> Cause:
        match reason:
            case StopReason.CANCEL:
                return cls.CANCEL
            case StopReason.SHUTDOWN:
                return cls.SHUTDOWN
            case StopReason.DISOWNED:
                return cls.DISOWNED
            case _:
                assert_never(reason)


class TerminalMessage(Struct, frozen=True):
    """The first terminal message; `late` when it came after we asked the process to end."""

    event: ResultEvent | ErrorEvent
    late: bool = False
    unread: bool = False  # it could not be read: `event` says so, and how the process ended tells more


class StdoutResult(Struct, frozen=True):
    """The whole of stdout as a result, and its size in bytes."""

    value: Any
    size: int


class ProcessEnd(Struct, frozen=True, kw_only=True):
    """All that is known of a process that is gone. Exactly one of `exit_code` and `signal` is set.

    Of a process that stays, which has said how its task ended, neither is.
    """

    exit_code: int | None = None
    signal: int | None = None
    cause: Cause | None = None
    terminal: TerminalMessage | None = None
    output: StdoutResult | None = None  # where the handler's result is its stdout
    stderr_line: str = ""  # the last one that is not blank
    lost_message: bool = False  # a message was too long to be read
    out_of_memory: bool = False  # the kernel counted a kill for lack of memory meanwhile
    timeout: float = 0.0  # seconds, of this attempt
    stays: bool = False  # it should have stayed: to exit is no success, whatever the code
    asked: bool = False  # it was asked by a message to give up, before any signal

    @property
    def exited_early(self) -> bool:
        """It left as if all were well, although it should have stayed."""
        return self.stays and self.exit_code == 0


class Classified(Struct, frozen=True):
    outcome: Outcome
    notes: tuple[str, ...] = ()


def classify(end: ProcessEnd, settings: HandlerSettings) -> Classified:
    """Our own reasons to end it come first, then its message, then the exit code. An error that it reports because we
    stopped it for its time has our name for that, and its words."""
    event = end.terminal.event if end.terminal is not None else None
    if end.cause is Cause.DISOWNED:
        return Classified(Disowned())
    if end.cause is Cause.CANCEL and not (isinstance(event, ResultEvent) and event.size <= settings.max_result_bytes):
        return Classified(Cancelled())
    if end.cause is Cause.SHUTDOWN and end.asked and isinstance(event, ErrorEvent):
        return Classified(Interrupted())  # it gave up because we asked it to
    if end.cause is Cause.SHUTDOWN and (end.terminal is None or (end.terminal.unread and end.terminal.late)):
        return Classified(Interrupted())  # what it was about to say was cut off by us
    if end.terminal is not None:
        return Classified(_by_message(end, end.terminal, settings), _remarks(end, end.terminal))
    if (overdue := _overdue(end, settings)) is not None:
        return Classified(overdue)
    if end.cause is Cause.CLOSED:
        return Classified(_failed("it closed its end of a pipe before it sent a result", ErrorType.HANDLER_EXIT))
    if end.exit_code == 0 and not end.stays:
        return Classified(_silent_success(end, settings))
    return Classified(_by_process(end, settings))


def _overdue(end: ProcessEnd, settings: HandlerSettings) -> Failed | None:
    if end.cause is Cause.TIMEOUT:
        return _failed(f"timed out after {end.timeout:g} s", ErrorType.TIMEOUT)
    if end.cause is Cause.STALL:
        return _failed(f"no message and no output for {settings.stall_timeout:g} s", ErrorType.STALLED)
    return None


def _by_message(end: ProcessEnd, terminal: TerminalMessage, settings: HandlerSettings) -> Outcome:
    event = terminal.event
    if isinstance(event, ResultEvent):
        return _too_large(event.size, settings) or Succeeded(event.result)
    failed = Failed(
        error=event.error,
        error_type=event.error_type,
        retryable=event.retryable,
        retry_after=event.retry_after,
        traceback=event.traceback,
    )
    words = event.error if terminal.unread else f"then it said: {event.error} ({event.error_type})"
    if terminal.late and (overdue := _overdue(end, settings)) is not None:
        return replace(failed, error=f"{overdue.error}; {words}", error_type=overdue.error_type)
    if terminal.unread and end.cause is None and (end.signal is not None or end.exit_code or end.exited_early):
        how = _by_process(end, settings)
        retryable = how.retryable if failed.retryable is None else failed.retryable
        return replace(failed, error=f"{how.error}; {words}", error_type=how.error_type, retryable=retryable)
    return failed


def _remarks(end: ProcessEnd, terminal: TerminalMessage) -> tuple[str, ...]:
    word = "result" if isinstance(terminal.event, ResultEvent) else "unreadable message" if terminal.unread else "error"
    notes = []
    if terminal.late:
        notes.append(f"late {word}")
    if end.cause is not None:
        notes.append(f"ended by {end.cause} after its {word}" if not terminal.late else f"ended by {end.cause}")
    elif end.signal is not None:
        notes.append(f"killed by {signal_name(end.signal)} after its {word}")
    elif end.exit_code:
        notes.append(f"exit {end.exit_code} after its {word}")
    return tuple(notes)


def _by_process(end: ProcessEnd, settings: HandlerSettings) -> Failed:
    return _by_signal(end) if end.signal is not None else _by_exit_code(end, settings)


def _by_exit_code(end: ProcessEnd, settings: HandlerSettings) -> Failed:
    retryable = None
    if end.exit_code in settings.exit_codes.retry:
        retryable = True
    elif end.exit_code in settings.exit_codes.permanent:
        retryable = False
    error = end.stderr_line or f"exit status {end.exit_code}"
    if end.exited_early:
        error = "it ended (exit status 0) before it sent a result"
    return Failed(error=error, error_type=ErrorType.HANDLER_EXIT, retryable=retryable)


def _silent_success(end: ProcessEnd, settings: HandlerSettings) -> Outcome:
    if end.lost_message:
        return _failed(
            "a message of more than 4 MiB was discarded, and no result came: "
            "store large results elsewhere and send a reference",
            ErrorType.HANDLER_ERROR,
        )
    if end.output is None:
        return Succeeded(None)
    return _too_large(end.output.size, settings) or Succeeded(end.output.value)


def _by_signal(end: ProcessEnd) -> Failed:
    assert end.signal is not None
    name = signal_name(end.signal)
    if end.signal == signal.SIGKILL and end.out_of_memory:
        return _failed(
            "killed for lack of memory: give the container more, or let the handler use less", ErrorType.OUT_OF_MEMORY
        )
    hint = ""
    if end.signal == signal.SIGKILL:
        hint = " (not by us; the machine or container may have run out of memory, or a limit was reached)"
    elif end.signal == signal.SIGXCPU:
        hint = " (it used up its limit of CPU time, `limits.cpu_seconds`)"
    line = f": {end.stderr_line}" if end.stderr_line else ""
    return _failed(f"killed by {name}{hint}{line}", ErrorType.HANDLER_SIGNAL)


def _too_large(size: int, settings: HandlerSettings) -> Failed | None:
    if size <= settings.max_result_bytes:
        return None
    return _failed(
        f"the result has {size} bytes, more than max_result_bytes ({settings.max_result_bytes}): "
        "store it elsewhere and send a reference",
        ErrorType.HANDLER_ERROR,
    )


def _failed(error: str, error_type: ErrorType) -> Failed:
    return Failed(error=error, error_type=error_type)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
