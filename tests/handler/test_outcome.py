"""How an attempt ended, as a table."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler.outcome import Cause, ProcessEnd, StdoutResult, TerminalMessage, classify
from gridsidecar.rules.task import Cancelled, Disowned, ErrorType, Failed, Interrupted, Succeeded
from gridsidecar.wire import ErrorEvent, ResultEvent

SETTINGS = HandlerSettings(command=["x"], stall_timeout=7, max_result_bytes=100)
RESULT = TerminalMessage(ResultEvent({"w": 1}, 7))
LATE = TerminalMessage(ResultEvent({"w": 1}, 7), late=True)
LARGE = TerminalMessage(ResultEvent(None, 101))
ERROR = TerminalMessage(ErrorEvent("no", "Mine", False, None, "tb"))
LATE_ERROR = TerminalMessage(ErrorEvent("no"), late=True)
UNREAD = TerminalMessage(ErrorEvent("what?"), unread=True)
LATE_UNREAD = TerminalMessage(ErrorEvent("what?"), late=True, unread=True)

OK, NULL = Succeeded({"w": 1}), Succeeded(None)
MINE = Failed(error="no", error_type="Mine", retryable=False, traceback="tb")


def exited(retryable: bool | None = None, text: str = "") -> Failed:
    return Failed(error=text, error_type=ErrorType.HANDLER_EXIT, retryable=retryable)


TABLE: list[tuple[dict[str, Any], Any, tuple[str, ...]]] = [
    # no message: the exit code
    ({"exit_code": 0}, NULL, ()),
    ({"exit_code": 75}, exited(True, "exit status 75"), ()),
    ({"exit_code": 65}, exited(False, "exit status 65"), ()),
    ({"exit_code": 1, "stderr_line": "why"}, exited(None, "why"), ()),
    ({"exit_code": 0, "stderr_line": "just a warning"}, NULL, ()),
    # no message: the signal
    ({"signal": 11}, "HandlerSignal: killed by SIGSEGV", ()),
    ({"signal": 11, "stderr_line": "why"}, "HandlerSignal: killed by SIGSEGV: why", ()),
    ({"signal": 9}, "HandlerSignal: killed by SIGKILL (not by us", ()),
    ({"signal": 9, "out_of_memory": True}, "OutOfMemory: killed for lack of memory", ()),
    ({"signal": 15, "out_of_memory": True}, "HandlerSignal: killed by SIGTERM", ()),
    ({"signal": signal.SIGXCPU}, "HandlerSignal: killed by SIGXCPU (it used up", ()),
    ({"signal": 42}, "HandlerSignal: killed by signal 42", ()),
    # no message: what we did
    ({"exit_code": 0, "cause": Cause.TIMEOUT, "timeout": 1.5}, "TimeoutError: timed out after 1.5 s", ()),
    ({"signal": 9, "cause": Cause.TIMEOUT, "timeout": 300.0}, "TimeoutError: timed out after 300 s", ()),
    ({"signal": 15, "cause": Cause.STALL}, "Stalled: no message and no output for 7 s", ()),
    ({"signal": 15, "cause": Cause.CANCEL}, Cancelled(), ()),
    ({"exit_code": 0, "cause": Cause.CANCEL}, Cancelled(), ()),
    ({"signal": 15, "cause": Cause.SHUTDOWN}, Interrupted(), ()),
    ({"exit_code": 0, "cause": Cause.SHUTDOWN}, Interrupted(), ()),
    ({"signal": 9, "cause": Cause.DISOWNED}, Disowned(), ()),
    # a result
    ({"exit_code": 0, "terminal": RESULT}, OK, ()),
    ({"exit_code": 65, "terminal": RESULT}, OK, ("exit 65 after its result",)),
    ({"signal": 9, "terminal": RESULT, "out_of_memory": True}, OK, ("killed by SIGKILL after its result",)),
    ({"exit_code": 0, "terminal": LATE, "cause": Cause.TIMEOUT}, OK, ("late result", "ended by timeout")),
    ({"signal": 9, "terminal": RESULT, "cause": Cause.STALL}, OK, ("ended by stall after its result",)),
    ({"signal": 15, "terminal": LATE, "cause": Cause.CANCEL}, OK, ("late result", "ended by cancel")),
    ({"signal": 15, "terminal": RESULT, "cause": Cause.SHUTDOWN}, OK, ("ended by shutdown after its result",)),
    ({"exit_code": 0, "terminal": RESULT, "cause": Cause.DISOWNED}, Disowned(), ()),
    ({"exit_code": 0, "terminal": LARGE}, "HandlerError: the result has 101 bytes", ()),
    ({"signal": 15, "terminal": LARGE, "cause": Cause.CANCEL}, Cancelled(), ()),
    # an error
    ({"exit_code": 0, "terminal": ERROR}, MINE, ()),
    ({"exit_code": 75, "terminal": ERROR}, MINE, ("exit 75 after its error",)),
    ({"signal": 15, "terminal": ERROR, "cause": Cause.CANCEL}, Cancelled(), ()),
    (
        {"exit_code": 0, "terminal": LATE_ERROR, "cause": Cause.SHUTDOWN},
        "HandlerError: no",
        ("late error", "ended by shutdown"),
    ),
    (
        {"exit_code": 0, "terminal": LATE_ERROR, "cause": Cause.TIMEOUT, "timeout": 1.5},
        "TimeoutError: timed out after 1.5 s; then it said: no (HandlerError)",
        ("late error", "ended by timeout"),
    ),
    (
        {
            "signal": 9,
            "terminal": TerminalMessage(ErrorEvent("aborted", "AbortError"), late=True),
            "cause": Cause.STALL,
        },
        "Stalled: no message and no output for 7 s; then it said: aborted (AbortError)",
        ("late error", "ended by stall"),
    ),
    (
        {
            "terminal": TerminalMessage(ErrorEvent("no", "Mine", False, None, "tb"), late=True),
            "cause": Cause.TIMEOUT,
            "timeout": 2.0,
        },
        Failed(
            error="timed out after 2 s; then it said: no (Mine)",
            error_type=ErrorType.TIMEOUT,
            retryable=False,
            traceback="tb",
        ),
        ("late error", "ended by timeout"),
    ),
    ({"signal": 15, "terminal": ERROR, "cause": Cause.TIMEOUT}, MINE, ("ended by timeout after its error",)),
    # one that could not be read
    ({"exit_code": 0, "terminal": UNREAD}, "HandlerError: what?", ()),
    (
        {"exit_code": 3, "terminal": UNREAD},
        "HandlerExit: exit status 3; what?",
        ("exit 3 after its unreadable message",),
    ),
    (
        {"exit_code": 75, "terminal": UNREAD},
        exited(True, "exit status 75; what?"),
        ("exit 75 after its unreadable message",),
    ),
    (
        {"signal": 9, "out_of_memory": True, "terminal": UNREAD},
        "OutOfMemory: killed",
        ("killed by SIGKILL after its unreadable message",),
    ),
    ({"stays": True, "terminal": UNREAD}, "HandlerError: what?", ()),
    ({"stays": True, "exit_code": 0, "terminal": UNREAD}, "HandlerExit: it ended (exit status 0)", ()),
    ({"signal": 9, "terminal": LATE_UNREAD, "cause": Cause.SHUTDOWN}, Interrupted(), ()),
    ({"signal": 9, "terminal": LATE_UNREAD, "cause": Cause.CANCEL}, Cancelled(), ()),
    (
        {"signal": 9, "terminal": LATE_UNREAD, "cause": Cause.TIMEOUT, "timeout": 1.0},
        "TimeoutError: timed out after 1 s; what?",
        ("late unreadable message", "ended by timeout"),
    ),
    # stdout as the result
    ({"exit_code": 0, "output": StdoutResult("text", 4)}, Succeeded("text"), ()),
    ({"exit_code": 0, "output": StdoutResult(None, 101)}, "HandlerError: the result has 101 bytes", ()),
    ({"exit_code": 1, "output": StdoutResult("text", 4)}, exited(None, "exit status 1"), ()),
    ({"exit_code": 0, "output": StdoutResult("text", 4), "terminal": RESULT}, OK, ()),
    ({"exit_code": 0, "output": StdoutResult("text", 4), "cause": Cause.SHUTDOWN}, Interrupted(), ()),
    # a message that was too long to be read
    ({"exit_code": 0, "lost_message": True}, "HandlerError: a message of more than 4 MiB", ()),
    ({"exit_code": 75, "lost_message": True}, exited(True, "exit status 75"), ()),
    ({"exit_code": 0, "lost_message": True, "terminal": RESULT}, OK, ()),
]


@pytest.mark.parametrize(("end", "outcome", "notes"), TABLE, ids=lambda value: str(value)[:90])
def test_what_an_end_is_classified_as(end: dict[str, Any], outcome: Any, notes: tuple[str, ...]) -> None:
    classified = classify(ProcessEnd(**end), SETTINGS)
    if isinstance(outcome, str):
        assert isinstance(classified.outcome, Failed)
        assert f"{classified.outcome.error_type}: {classified.outcome.error}".startswith(outcome)
        assert classified.outcome.retryable is None
    else:
        assert classified.outcome == outcome
    assert classified.notes == notes
