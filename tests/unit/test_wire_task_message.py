"""What a message must hold to become a task, and the words for every one that cannot."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.rules.task import Callback, Message, Task
from gridsidecar.wire import Refused, decode_task
from gridsidecar.wire.body import inflated_size, large_body
from gridsidecar.wire.fields import doubtful, is_unusable_url

LIMIT = 1_000_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    *("task_id", "task_type", "data", "max_retry_count", "retry_count", "callback_url", "callback_type"),
    *("callback_data", "priority", "timeout", "defer_by", "_defer_by", "defer_until", "_defer_until"),
)


def decoded(**fields: Any) -> Task | Refused:
    return decode_task(Message(body=json.dumps({"task_id": "t1", **fields}).encode()), LIMIT)


def task(**fields: Any) -> Task:
    result = decoded(**fields)
    assert isinstance(result, Task), result
    return result


def refused(body: bytes, **properties: Any) -> Refused:
    result = decode_task(Message(body=body, **properties), LIMIT)
    assert isinstance(result, Refused), result
    assert result.error.endswith(".")
    assert "\n" not in result.error
    return result


@pytest.mark.parametrize(
    ("body", "reason", "task_id"),
    [
        (b"", "empty", None),
        (b" \r\n", "empty", None),
        (b"\xef\xbb\xbf", "empty", None),
        (b"hello", "not-json", None),
        (b'{"task_id":"t1"', "not-json", None),
        (b'{"task_id":"t1"} x', "not-json", None),
        (b'{"task_id":"t1","data":"a\nb"}', "not-json", None),
        (b'{"task_id":"\xff"}', "bad-utf-8", None),
        (b'{"task_id":"\xed\xa0\x80"}', "bad-utf-8", None),
        ('{"task_id":"t1"}'.encode("utf-16"), "bad-utf-8", None),
        (b"[]", "not-an-object", None),
        (b'"t1"', "not-an-object", None),
        (b"null", "not-an-object", None),
        (b"7", "not-an-object", None),
        (b"{}", "no-task-id", None),
        (b'{"task_id":null}', "no-task-id", None),
        (b'{"task_id":7}', "bad-task-id", None),
        (b'{"task_id":""}', "bad-task-id", None),
        (b'{"task_id":" t1"}', "bad-task-id", None),
        (b'{"task_id":"t1 "}', "bad-task-id", None),
        (b'{"task_id":"t\\u00a0"}', "bad-task-id", None),
        (b'{"task_id":"t\\u0000"}', "bad-task-id", None),
        (b'{"task_id":"t\\n1"}', "bad-task-id", None),
        (b'{"task_id":"t\\u009b1"}', "bad-task-id", None),
        (b'{"task_id":["t1"]}', "bad-task-id", None),
        (b'{"task_id":"' + b"x" * 256 + b'"}', "bad-task-id", None),
        (b'{"task_id":"\\ud800"}', "bad-text", None),
        (b'{"task_id":"t1","data":"\\uD800x"}', "bad-text", "t1"),
        (b'{"task_id":"t1","data":{"\\udc00":1}}', "bad-text", "t1"),
        (b'{"task_id":"t1","data":NaN}', "bad-number", "t1"),
        (b'{"task_id":"t1","data":[-Infinity]}', "bad-number", "t1"),
        (b'{"task_id":"t1","data":1e999}', "bad-number", "t1"),
        (b'{"task_id":"t1","data":' + b"9" * 6000 + b"}", "bad-number", "t1"),
        (b'{"task_id":"t1","data":0.' + b"3" * 6000 + b"}", "bad-number", "t1"),
        (b'{"task_id":"t1","data":' + b"[" * 100 + b"]" * 100 + b"}", "too-deep", "t1"),
        (b'{"task_id":"t1","data":' + b"[" * 5000 + b"]" * 5000 + b"}", "too-deep", None),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "too-deep", None),
        (b"[" * 500_000, "too-deep", None),
        (gzip.compress(b'{"task_id":"t1"}', mtime=0), "not-json", None),
        (b'{"task_id":"t1","data":"' + b"x" * LIMIT + b'"}', "too-large", None),
    ],
)
def test_a_body_that_is_no_task(body: bytes, reason: str, task_id: str | None) -> None:
    result = refused(body)
    assert (result.reason, result.task_id) == (reason, task_id)


def test_a_serialized_java_object_gets_a_hint() -> None:
    assert "Jackson2JsonMessageConverter" in refused(b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap").error


def test_gzip_without_its_property_gets_a_hint() -> None:
    assert "content_encoding" in refused(gzip.compress(b"{}", mtime=0)).error


def test_limits_are_reached_exactly() -> None:
    assert task(task_id="x" * 255).task_id == "x" * 255
    deepest = b'{"task_id":"t1","data":' + b"[" * 99 + b"]" * 99 + b"}"
    assert isinstance(decode_task(Message(body=deepest), LIMIT), Task)
    assert isinstance(decode_task(Message(body=deepest), len(deepest)), Task)
    assert isinstance(decode_task(Message(body=deepest), len(deepest) - 1), Refused)
    assert task(data=int("9" * 308)).data == int("9" * 308)


def test_brackets_inside_text_are_no_depth() -> None:
    assert task(data="[" * 5000).data == "[" * 5000


def test_text_that_only_looks_like_a_surrogate() -> None:
    assert task(data="\\ud800 \U0001f600").data == "\\ud800 \U0001f600"


def test_a_byte_order_mark_is_stripped() -> None:
    assert isinstance(decode_task(Message(body=b'\xef\xbb\xbf{"task_id":"t1"}'), LIMIT), Task)


def _raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b'{"task_id":"t1"}', mtime=0)),
        ("GZIP", gzip.compress(b'{"task_id":"t1"}', mtime=0)),
        ("x-gzip", gzip.compress(b'{"task_id":"t1"}', mtime=0)),
        ("zlib", zlib.compress(b'{"task_id":"t1"}')),
        ("deflate", zlib.compress(b'{"task_id":"t1"}')),
        ("deflate", _raw_deflate(b'{"task_id":"t1"}')),
        ("utf-8", b'{"task_id":"t1"}'),
        ("UTF-8", b'{"task_id":"t1"}'),
        ("identity", b'{"task_id":"t1"}'),
        ("", b'{"task_id":"t1"}'),
    ],
)
def test_a_body_is_inflated_when_its_property_says_so(encoding: str, body: bytes) -> None:
    result = decode_task(Message(body=body, content_encoding=encoding), LIMIT)
    assert isinstance(result, Task)
    assert result.message.body == body


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("gzip", b'{"task_id":"t1"}', "bad-encoding"),
        ("zlib", b'{"task_id":"t1"}', "bad-encoding"),
        ("gzip", b"", "bad-encoding"),
        ("gzip", gzip.compress(b'{"task_id":"t1"}', mtime=0)[:-3], "bad-encoding"),
        ("gzip", gzip.compress(b'{"task_id":"t1"}', mtime=0) + b"x", "bad-encoding"),
        ("zlib", zlib.compress(b'{"task_id":"t1"}') + b"x", "bad-encoding"),
        ("gzip", gzip.compress(b"", mtime=0), "empty"),
        ("gzip", gzip.compress(b"x", mtime=0), "not-json"),
        ("gzip", gzip.compress(b"0" * (LIMIT + 1), mtime=0), "too-large"),
        ("br", b'{"task_id":"t1"}', "bad-encoding"),
        ("gzip, gzip", b'{"task_id":"t1"}', "bad-encoding"),
    ],
)
def test_a_body_that_is_not_what_its_property_says(encoding: str, body: bytes, reason: str) -> None:
    assert refused(body, content_encoding=encoding).reason == reason


@pytest.mark.alone
def test_a_bomb_is_refused_without_inflating_it() -> None:
    bomb = gzip.compress(b"0" * 200_000_000, mtime=0)
    tracemalloc.start()
    started = time.monotonic()
    try:
        assert refused(bomb, content_encoding="gzip").reason == "too-large"
        assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 1


def test_the_least_message_gets_the_defaults() -> None:
    least = task()
    assert least == Task(task_id="t1", message=least.message, fields={"task_id": "t1"})
    null = {name: None for name in FIELDS if name != "task_id"}
    assert task(**null) == Task(task_id="t1", message=task(**null).message, fields={"task_id": "t1", **null})


def test_every_field_is_read_and_unknown_ones_are_kept() -> None:
    full = task(
        task_type="resize",
        data={"n": 1},
        max_retry_count=3,
        callback_url="https://x/",
        callback_type="rabbitmq",
        callback_data={"o": 7},
        priority=5,
        timeout=1.5,
        defer_by=60,
        defer_until="2026-01-01T00:00:00Z",
        mine=[1],
    )
    assert (full.task_type, full.data, full.max_retry_count) == ("resize", {"n": 1}, 3)
    assert full.callback == Callback(url="https://x/", type="rabbitmq", data={"o": 7})
    assert (full.priority, full.timeout, full.defer_by) == (5, 1.5, 60)
    assert full.defer_until == datetime(2026, 1, 1, tzinfo=UTC)
    assert full.fields["mine"] == [1]


@pytest.mark.parametrize(
    ("field", "value", "attribute", "expected"),
    [
        ("max_retry_count", 3.0, "max_retry_count", 3),
        ("max_retry_count", "3", "max_retry_count", 3),
        ("max_retry_count", 1000, "max_retry_count", 1000),
        ("retry_count", 2, "max_retry_count", 2),
        ("priority", "low", "priority", 1),
        ("priority", "normal", "priority", 3),
        ("priority", "HIGH", "priority", 6),
        ("priority", "urgent", "priority", 9),
        ("priority", "7", "priority", 7),
        ("timeout", 0, "timeout", None),
        ("timeout", "2.5", "timeout", 2.5),
        ("_defer_by", 5, "defer_by", 5),
        ("defer_by", 0, "defer_by", 0),
        ("callback_url", "", "callback", Callback()),
        ("callback_type", "", "callback", Callback()),
        ("_defer_until", "2026-01-01T02:00:00+02:00", "defer_until", datetime(2026, 1, 1, tzinfo=UTC)),
        ("defer_until", "2026-01-01T00:00:00", "defer_until", datetime(2026, 1, 1, tzinfo=UTC)),
        ("defer_until", "2026-01-01T00:00:00.1234567Z", "defer_until", datetime(2026, 1, 1, 0, 0, 0, 123456, UTC)),
        ("defer_until", "0001-01-01T00:00:00Z", "defer_until", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_field_as_producers_write_it(field: str, value: Any, attribute: str, expected: Any) -> None:
    assert getattr(task(**{field: value}), attribute) == expected


def test_the_first_of_two_spellings_wins() -> None:
    both = task(max_retry_count=1, retry_count=2, defer_by=3, _defer_by=4)
    assert (both.max_retry_count, both.defer_by) == (1, 3)


@pytest.mark.parametrize(("of_message", "expected"), [(None, 0), (4, 4), (200, 9)])
def test_priority_falls_back_to_the_property(of_message: int | None, expected: int) -> None:
    result = decode_task(Message(body=b'{"task_id":"t1"}', priority=of_message), LIMIT)
    assert isinstance(result, Task)
    assert result.priority == expected


UNREADABLE: dict[str, list[Any]] = {
    "task_type": ["", 7, "x" * 101, "a\0b", "a\nb", []],
    "max_retry_count": [-1, 1001, 1.5, True, "x", "-1", "3x", "٣", [], 10**300],
    "retry_count": [-1, False, {}],
    "callback_url": [7, "x" * 501 + "\0", "a\0b", []],
    "callback_type": ["ftp", 1, [], "HTTP"],
    "priority": [-1, 1.5, True, "top", "1e1", []],
    "timeout": [-1, True, "soon", [], 1e300],
    "defer_by": [-0.1, True, "soon", {}, 1e300],
    "defer_until": [7, "tomorrow", True, [], "9999-12-31T23:59:59-23:00"],
}


@pytest.mark.parametrize(("field", "value"), [(field, bad) for field, all_bad in UNREADABLE.items() for bad in all_bad])
def test_a_field_that_cannot_be_read(field: str, value: Any) -> None:
    result = decoded(**{field: value})
    assert isinstance(result, Refused)
    assert (result.reason, result.task_id) == ("bad-field", "t1")
    assert result.error.startswith(f"{field} must be ")
    assert len(result.error) < 250


@pytest.mark.parametrize("value", [10, "10", 255, 10.0, 2**63])
def test_a_priority_above_the_highest_is_the_highest(value: Any) -> None:
    task = decoded(priority=value)
    assert isinstance(task, Task)
    assert task.priority == 9
    [(field, why)] = doubtful(task)
    assert (field, "is above 9" in why) == ("priority", True)
    assert list(doubtful(decoded(priority=9))) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("callback_type", ["http", "rabbitmq"])
def test_a_url_that_no_row_keeps_costs_its_callback_alone(callback_type: str) -> None:
    task = decoded(callback_url="https://x/" + "y" * 491, callback_type=callback_type, callback_data={"a": 1})
    assert isinstance(task, Task)
    assert task.callback.url is not None
    assert len(task.callback.url) == 500
    assert is_unusable_url(task.callback.url)
    assert (task.callback.type, task.callback.data) == (callback_type, {"a": 1})
    [(field, why)] = doubtful(task)
    assert (field, "501 characters" in why) == ("callback_url", True)
    assert list(doubtful(decoded(callback_url="https://x/" + "y" * 490))) == []  # type: ignore[arg-type]


MEMBERS = {
    "two": [b'{"task_id":', b'"t1"}'],
    "an empty one": [b"", b'{"task_id":"t1"}', b""],
    "one for each byte": [bytes([byte]) for byte in b'{"task_id":"t1"}'],
    "large ones": [b'{"task_id":"t1","data":"' + b"x" * 70_000, b"y" * 140_000 + b'"}'],
}


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_gzip_in_several_members_is_read(members: list[bytes]) -> None:
    body = b"".join(gzip.compress(member, mtime=0) for member in members)
    message = Message(body=body, content_encoding="gzip")
    task = decode_task(message, 1_000_000)
    assert isinstance(task, Task)
    assert task.fields == json.loads(b"".join(members))
    assert inflated_size(message, 1_000_000) == len(b"".join(members))
    assert bytes(large_body(message, len(b"".join(members)))) == b"".join(members)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (gzip.compress(b"{}", mtime=0) * 2 + b"xyz", "3 bytes follow the end"),
        (gzip.compress(b"{}", mtime=0) + gzip.compress(b"{}", mtime=0)[:-2], "cut off"),
        (gzip.compress(b"", mtime=0) * 10_001, "20 bytes follow the end"),
        (gzip.compress(b"x" * 600, mtime=0) + gzip.compress(b"x" * 600, mtime=0), "inflates to more"),
    ],
    ids=["something else follows", "cut off", "too many", "too large"],
)
def test_gzip_in_several_members_must_be_whole_and_small(body: bytes, told: str) -> None:
    result = decode_task(Message(body=body, content_encoding="gzip"), 250_000 if len(body) > 1000 else 1000)
    assert isinstance(result, Refused)
    assert told in result.error


@given(st.binary(max_size=200), st.sampled_from([None, "gzip", "zlib", "deflate", "utf-8", "br"]))
def test_any_bytes_are_a_task_or_refused(body: bytes, encoding: str | None) -> None:
    assert isinstance(decode_task(Message(body=body, content_encoding=encoding), 100), (Task, Refused))


@given(json_values)
def test_any_json_is_a_task_or_refused(value: Any) -> None:
    assert isinstance(decode_task(Message(body=json.dumps(value).encode()), LIMIT), (Task, Refused))


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5))
def test_any_fields_make_a_task_or_are_refused(fields: dict[str, Any]) -> None:
    result = decode_task(Message(body=json.dumps({"task_id": "t1", **fields}).encode()), LIMIT)
    match result:
        case Task():
            assert 0 <= result.priority <= 9
            assert result.max_retry_count is None or 0 <= result.max_retry_count <= 1000
            assert result.timeout is None or result.timeout > 0
        case Refused():
            result.error.encode()


def test_a_body_of_countless_lists_is_refused_before_it_fills_the_memory() -> None:
    body = b'{"task_id": "t", "data": [' + b"[]," * 600_000 + b"[]]}"
    refused = decode_task(Message(body=body), 16_777_216)
    assert isinstance(refused, Refused)
    assert refused.reason == "too-large"


def test_a_time_beyond_what_databases_hold_is_refused() -> None:
    refused = decode_task(Message(body=b'{"task_id": "t", "defer_until": "9999-12-31T23:59:59Z"}'), 1000)
    assert isinstance(refused, Refused)
    assert "9001" in refused.error


def test_a_callback_is_no_task_and_has_nothing_to_do_with_its_namesake() -> None:
    found = refused(b'{"task_id": "t1", "status": "success"}', callback=True)
    assert (found.reason, found.task_id) == ("callback", None)
