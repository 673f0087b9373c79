"""What a handler's lines mean on either channel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.rules.task import Claim, Message, Task
from gridsidecar.wire import (
    CheckpointEvent,
    ErrorEvent,
    HeartbeatEvent,
    Ignored,
    LineSource,
    LogEvent,
    ProgressEvent,
    ReadyEvent,
    ResultEvent,
    Text,
    Unreadable,
    data_json,
    decode_event,
    encode_input,
)
from tests.unit.test_wire_task_message import json_values


def line(**fields: Any) -> bytes:
    return json.dumps({"gs": 1, **fields}).encode()


EVENTS = [
    (line(type="progress", progress=40, progress_message="2 of 5"), ProgressEvent(40, "2 of 5")),
    (line(type="progress", progress=0), ProgressEvent(0, None)),
    (line(type="progress", progress=99.5), ProgressEvent(99.5, None)),
    (line(type="progress", progress_message="x"), ProgressEvent(None, "x")),
    (line(type="progress", progress_message="é" * 600), ProgressEvent(None, "é" * 512)),
    (
        line(type="log", level="warning", message="slow", fields={"ms": 812}),
        LogEvent("warning", "slow", {"ms": 812}),
    ),
    (line(type="log", message="x"), LogEvent("info", "x", {})),
    (line(type="log", message="x", level="loud", fields=[1]), LogEvent("info", "x", {})),
    (line(type="heartbeat"), HeartbeatEvent()),
    (line(type="checkpoint", data={"page": 17}), CheckpointEvent({"page": 17})),
    (line(type="checkpoint", data=None), CheckpointEvent(None)),
    (line(type="result", result={"w": 640}), ResultEvent({"w": 640}, 9)),
    (line(type="result", result="é"), ResultEvent("é", 4)),
    (line(type="result"), ResultEvent(None, 4)),
    (
        line(type="error", error="429", error_type="RateLimited", retry_after_s=30, traceback="at x"),
        ErrorEvent("429", "RateLimited", True, 30, "at x"),
    ),
    (line(type="error", error="bad", retryable=False, retry_after_s=30), ErrorEvent("bad", "HandlerError", False)),
    (line(type="error", error="bad", retryable=True), ErrorEvent("bad", "HandlerError", True)),
    (line(type="error", error="x" * 5000, error_type="y" * 300), ErrorEvent("x" * 4096, "y" * 255)),
    (line(type="error", error="e", traceback="a" * 70000 + "end"), ErrorEvent("e", traceback="a" * 65533 + "end")),
    (line(type="ready", sdk="python/0.2.0", capabilities=["cancel"]), ReadyEvent("python/0.2.0", ("cancel",))),
    (line(type="ready"), ReadyEvent(None, ())),
    (line(type="heartbeat", unknown=1) + b"\r", HeartbeatEvent()),
    (b'{ "type":"heartbeat", "gs": 1 }', HeartbeatEvent()),
]


@pytest.mark.parametrize("channel", LineSource)
@pytest.mark.parametrize(("raw", "expected"), EVENTS)
def test_an_event(raw: bytes, expected: object, channel: LineSource) -> None:
    assert decode_event(raw, channel) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"error": "e", "retry_after_s": "30"},
        {"error": "e", "retry_after_s": -1},
        {"error": "e", "retry_after_s": True},
        {"error": "e", "retryable": "yes"},
        {"error": "e", "error_type": 7, "traceback": ["x"]},
        {"error": "e", "error_type": ""},
    ],
)
def test_a_bad_detail_does_not_hide_an_error(fields: dict[str, Any]) -> None:
    assert decode_event(line(type="error", **fields), LineSource.EVENTS) == ErrorEvent("e")


@pytest.mark.parametrize(("error", "text"), [({"code": 1}, '{"code":1}'), (None, None), ("", None)])
def test_an_error_always_has_a_text(error: Any, text: str | None) -> None:
    event = decode_event(line(type="error", error=error), LineSource.EVENTS)
    assert isinstance(event, ErrorEvent)
    assert event.error == (text or "The handler reported an error without a text.")


@pytest.mark.parametrize("channel", LineSource)
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (line(type="task", task_id="t1"), "task echoed"),
        (b'{"gs":2,"type":"heartbeat"}', "version"),
        (b'{"gs":0,"type":"progress","progress":1}', "version"),
        (line(type="acme.note"), "unknown type"),
        (line(type="cancel"), "unknown type"),
        (line(type="progress"), "without"),
        *((line(type="progress", progress=bad), "0 to 100") for bad in (-1, 101, 100.5, True, "50", [50])),
        (line(type="progress", progress_message=5), "progress_message"),
        (line(type="log"), "message"),
        (line(type="log", message=5), "message"),
        (line(type="checkpoint"), "data"),
        (b'{"gs":1,"type":"log","message":"x","n":NaN}', "NaN"),
        (b'{"gs":1,"type":"log","message":"x","n":-Infinity}', "Infinity"),
        (b'{"gs":1,"type":"log","message":"x","n":1e999}', "range"),
        (b'{"gs":1,"type":"log","message":"x","n":' + b"9" * 6000 + b"}", "digits"),
        (b'{"gs":1,"type":"log","message":"x","n":"\\ud800"}', "surrogate"),
        (b'{"gs":1,"type":"log","message":"x","n":' + b"[" * 100 + b"]" * 100 + b"}", "deeper"),
        (b'{"gs":1,"type":"log","message":"x","n":' + b"[" * 5000 + b"]" * 5000 + b"}", "deeper"),
    ],
)
def test_an_event_that_is_ignored(raw: bytes, reason: str, channel: LineSource) -> None:
    event = decode_event(raw, channel)
    assert isinstance(event, Ignored)
    assert reason in event.reason
    assert len(event.reason) < 200


@pytest.mark.parametrize("channel", LineSource)
@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"gs":2,"type":"result"}', "version"),
        (b'{"gs":0,"type":"result"}', "version"),
        (b'{"gs":"1","type":"result"}', "version"),
        (b'{"gs":null,"type":"result"}', "version"),
        (b'{"gs":1,"type":"result","result":NaN}', "NaN"),
        (b'{"gs":1,"type":"result","result":-Infinity}', "Infinity"),
        (b'{"gs":1,"type":"result","result":1e999}', "range"),
        (b'{"gs":1,"type":"result","result":' + b"9" * 6000 + b"}", "digits"),
        (b'{"gs":1,"type":"result","result":"\\ud800"}', "surrogate"),
        (b'{"gs":1,"type":"result","result":' + b"[" * 100 + b"]" * 100 + b"}", "deeper"),
        (b'{"gs":1,"type":"result","result":' + b"[" * 5000 + b"]" * 5000 + b"}", "deeper"),
        (b'{"gs":1,"type":"result","resu', "cut off after 29 bytes"),
        (b'{"gs":1,"type":"result","result":"\xff"}', "UTF-8"),
    ],
)
def test_a_result_that_cannot_be_read(raw: bytes, reason: str, channel: LineSource) -> None:
    event = decode_event(raw, channel)
    assert isinstance(event, Unreadable)
    assert reason in event.reason
    assert (event.kind, event.task_id, event.own) == ("result", None, False)
    assert event.event.error.startswith("its result cannot be read (")
    assert reason in event.event.error
    assert len(event.event.error) < 300
    assert event.event.error_type == "HandlerError"
    assert event.event.retryable is None


@pytest.mark.parametrize(
    ("raw", "on_events"),
    [
        (b"", Ignored),
        (b"hello", Ignored),
        (b'{"type":"heartbeat"}', HeartbeatEvent),
        (b'{"gs":"1","type":"heartbeat"}', Ignored),
        (b'{"gs":true,"type":"heartbeat"}', Ignored),
        (b'{"gs":1.0,"type":"heartbeat"}', Ignored),
        (b'{"gs":1,"type":5}', Ignored),
        (b'{"gs":1}', Ignored),
        (b'{"a":{"gs":1,"type":"heartbeat"}}', Ignored),
        (b' {"gs":1,"type":"heartbeat"}', HeartbeatEvent),
        (b'[{"gs":1,"type":"heartbeat"}]', Ignored),
        (b'{"type":"result","resu', Unreadable),
        (b'{"type":"result","result":NaN}', Unreadable),
        (b'\xef\xbb\xbf{"type":"result","result":1}', Unreadable),
        (b'{"a":NaN}', Ignored),
        (b'{"gs":1,"type":"log","message":"\xff"}', Ignored),
        (b"\xff\xfe", Ignored),
    ],
)
def test_a_line_that_is_text_on_stdout(raw: bytes, on_events: type) -> None:
    assert decode_event(raw, LineSource.STDOUT) == Text(raw.decode("utf-8", "replace"))
    assert isinstance(decode_event(raw, LineSource.EVENTS), on_events)


def test_only_one_carriage_return_is_stripped() -> None:
    assert decode_event(b"a\r\r", LineSource.STDOUT) == Text("a\r")


def test_an_event_of_another_task_or_attempt_is_ignored() -> None:
    def decode(**fields: Any) -> object:
        return decode_event(line(type="heartbeat", **fields), LineSource.EVENTS, task_id="t1", attempt=2)

    assert decode() == decode(task_id="t1", attempt=2) == HeartbeatEvent()
    assert decode(task_id="t2") == Ignored("it names another task")
    assert decode(attempt=1) == Ignored("it names another attempt")


def test_an_echoed_task_is_recognised() -> None:
    claim = Claim(task=Task(task_id="t1", message=Message(body=b"")), attempt=1, worker_id="w", max_retry_count=0)
    echoed = encode_input(claim, mode="task", timeout_s=None, grace_s=10, deadline_ms=None)
    assert decode_event(echoed.rstrip(b"\n"), LineSource.STDOUT) == Ignored("task echoed")


@given(
    st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: b'{"gs":1,"type":"' + tail),
    st.sampled_from(LineSource),
)
def test_any_bytes_mean_something(raw: bytes, channel: LineSource) -> None:
    decode_event(raw, channel)


_KINDS = st.sampled_from(["progress", "log", "heartbeat", "checkpoint", "result", "error", "ready", "task", "x.y"])
_NAMES = st.sampled_from(
    [
        *("progress", "progress_message", "level", "message", "fields", "data", "result", "error", "error_type"),
        *("retryable", "retry_after_s", "traceback", "sdk", "capabilities", "task_id", "attempt", "gs", "type"),
    ]
)


@given(_KINDS, st.dictionaries(_NAMES, json_values, max_size=5), st.sampled_from(LineSource))
def test_any_fields_mean_something_that_can_be_stored(kind: str, fields: dict[str, Any], channel: LineSource) -> None:
    event = decode_event(json.dumps({"gs": 1, "type": kind, **fields}).encode(), channel)
    match event:
        case ProgressEvent(percent=percent):
            assert percent is None or 0 <= percent <= 100
        case ResultEvent(result=result, size=size):
            assert size <= len(data_json(result))
        case ErrorEvent():
            assert event.error
            assert event.retry_after is None or event.retry_after >= 0
            event.error.encode()
        case CheckpointEvent(data=data):
            data_json(data)
