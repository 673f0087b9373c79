"""Large messages: judged as small ones are, without being decoded, and handed on as they were written."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsidecar.rules.task import Claim, Message, Task
from gridsidecar.wire import JsonText, Refused, Spliced, decode_task, encode_input, is_small, read_large, stored_text
from gridsidecar.wire.strict_json import JsonRefused

LIMIT = 16_777_216
ROOM = 2**40
NUMBERS = b"[" + b",".join([b"1.5"] * 100_000) + b"]"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def large(body: bytes, **properties: Any) -> Task | Refused:
    return read_large(Message(body=body, **properties), LIMIT, ROOM)


def task(body: bytes, **properties: Any) -> Task:
    result = large(body, **properties)
    assert isinstance(result, Task), result
    return result


def line(task: Task, mode: str = "task") -> bytes:
    claim = Claim(task=task, attempt=1, worker_id="w", max_retry_count=0)
    made = encode_input(claim, mode=mode, timeout_s=None, grace_s=1, deadline_ms=None)
    assert isinstance(made, Spliced)
    return b"".join(made.chunks())


def same(small: Task | Refused, big: Task | Refused) -> bool:
    if isinstance(small, Task) and isinstance(big, Task):
        return (small.task_id, small.data, small.fields) == (big.task_id, big.data, big.fields)
    return isinstance(small, Refused) and isinstance(big, Refused)


@settings(max_examples=100)
@given(json_values, st.booleans(), st.integers(0, 3), st.integers(0, 10_000), st.binary(max_size=2))
def test_judged_as_a_small_message(value: Any, ascii_only: bool, indent: int, at: int, put: bytes) -> None:
    body = json.dumps({"task_id": "t", "data": value}, ensure_ascii=ascii_only, indent=indent or None)
    try:
        raw = body.encode()
    except UnicodeEncodeError:
        raw = body.encode("utf-8", "surrogatepass")
    at %= len(raw)
    for candidate in (raw, raw[:at] + put + raw[at + len(put) :], raw[:at] + put + raw[at:], raw[:at] + raw[at + 1 :]):
        message = Message(body=candidate)
        assert same(decode_task(message, LIMIT), read_large(message, LIMIT, ROOM)), candidate


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"NaN", "bad-number"),
        (b"[-Infinity]", "bad-number"),
        (b"1e999", "bad-number"),
        (b"[1e308,1e309]", "bad-number"),
        (b"9" * 309, "bad-number"),
        (b"0." + b"3" * 6000, "bad-number"),
        (b'["\\ud800"]', "bad-text"),
        (b'{"\\udc00":1}', "bad-text"),
        (b"[" * 100 + b"]" * 100, "too-deep"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "too-deep"),
        (b"[1,]", "not-json"),
        (b'{"a": }', "not-json"),
        (b'[{"a":}]', "not-json"),
        (b"[1 2]", "not-json"),
        (b'{"a":1,}', "not-json"),
        (b"01", "not-json"),
        (b'"a\nb"', "not-json"),
        (b'"\\x"', "not-json"),
        (b'"\xff"', "bad-utf-8"),
        (b"[" + b"[]," * 600_000 + b"[]]", "too-large"),
        (b"{" + b",".join(b'"%d":1' % number for number in range(1_000_001)) + b"}", "too-large"),
    ],
)
def test_what_is_refused(value: bytes, reason: str) -> None:
    result = large(b'{"task_id":"t","data":' + value + b"}")
    assert isinstance(result, Refused)
    assert result.reason == reason
    assert result.error.endswith(".")
    assert len(result.error) < 300
    if reason != "bad-utf-8":
        assert result.task_id == "t"


@pytest.mark.parametrize(
    "value",
    [b"[" * 99 + b"]" * 99, b"9" * 308, b"1e308", b"-0.0e-9", b'"\\ud83d\\ude00"', b'"' + b"[,:{" * 300_000 + b'"'],
)
def test_what_is_not(value: bytes) -> None:
    assert task(b'{"task_id":"t","data":' + value + b"}").task_id == "t"


def test_too_many_fields() -> None:
    fields = b",".join(b'"f%d":1' % number for number in range(10_001))
    result = large(b'{"task_id":"t",' + fields + b"}")
    assert isinstance(result, Refused)
    assert result.reason == "too-large"


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_value_is_handed_on_as_it_was_written(packed: bool) -> None:
    data = b'[1.50, 1E5,\n "\xd0\xb9\xf0\x9f\x98\x80", "\\u0439", ' + NUMBERS + b"]"
    body = b'\xef\xbb\xbf {"task_id":"t", "mine":' + data + b',"data":' + data + b', "priority":3 } '
    got = task(gzip.compress(body), content_encoding="gzip") if packed else task(body)
    assert isinstance(got.data, JsonText)
    assert b"".join(got.data.chunks()) == data
    assert got.priority == 3
    read = line(got)
    assert read.isascii()
    assert read.count(b"\n") == 1
    assert b"1.50, 1E5, " in read
    assert json.loads(read)["data"] == json.loads(read)["mine"] == json.loads(data)
    assert json.loads(line(got, "data")) == json.loads(data)


def test_a_large_value_where_a_small_one_belongs() -> None:
    result = large(b'{"task_id":"t","timeout":' + NUMBERS + b"}")
    assert isinstance(result, Refused)
    assert result.error == f"timeout must be seconds from 0 to 315,360,000, not a list of {len(NUMBERS):,} bytes."
    result = large(b'{"task_id":' + NUMBERS + b"}")
    assert isinstance(result, Refused)
    assert result.reason == "bad-task-id"


def test_what_needs_more_memory_than_there_is() -> None:
    packed = Message(body=gzip.compress(b'{"task_id":"t","data":' + NUMBERS + b"}"), content_encoding="gzip")
    plain = Message(body=b'{"task_id":"t","data":' + NUMBERS + b"}")
    for message, room in ((packed, 300_000), (packed, 1_100_000), (plain, 1_900_000)):
        result = read_large(message, LIMIT, room)
        assert isinstance(result, Refused)
        assert result.reason == "no-memory"
        assert "worker.memory_budget_mb" in result.error
    assert isinstance(read_large(packed, LIMIT, 1_300_000), Task)
    assert isinstance(read_large(plain, LIMIT, 2_100_000), Task)


@pytest.mark.alone
def test_a_bomb_is_read_in_the_memory_of_its_bytes() -> None:
    bomb = Message(
        body=gzip.compress(b'{"task_id":"t","data":[' + b"1.5," * 4_000_000 + b"1]}"), content_encoding="gzip"
    )
    task(b'{"task_id": "first", "data": ' + NUMBERS + b"}")  # what is compiled once is no memory of a message
    tracemalloc.start()
    try:
        result = read_large(bomb, LIMIT, ROOM)
        assert isinstance(result, Task)
        assert tracemalloc.get_traced_memory()[1] < 17 * 1024 * 1024
        del result
        tracemalloc.reset_peak()
        assert not is_small(bomb, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024, "its size is counted without keeping it"
    finally:
        tracemalloc.stop()


def test_what_counts_as_small() -> None:
    assert is_small(Message(body=b'{"task_id":"t"}'), LIMIT)
    assert is_small(Message(body=b"x" * 8192), LIMIT)
    assert not is_small(Message(body=b"x" * 8193), LIMIT)
    assert is_small(Message(body=b"x" * 8193), 8192), "it is refused at once"
    assert is_small(Message(body=b"no gzip", content_encoding="gzip"), LIMIT)


def test_of_many_short_fields_no_more_are_decoded_than_of_a_small_message() -> None:
    fields = {f"mine{number}": [[]] * 1000 for number in range(20)}
    result = task(json.dumps({"task_id": "t"} | fields).encode())
    decoded = [value for value in result.fields.values() if isinstance(value, list)]
    assert len(decoded) == 2, "of 4,000 bytes each"


def test_a_stored_text() -> None:
    assert b"".join(stored_text(" [1, 2] ").chunks()) == b"[1, 2]"
    for text in ("[1", "[1] x", "", "x"):
        with pytest.raises(JsonRefused):
            stored_text(text)


def test_what_is_refused_for_want_of_memory_keeps_its_type_and_callback() -> None:
    fields = {"task_id": "t", "task_type": "x", "callback_url": "http://h/", "data": "d" * 100_000}
    refused = read_large(Message(body=json.dumps(fields).encode()), 2**24, 1000)
    assert isinstance(refused, Refused)
    assert refused.task is not None
    assert (refused.task.task_type, refused.task.callback.url, refused.task.data) == ("x", "http://h/", None)
    fields["callback_data"] = {"queue_name": "q", "more": "d" * 100_000}
    refused = read_large(Message(body=json.dumps(fields).encode()), 2**24, 1000)
    assert isinstance(refused, Refused)
    assert refused.task is not None
    assert not refused.task.callback.wanted


@pytest.mark.parametrize("size", [131_072, 131_073, 200_000, 262_144, 262_145, 1_000_003])
@pytest.mark.parametrize("level", [1, 6, 9])
def test_a_bare_deflate_stream_of_any_size_is_whole(size: int, level: int) -> None:
    """What the inflater still holds when all input is taken belongs to the text, too."""
    head = b'{"task_id":"a","data":"'
    raw = head + b"x" * (size - len(head) - 2) + b'"}'
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    message = Message(body=packer.compress(raw) + packer.flush(), content_encoding="deflate")
    task = read_large(message, 2**24, 2**29)
    assert isinstance(task, Task)
    assert b"".join(map(bytes, task.data.chunks())) == raw[len(head) - 1 : -1]
