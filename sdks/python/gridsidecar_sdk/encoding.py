"""Values as the JSON that the sidecar takes."""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Optional

MAX_DEPTH = 100
_BRACKET = re.compile(r"[\[{\]}]")
_LONG_NUMBER = re.compile(r"[0-9]{309}")

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
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _whole_characters(text).encode()


def _check(text: str) -> None:
    bare = _outside_of_texts(text)
    if _LONG_NUMBER.search(bare) is not None:
        raise ValueError("JSON with a number of more than 308 digits: send it as a text")
    depth = 0
    for bracket in _BRACKET.findall(bare):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels")


def _outside_of_texts(text: str) -> str:
    """What no quotes are around, without looking at each character: there may be millions."""
    if "\\" in text:  # pairs of backslashes first, or a quote behind one would be taken for part of its text
        text = text.replace("\\\\", "").replace('\\"', "")
    return "".join(text.split('"')[::2])


def _whole_characters(text: str) -> str:
    """Halves of surrogate pairs, as file names may hold them, become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
