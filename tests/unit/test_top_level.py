"""What broken lines say at their top level: an end that is claimed is found, and never where there is none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.wire import ErrorEvent, LineSource, ResultEvent, Unreadable, decode_ends, decode_event
from gridsidecar.wire.top_level import top_levels
from tests.unit.test_wire_task_message import json_values

CLAIM = {"gs": 1, "type": "result", "result": 1}
MEBIBYTE = 1024 * 1024

pieces = st.sampled_from(
    [
        *('{"gs":1,', '"type":"result"', '"type":"error"', '"error":"x"', '"result":', "{", "}", "[", "]", ",", ":"),
        *('"', '"a"', "\\", "\\u00", "\\ud800", "NaN", "1e400", "1", " ", "\t", "\x00", "\ufeff", "true", "'"),
    ]
)
broken = st.lists(pieces).map(lambda parts: "{" + "".join(parts))
nested = st.recursive(
    st.sampled_from([CLAIM, json.dumps(CLAIM), [CLAIM], "x", 1]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["gs", "type", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def _known_by_its_ends(line: bytes, channel: LineSource, **about: Any) -> Any:
    return decode_ends(line, line, channel, **about)


@given(broken, st.sampled_from(LineSource), st.booleans())
def test_any_line_means_something(text: str, channel: LineSource, addressed: bool) -> None:
    for raw in (text.encode(), text.encode("utf-16"), text.encode("latin-1", "replace")):
        for decode in (decode_event, _known_by_its_ends):
            found = decode(raw, channel, task_id="t1", attempt=1, addressed=addressed)
            if isinstance(found, Unreadable):
                assert found.event.error
                found.event.error.encode()
                assert found.reason.isprintable()


@given(
    st.dictionaries(st.sampled_from(["type", "level", "message", "result", "error"]), nested, min_size=1),
    st.integers(0, 400),
    st.sampled_from(["", "NaN", "]", "garbage", '"', "\\", " said", ","]),
)
def test_what_stands_inside_is_no_end(value: dict[str, Any], cut: int, rest: str) -> None:
    """Without the mark on the top level nothing is, however the line is cut or goes on."""
    line = json.dumps(value)[: cut + 1] + rest
    for decode in (decode_event, _known_by_its_ends):
        assert not isinstance(decode(line.encode(), LineSource.STDOUT), (Unreadable, ErrorEvent, ResultEvent)), line


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key not in CLAIM), json_values, max_size=4), st.data())
def test_an_end_that_is_cut_off_anywhere_is_found(more: dict[str, Any], data: st.DataObject) -> None:
    whole = json.dumps({"gs": 1, "type": "result", **more})
    cut = data.draw(st.integers(len('{"gs": 1, "type": "result"'), len(whole) - 1))
    found = decode_event(whole[:cut].encode(), LineSource.STDOUT)
    assert isinstance(found, Unreadable)
    assert "cut off" in found.reason


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_the_top_level_of_what_is_whole(value: dict[str, Any]) -> None:
    [found] = top_levels(json.dumps(value))
    assert found.whole
    assert found.written == {name: json.dumps(each) for name, each in value.items()}


H = b'{"gs":1,"type":"result","result":'


@pytest.mark.alone
@pytest.mark.parametrize(
    ("head", "unit"),
    [
        *((H, b"["), (H, b"[]"), (H, b"NaN,"), (H + b"[", b'"",'), (H + b'"', b"\\\\"), (H + b'"', b"\xff"), (H, b" ")),
        *((b"", b"{}"), (b"", b"{} "), (b"{", b'"a":1,'), (b"{", b'"\\u0061":1,'), (b'{"', b"\\ud800"), (b"{}", b" ")),
    ],
    ids=str,
)
@pytest.mark.parametrize("channel", LineSource)
def test_no_line_takes_long(channel: LineSource, head: bytes, unit: bytes) -> None:
    line = head + unit * ((4 * MEBIBYTE - len(head)) // len(unit))
    started = time.process_time()
    decode_event(line, channel)
    assert time.process_time() - started < 2  # most of it the parser's own; quadratic would be hours


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key not in CLAIM), json_values, max_size=4), st.data())
def test_an_end_without_its_middle_is_found_by_its_last_keys(more: dict[str, Any], data: st.DataObject) -> None:
    whole = json.dumps({**more, "error": "long", "gs": 1, "type": "error"}).encode()
    head = data.draw(st.integers(1, whole.index(b', "gs"')))
    found = decode_ends(whole[:head], whole[data.draw(st.integers(head, whole.index(b', "gs"'))) :], LineSource.STDOUT)
    assert isinstance(found, Unreadable)


@given(st.dictionaries(st.sampled_from(["level", "message", "text"]), nested, min_size=1), st.data())
def test_what_stands_inside_is_no_end_without_its_middle(value: dict[str, Any], data: st.DataObject) -> None:
    line = json.dumps(value).encode()
    head = data.draw(st.integers(1, len(line)))
    tail = data.draw(st.integers(0, len(line)))
    assert not isinstance(decode_ends(line[:head], line[tail:], LineSource.STDOUT), Unreadable), line
