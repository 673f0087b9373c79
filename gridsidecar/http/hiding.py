"""Keeps the values of some names out of answers: passwords in a task's data, keys in what a handler says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gridsidecar.config.secrets import HIDDEN


class Hiding:
    """`names` may have `*` for any characters; case does not matter."""

    def __init__(self, names: Sequence[str]) -> None:
        patterns = "|".join(re.escape(name).replace(r"\*", r"[\w.-]*") for name in names)
        self._name = re.compile(rf"(?:{patterns})\Z", re.IGNORECASE) if names else None
        # name=value, name: value, "name": "value"
        self._in_text = (
            re.compile(
                rf"""(?<![\w.-])((?:{patterns})["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&}}]+)""",
                re.IGNORECASE,
            )
            if names
            else None
        )

    def value(self, value: Any) -> Any:
        """A decoded JSON value without what is to be hidden."""
        if self._name is None:
            return value
        match value:
            case dict():
                return {key: HIDDEN if self._name.match(str(key)) else self.value(item) for key, item in value.items()}
            case list():
                return [self.value(item) for item in value]
            case str():
                return self.text(value)
        return value

    def text(self, text: str) -> str:
        """What a handler said."""
        return text if self._in_text is None else self._in_text.sub(rf"\1{HIDDEN}", text)
