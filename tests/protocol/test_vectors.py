"""The sidecar's own decoders, verdict and `decide` give what the vectors of the specification say."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.clock import system_random
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.conformance.lines import LineKind, kind_of
from gridsidecar.handler.lines import MAX_LINE_BYTES, LineSplitter
from gridsidecar.handler.outcome import Cause, ProcessEnd, TerminalMessage, classify
from gridsidecar.rules.lifecycle import decide
from gridsidecar.rules.retry import RetryPolicy
from gridsidecar.rules.task import Cancelled, Claim, Failed, Interrupted, Message, Outcome, Succeeded, Task
from gridsidecar.wire import (
    CheckpointEvent,
    ErrorEvent,
    Event,
    HeartbeatEvent,
    Ignored,
    LineSource,
    LogEvent,
    ProgressEvent,
    ReadyEvent,
    Refused,
    ResultEvent,
    Unreadable,
    decode_ends,
    decode_event,
    decode_task,
)
from gridsidecar.wire.fields import FIELDS

TOO_LONG = Ignored("no result and no error")
VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"


def vectors(name: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in json.loads((VECTORS / name).read_text())["cases"]]


def given(case: dict[str, Any], name: str) -> bytes:
    """The bytes of a line or body, in whichever way the case writes them."""
    if name in case:
        return str(case[name]).encode()
    if f"{name}_base64" in case:
        return base64.b64decode(case[f"{name}_base64"])
    return "".join(part if isinstance(part, str) else part[0] * part[1] for part in case[f"{name}_parts"]).encode()


# -- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", vectors("lines.json"))
def test_a_line(case: dict[str, Any]) -> None:
    channels = [LineSource(case["channel"])] if "channel" in case else list(LineSource)
    for channel in channels:
        current = {"addressed": case.get("mode") == "persistent", **case.get("current", {})}
        heard = split_and_decoded(given(case, "line"), channel, current)
        kind = LineKind.VIOLATION if heard is None or heard == TOO_LONG else kind_of(heard)
        assert kind.value == case["expect"], channel
        if "event" in case:
            event = fields(heard.event if isinstance(heard, Unreadable) else heard)
            assert {name: event[name] for name in case["event"]} == case["event"]


def split_and_decoded(line: bytes, channel: LineSource, current: dict[str, Any]) -> Any:
    """A line that is too long is known by its beginning and its end only."""
    ends: list[tuple[bytes, bytes]] = []
    lines = LineSplitter(on_discard=lambda *both: ends.append(both)).feed(line + b"\n")
    assert bool(lines) == (len(line) <= MAX_LINE_BYTES)
    return decode_event(lines[0], channel, **current) if lines else decode_ends(*ends[0], channel, **current)


def fields(event: Event) -> dict[str, Any]:
    """An event with the names that the specification gives its fields, and with the sizes of its texts."""
    match event:
        case ProgressEvent(percent, message):
            found: dict[str, Any] = {"type": "progress", "progress": percent, "progress_message": message}
        case LogEvent(level, message, more):
            found = {"type": "log", "level": level, "message": message, "fields": more}
        case HeartbeatEvent():
            found = {"type": "heartbeat"}
        case CheckpointEvent(data):
            found = {"type": "checkpoint", "data": data}
        case ResultEvent(result, _):
            found = {"type": "result", "result": result}
        case ErrorEvent(error, error_type, retryable, after, traceback):
            found = {"type": "error", "error": error, "error_type": error_type, "retryable": retryable}
            found |= {"retry_after_s": after, "traceback": traceback, "traceback_ends": (traceback or "")[-4:]}
        case ReadyEvent(sdk, capabilities, concurrency):
            found = {"type": "ready", "sdk": sdk, "capabilities": list(capabilities), "concurrency": concurrency}
    return found | {f"{name}_length": len(value) for name, value in found.items() if isinstance(value, str)}


# -- outcomes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", vectors("outcome.json"))
def test_an_outcome(case: dict[str, Any]) -> None:
    chosen = {name: case[name] for name in ("exit_codes", "max_result_bytes") if name in case}
    settings = HandlerSettings(command=["x"], **chosen)
    outcome = classify(end_of(case), settings).outcome
    found = told(outcome) | stored(outcome, case)
    assert {name: found[name] for name in case["expect"]} == case["expect"]


def end_of(case: dict[str, Any]) -> ProcessEnd:
    terminal = None
    if case.get("unreadable"):
        terminal = TerminalMessage(ErrorEvent("cannot be read"), late=case.get("late", False), unread=True)
    elif "message" in case:
        event = decode_event(json.dumps({"gs": 1, **case["message"]}).encode(), LineSource.EVENTS)
        assert isinstance(event, (ResultEvent, ErrorEvent))
        terminal = TerminalMessage(event, late=case.get("late", False))
    return ProcessEnd(
        exit_code=case.get("exit"),
        signal=case.get("signal"),
        cause=Cause(case["cause"]) if "cause" in case else None,
        terminal=terminal,
        lost_message=case.get("lost_message", False),
        out_of_memory=case.get("out_of_memory", False),
        timeout=300.0,
        stays=case.get("mode") == "persistent",
        asked=case.get("asked", False),
    )


def told(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Succeeded(result):
            return {"outcome": "success", "result": result}
        case Failed():
            told = {"error": outcome.error, "error_type": outcome.error_type, "retryable": outcome.retryable}
            return {"outcome": "failed", **told}
        case Cancelled():
            return {"outcome": "cancelled"}
        case Interrupted():
            return {"outcome": "given_back"}
        case _:
            raise AssertionError(outcome)


def stored(outcome: Outcome, case: dict[str, Any]) -> dict[str, Any]:
    claim = Claim(
        task=Task(task_id="r-1", message=Message(body=b"{}")),
        attempt=1,
        worker_id="w",
        max_retry_count=case.get("max_retry_count", 0),
        retry_count=case.get("retry_count", 0),
    )
    transition = decide(claim, outcome, RetryPolicy(), system_random(), max_crashes=3)
    assert transition is not None
    return {
        "status": transition.status.value,
        "stored_error_type": transition.error_type,
        "retry_in_s": transition.delay,
        "retry_count": transition.retry_count,
    }


# -- messages of producers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", vectors("task-messages.json"))
def test_a_task_message(case: dict[str, Any]) -> None:
    message = Message(
        body=given(case, "body"), content_encoding=case.get("content_encoding"), priority=case.get("priority")
    )
    found = decode_task(message, case.get("max_bytes", 16 * 1024 * 1024))
    if isinstance(found, Refused):
        assert {"refused": found.reason, "task_id": found.task_id} == case["expect"], found.error
        return
    task = described(found)
    assert {name: task[name] for name in case["expect"]["task"]} == case["expect"]["task"]


def described(task: Task) -> dict[str, Any]:
    read = {
        name: getattr(task, name) if field.of_callback is None else getattr(task.callback, field.of_callback)
        for name, field in FIELDS.items()
    }
    until = None if task.defer_until is None else task.defer_until.isoformat()
    return {**read, "task_id": task.task_id, "defer_until": until}
