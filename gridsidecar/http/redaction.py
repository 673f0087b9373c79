"""Keeps the values of some names out of answers: passwords in a task's data, keys in what a handler says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gridsidecar.config.secrets import HIDDEN, masked_text
from gridsidecar.wire.strict_json import JsonRefused, parse_json, readable_json

# What stands behind a name: an end of its own quotes, which may be escaped, a sign, and the value. A list, an object,
# an escaped text and whatever follows a colon without quotes are left out up to the end of their line.
_VALUE = (
    r"""([\\"']*\s*(?:=\s*|:\s*))"""
    r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\[{\\][^\n]*|(?<==)[^\s,;&}]+|[^\n]+)"""
)
TEXTS = ("error_message", "progress_message", "traceback", "stderr_tail", "notes", "last_error", "reason")
VALUES = ("data", "result", "callback_data", "checkpoint", "properties", "body")
URLS = ("url", "callback_url")
LISTS = ("attempts", "callbacks")


class Hiding:
    """`names` may have `*` for any characters; case does not matter."""

    def __init__(self, names: Sequence[str]) -> None:
        patterns = "|".join(re.escape(name).replace(r"\*", r"[\w.-]*") for name in names)
        self.active = bool(names)
        self._name = re.compile(rf"(?:{patterns})\Z", re.IGNORECASE)
        self._in_text = re.compile(rf"(?<![\w.-])({patterns}){_VALUE}", re.IGNORECASE)

    def object(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A task, attempt, callback or dead letter as it may be shown: URLs without their passwords in any case."""
        return {name: self._member(name, value) for name, value in row.items()}

    def _member(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in URLS:
            return self.text(masked_text(value))
        if name in LISTS and isinstance(value, list):  # of a dead letter, attempts is a number
            return [self.object(row) for row in value]
        return self.value(value) if name in TEXTS or name in VALUES else value

    def value(self, value: Any) -> Any:
        """A decoded JSON value without what is to be hidden."""
        if not self.active:
            return value
        match value:
            case dict():
                return {key: HIDDEN if self._name.match(str(key)) else self.value(item) for key, item in value.items()}
            case list():
                return [self.value(item) for item in value]
            case str():
                return self.text(value)
        return value

    def json_text(self, text: str | None) -> str | None:
        """JSON text, by its members; what is none, as any other text."""
        if text is None or not self.active:
            return text
        try:
            value = parse_json(text)
        except JsonRefused:
            return self.text(text)
        hidden = self.value(value)
        return text if hidden == value else readable_json(hidden)

    def text(self, text: str) -> str:
        """What a handler said."""
        return self._in_text.sub(rf"\1\2{HIDDEN}", text) if self.active else text
