"""The top level of objects that no parser takes: broken, cut off, or several on one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from gridsidecar.wire.strict_json import JsonRefused, parse_json

_SPACE = r"[ \t\r\n]*+"
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY = re.compile(rf"{_SPACE}({_STRING}){_SPACE}:{_SPACE}", re.DOTALL)
_SCALAR = re.compile(rf'{_STRING}|[^\s,:"\[\]{{}}]++', re.DOTALL)
_NESTED = re.compile(rf'{_STRING}|[\[\]{{}}"]', re.DOTALL)  # a quote alone is that of a string without an end
_AFTER = re.compile(rf"{_SPACE}(?:(,)|(}}){_SPACE})?")
_CUT = re.compile(rf'{_SPACE}(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:\\?|"{_SPACE}:?{_SPACE}))?\Z', re.DOTALL)
_PAIR = rf',{_SPACE}({_STRING}){_SPACE}:{_SPACE}({_STRING}|[^\s,:"\[\]{{}}]++){_SPACE}'
_LAST = re.compile(rf"(?:{_PAIR})+}}{_SPACE}\Z", re.DOTALL)
_CLOSING = {"[": "]", "{": "}"}
_MOST_STEPS = 200_000  # inside of nested values: a fifth of a second at most, whatever a line of 4 MiB holds
_STEPS_OF_A_KEY = 20
_CUT_OFF, _BROKEN = -1, -2  # in place of where a value ends


class TopLevel(Struct):
    """The keys of one object with their values as they are written; a value that is not whole is empty."""

    written: dict[str, str] = field(default_factory=dict)
    whole: bool = False  # its last brace was found
    cut: bool = False  # the line ends within it

    def read(self, key: str) -> Any:
        """A text, a number, true or false; None for anything else. What is no character in a text is U+FFFD."""
        written = self.written.get(key)
        if not written:
            return None
        if written.startswith('"'):
            return _text(written)
        try:
            value = parse_json(written)
        except JsonRefused:
            return None
        return None if isinstance(value, (dict, list)) else value


def top_levels(text: str) -> Iterator[TopLevel]:
    """The objects that a line begins with, one after the other, up to the first that is not whole. Takes a fraction of
    a second, and never tells what stands inside of a text or of another object."""
    reader = _Reader(text)
    while reader.at_object():
        found = reader.next_object()
        yield found
        if not found.whole:
            return


def last_values(text: str) -> dict[str, str]:
    """The texts and numbers that stand last in the last object of a line, by their keys, as they are written; `text` is
    the end of that line. It may begin within a text: a quote after a comma is none that a text could hold."""
    found = _LAST.search(text)
    return {_text(key): value for key, value in re.findall(_PAIR, found[0], re.DOTALL)} if found else {}


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._steps = 0

    def at_object(self) -> bool:
        return self._text.startswith("{", self._at)

    def next_object(self) -> TopLevel:
        found = TopLevel()
        self._at += 1
        while self._steps < _MOST_STEPS:
            self._steps += _STEPS_OF_A_KEY
            key = _KEY.match(self._text, self._at)
            if key is None:
                self._end_without_key(found)
                break
            start = key.end()
            name = _text(key[1])
            self._at = self._after_value(start)
            found.written[name] = ""
            if self._at < 0:
                found.cut = self._at == _CUT_OFF
                break
            after = _AFTER.match(self._text, self._at)
            assert after is not None
            if after.lastindex or name == "type":  # what goes on behind a closing quote had another end
                found.written[name] = self._text[start : self._at]
            self._at = after.end()
            if not after[1]:
                found.whole = bool(after[2])
                found.cut = self._at == len(self._text) and not found.whole
                break
        return found

    def _end_without_key(self, found: TopLevel) -> None:
        after = _AFTER.match(self._text, self._at)
        assert after is not None
        found.whole = bool(after[2])
        found.cut = not found.whole and _CUT.match(self._text, self._at) is not None
        self._at = after.end()

    def _after_value(self, start: int) -> int:
        if start == len(self._text):
            return _CUT_OFF
        if not self._text.startswith(("[", "{"), start):
            value = _SCALAR.match(self._text, start)
            if value is None:
                return _CUT_OFF if self._text[start] == '"' else _BROKEN
            return value.end()
        awaited: list[str] = []
        for step in _NESTED.finditer(self._text, start):
            self._steps += 1
            mark = step[0]
            if mark in _CLOSING:
                awaited.append(_CLOSING[mark])
            elif mark in ("]", "}"):
                if awaited.pop() != mark:
                    return _BROKEN
                if not awaited:
                    return step.end()
            elif mark == '"':
                return _CUT_OFF
            if self._steps > _MOST_STEPS:
                return _BROKEN
        return _CUT_OFF


def _text(written: str) -> str:
    if "\\" not in written:
        return written[1:-1]
    try:
        value = str(json.loads(written, strict=False))
    except ValueError:  # an escape that JSON does not know
        return written[1:-1]
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
