"""A message's properties survive their stored form."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridsidecar.rules.task import Message
from gridsidecar.wire import decode_properties, encode_properties

KINDS = {bool: True, int: 5, dict: {"x": 1}, type(None): "text"}


def round_trip(message: Message) -> Message:
    text = encode_properties(message)
    assert text.isascii()
    return decode_properties(text, message.body)


def test_a_bare_message_needs_no_text() -> None:
    assert encode_properties(Message(body=b"x")) == "{}"
    assert (
        decode_properties("{}", b"x")
        == decode_properties(None, b"x")
        == decode_properties("", b"x")
        == Message(body=b"x")
    )


def test_every_property_survives() -> None:
    message = Message(
        body=b"\xff",
        message_id="m1",
        content_type="application/json",
        content_encoding="gzip",
        priority=5,
        correlation_id="c",
        reply_to="r",
        type="t",
        app_id="a",
        headers={"x": "é"},
        attempt=3,
        wake_up=True,
        seen_running=2,
    )
    assert round_trip(message) == message


def test_the_body_is_not_in_the_text() -> None:
    assert "body" not in json.loads(encode_properties(Message(body=b"secret", type="t")))


@pytest.mark.parametrize(
    "value",
    [
        b"\x00\xff",
        datetime(2026, 1, 1, 12, tzinfo=UTC),
        Decimal("1.10"),
        math.inf,
        None,
        True,
        2**63,
        {"a": [b"x", {"b": Decimal("2")}]},
        {"$bytes": "not ours"},
        {"$table": {"$table": 1}, "x": b"y"},
        {},
        [],
    ],
)
def test_a_header_value_survives(value: Any) -> None:
    back = round_trip(Message(body=b"", headers={"v": value})).headers["v"]
    assert back == value
    assert type(back) is type(value)


def test_a_table_of_headers_that_looks_like_a_tag_survives() -> None:
    message = Message(body=b"", headers={"$decimal": "1"})
    assert round_trip(message) == message


def test_a_nan_survives() -> None:
    assert math.isnan(round_trip(Message(body=b"", headers={"v": math.nan})).headers["v"])


header_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.datetimes(timezones=st.just(UTC)) | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$bytes", "$x"]), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), header_values, max_size=4), st.binary(max_size=20))
def test_any_headers_survive(headers: dict[str, Any], body: bytes) -> None:
    message = Message(body=body, headers=headers)
    assert round_trip(message) == message


@pytest.mark.parametrize("field", [name for name in Message.__struct_fields__ if name != "body"])
def test_whatever_a_message_has_comes_back(field: str) -> None:
    """Also what a later version adds to it."""
    value = 5 if field == "priority" else KINDS[type(getattr(Message(body=b"x"), field))]
    message = Message(body=b"x", **{field: value})
    assert decode_properties(encode_properties(message), b"x") == message
    with pytest.raises(ValueError, match="no stored properties"):
        decode_properties(json.dumps({field: [1]}), b"x")
