"""Values as the JSON that the sidecar takes."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Optional

MAX_DEPTH = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{\]}]|[0-9]{309,}')

Default = Optional[Callable[[Any], Any]]


def to_json(value: Any, default: Default = None) -> bytes:
    """One line of it, without its end. TypeError or ValueError when it is no JSON that the sidecar would read."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=default)
    except RecursionError:
        raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels") from None
    except (TypeError, ValueError) as error:
        raise type(error)(f"no JSON value: {error}") from None
    _check(text)
    return _whole_characters(text).encode()


def _check(text: str) -> None:
    depth = 0
    for match in _TOKEN.finditer(text):
        found = match[0]
        if found in "[{":
            depth += 1
        elif found in "]}":
            depth -= 1
        elif found[0] != '"':
            raise ValueError("JSON with a number of more than 308 digits: send it as a text")
        if depth > MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels")


def _whole_characters(text: str) -> str:
    """Halves of surrogate pairs, as file names may hold them, become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
