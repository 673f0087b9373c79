"""Checking JSON without building its values: the places of an object's members in a text that may be large."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import NoReturn

from gridsidecar.wire.strict_json import MAX_CONTAINERS, MAX_DEPTH, MAX_KEYS, MAX_VALUES, JsonRefused, parse_json

MAX_MEMBERS = 10_000  # at the top level, where each is known by name
_AT_ONCE = 3  # levels of nesting that one expression takes

# Every repetition is possessive: nothing is remembered for going back, however long the text is.
_SPACE = rb"[ \t\n\r]*+"
_HEX = rb"[0-9a-fA-F]"
_ESCAPE = (
    rb'\\(?:["\\/bfnrt]|u(?:[0-9abcefABCEF]' + _HEX + rb"{3}"
    rb"|[dD](?:[0-7]" + _HEX + rb"{2}|[89abAB]" + _HEX + rb"{2}\\u[dD][c-fC-F]" + _HEX + rb"{2})))"
)
_STRING = rb'"[^"\\\x00-\x1f]*+(?:' + _ESCAPE + rb'[^"\\\x00-\x1f]*+)*+"'
# Far within the range of a double; `_odd_number` looks at the others.
_NUMBER = rb"-?(?:0|[1-9][0-9]{0,99}+)(?:\.[0-9]{1,99}+)?+(?:[eE][+-]?[0-9]{1,2}+)?+(?![0-9.eE])"
_SCALAR = rb"(?:" + _STRING + rb"|" + _NUMBER + rb"|true|false|null)"
_KEY = _STRING + _SPACE + rb":" + _SPACE


def _value(levels: int) -> bytes:
    """A value of so many levels of lists and objects."""
    if not levels:
        return _SCALAR
    inner = _value(levels - 1) + _SPACE
    items = inner + rb"(?:," + _SPACE + inner + rb")*+"
    members = _KEY + inner + rb"(?:," + _SPACE + _KEY + inner + rb")*+"
    return (
        rb"(?:" + _SCALAR + rb"|\[" + _SPACE + rb"(?:" + items + rb")?+\]|\{" + _SPACE + rb"(?:" + members + rb")?+\})"
    )


_PLAIN = re.compile(_SCALAR)
_BLANK = re.compile(_SPACE)
_NAME = re.compile(rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE)
_OPEN = {b"[": re.compile(rb"\[" + _SPACE), b"{": re.compile(rb"\{" + _SPACE + rb"(?:(" + _KEY + rb")|(?=\}))")}
_COMMA = {b"[": re.compile(rb"," + _SPACE), b"{": re.compile(rb"," + _SPACE + _KEY)}
_CLOSE = {b"[": b"]", b"{": b"}"}
_ANY_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ANY_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?![0-9.eE])")
_NO_NUMBER = re.compile(rb"NaN|-?Infinity")


@cache  # compiled when first needed: that takes as long as a quarter of a start
def _shallow() -> re.Pattern[bytes]:
    """A value of few levels."""
    return re.compile(_value(_AT_ONCE))


@cache
def _run(around: bytes) -> re.Pattern[bytes]:
    """Whatever comes before the last value of a list or object, and is shallow."""
    key = _KEY if around == b"{" else b""
    return re.compile(rb"(?:" + _value(_AT_ONCE) + _SPACE + rb"," + _SPACE + key + rb")*+")


def members(raw: bytes | bytearray, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each member of the object that is the whole text. JsonRefused, at the place, for what
    `parse_json` refuses too. Takes no memory for what it checks, and half a second for 10 MB."""
    at = value_start(raw, start)
    if raw[at : at + 1] != b"{":
        end = value_start(raw, value_end(raw, at, 0))
        raise JsonRefused("not-json" if end < len(raw) else "not-an-object", _at(at))
    at, count = value_start(raw, at + 1), 0
    while raw[at : at + 1] != b"}" or count:
        name = _NAME.match(raw, at)
        if name is None:
            _refuse(raw, at)
        end = value_end(raw, name.end(), 1)
        count += 1
        if count > MAX_MEMBERS:
            raise JsonRefused("too-large", f"it has more than {MAX_MEMBERS:,} fields")
        yield json.loads(name[1]), name.end(), end
        at = value_start(raw, end)
        if raw[at : at + 1] != b",":
            break
        at = value_start(raw, at + 1)
    if raw[at : at + 1] != b"}":
        _refuse(raw, at)
    if value_start(raw, at + 1) != len(raw):
        raise JsonRefused("not-json", f"more follows its end {_at(at + 1)}")


def check_counts(raw: bytes | bytearray) -> None:
    """JsonRefused for a text, valid by itself, of more values than a reader should have to hold."""
    for signs, allowed, what in (
        (b"[{", MAX_CONTAINERS, "lists and objects"),
        (b":", MAX_KEYS, "keys"),
        (b",", MAX_VALUES, "values"),
    ):
        count = _count(raw, signs)
        if count > allowed:  # some may stand inside of texts
            count -= sum(_count(text[0], signs) for text in _ANY_STRING.finditer(raw))
        if count > allowed:
            raise JsonRefused("too-large", f"it has {count:,} {what}; {allowed:,} are allowed")


def _count(raw: bytes | bytearray, signs: bytes) -> int:
    return sum(raw.count(sign) for sign in signs)


def value_end(raw: bytes | bytearray, at: int, depth: int) -> int:
    """Where the value ends that begins here, inside of so many others."""
    around: list[bytes] = []
    while True:
        shallow = depth + len(around) + _AT_ONCE <= MAX_DEPTH
        if shallow and around:
            at = _skipped(raw, at, around[-1])
        value = (_shallow() if shallow else _PLAIN).match(raw, at)
        if value is not None:
            at = value.end()
        elif (opened := bytes(raw[at : at + 1])) in _OPEN:
            beginning = _opened(raw, at, depth + len(around))
            at = beginning.end()
            if beginning.lastindex or raw[at : at + 1] != _CLOSE[opened]:  # not empty
                around.append(opened)
                continue
            at += 1
        else:
            at = _odd_number(raw, at)
        while around:
            at = value_start(raw, at)
            if raw[at : at + 1] != _CLOSE[around[-1]]:
                break
            around.pop()
            at += 1
        if not around:
            return at
        comma = _COMMA[around[-1]].match(raw, at)
        if comma is None:
            _refuse(raw, at)
        at = comma.end()


def _skipped(raw: bytes | bytearray, at: int, around: bytes) -> int:
    run = _run(around).match(raw, at)
    assert run is not None  # it matches nothing, too
    return run.end()


def _opened(raw: bytes | bytearray, at: int, depth: int) -> re.Match[bytes]:
    """The beginning of a list or object, with a group for the first key."""
    if depth >= MAX_DEPTH:
        raise JsonRefused("too-deep", f"it is nested deeper than {MAX_DEPTH} levels")
    opened = _OPEN[bytes(raw[at : at + 1])].match(raw, at)
    if opened is None:
        _refuse(raw, value_start(raw, at + 1))
    return opened


def value_start(raw: bytes | bytearray, at: int = 0) -> int:
    """Behind the blank space that is here."""
    blank = _BLANK.match(raw, at)
    assert blank is not None
    return blank.end()


def _odd_number(raw: bytes | bytearray, at: int) -> int:
    """The end of a number that is long, very large or very small, and still one that everybody can hold."""
    number = _ANY_NUMBER.match(raw, at)
    if number is None:
        _refuse(raw, at)
    parse_json(number[0].decode())
    return number.end()


def _refuse(raw: bytes | bytearray, at: int) -> NoReturn:
    if (constant := _NO_NUMBER.match(raw, at)) is not None:
        raise JsonRefused("bad-number", f"{constant[0].decode()} is not a number in JSON")
    text = _ANY_STRING.match(raw, at)
    if text is not None and len(text[0]) <= _LONGEST_LOOK:
        parse_json(text[0].decode())  # it says what is wrong with it
    if text is not None and b"\\u" in text[0]:
        raise JsonRefused("bad-text", f"a text has an escape that stands for no character {_at(at)}")
    raise JsonRefused("not-json", f"no valid JSON {_at(at)}")


_LONGEST_LOOK = 65_536  # bytes


def _at(place: int) -> str:
    return f"at byte {place:,}"
