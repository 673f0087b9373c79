"""How an attempt ended, from plain values: what the handler said, how its process ended, and what we did to it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from gridsidecar.config.settings import HandlerSettings
from gridsidecar.handler import StopReason
from gridsidecar.task import Cancelled, Disowned, ErrorType, Failed, Interrupted, Outcome, Succeeded
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


def unstarted(reason: StopReason) -> Outcome:
    """The outcome of an attempt that was stopped before its start."""
    match reason:
        case StopReason.CANCEL:
            return Cancelled()
        case StopReason.SHUTDOWN:
            return Interrupted()
        case StopReason.DISOWNED:
            return Disowned()
        case _:
            assert_never(reason)


@dataclass(frozen=True, slots=True)
class Said:
    """The first terminal message; `late` when it came after we asked the process to end."""

    event: ResultEvent | ErrorEvent
    late: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """The whole of stdout as a result, and its size in bytes."""

    value: Any
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """All that is known of a process that is gone. Exactly one of `exit_code` and `signal` is set.

    Of a process that stays, which has said how its task ended, neither is.
    """

    exit_code: int | None = None
    signal: int | None = None
    cause: Cause | None = None
    said: Said | None = None
    output: Output | None = None  # where the handler's result is its stdout
    stderr_line: str = ""  # the last one that is not blank
    lost_message: bool = False  # a message was too long to be read
    out_of_memory: bool = False  # the kernel counted a kill for lack of memory meanwhile
    timeout: float = 0.0  # seconds, of this attempt
    stays: bool = False  # it should have stayed: to exit is no success, whatever the code
    asked: bool = False  # it was asked by a message to give up, before any signal


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    notes: tuple[str, ...] = ()


def judge(end: End, settings: HandlerSettings) -> Verdict:
    """Our own reasons to end it come first, then its message, then the exit code."""
    said = end.said.event if end.said is not None else None
    if end.cause is Cause.DISOWNED:
        return Verdict(Disowned())
    if end.cause is Cause.CANCEL and not (isinstance(said, ResultEvent) and said.size <= settings.max_result_bytes):
        return Verdict(Cancelled())
    if end.cause is Cause.SHUTDOWN and end.asked and isinstance(said, ErrorEvent):
        return Verdict(Interrupted())  # it gave up because we asked it to
    if end.said is not None:
        return Verdict(_by_message(end.said.event, settings), _remarks(end, end.said))
    if end.cause is Cause.SHUTDOWN:
        return Verdict(Interrupted())
    if end.cause is Cause.TIMEOUT:
        return Verdict(_failed(f"timed out after {end.timeout:g} s", ErrorType.TIMEOUT))
    if end.cause is Cause.CLOSED:
        return Verdict(_failed("it closed its end of a pipe before it sent a result", ErrorType.HANDLER_EXIT))
    if end.cause is Cause.STALL:
        silence = f"no message and no output for {settings.stall_timeout:g} s"
        return Verdict(_failed(silence, ErrorType.STALLED))
    return Verdict(_by_signal(end) if end.signal is not None else _by_exit_code(end, settings))


def _by_message(event: ResultEvent | ErrorEvent, settings: HandlerSettings) -> Outcome:
    if isinstance(event, ResultEvent):
        return _too_large(event.size, settings) or Succeeded(event.result)
    return Failed(
        error=event.error,
        error_type=event.error_type,
        retryable=event.retryable,
        retry_after=event.retry_after,
        traceback=event.traceback,
    )


def _remarks(end: End, said: Said) -> tuple[str, ...]:
    word = "result" if isinstance(said.event, ResultEvent) else "error"
    notes = []
    if said.late:
        notes.append(f"late {word}")
    if end.cause is not None:
        notes.append(f"ended by {end.cause} after its {word}" if not said.late else f"ended by {end.cause}")
    elif end.signal is not None:
        notes.append(f"killed by {signal_name(end.signal)} after its {word}")
    elif end.exit_code:
        notes.append(f"exit {end.exit_code} after its {word}")
    return tuple(notes)


def _by_exit_code(end: End, settings: HandlerSettings) -> Outcome:
    if end.exit_code == 0 and not end.stays:
        return _silent_success(end, settings)
    retryable = None
    if end.exit_code in settings.exit_codes.retry:
        retryable = True
    elif end.exit_code in settings.exit_codes.permanent:
        retryable = False
    error = end.stderr_line or f"exit status {end.exit_code}"
    if end.exit_code == 0:
        error = "it ended (exit status 0) before it sent a result"
    return Failed(error=error, error_type=ErrorType.HANDLER_EXIT, retryable=retryable)


def _silent_success(end: End, settings: HandlerSettings) -> Outcome:
    if end.lost_message:
        return _failed(
            "a message of more than 4 MiB was discarded, and no result came: "
            "store large results elsewhere and send a reference",
            ErrorType.HANDLER_ERROR,
        )
    if end.output is None:
        return Succeeded(None)
    return _too_large(end.output.size, settings) or Succeeded(end.output.value)


def _by_signal(end: End) -> Outcome:
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
