"""What is wrong in a message that the sidecar takes all the same, mending the detail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def problems(fields: Mapping[str, Any]) -> Iterator[str]:
    """In words, each naming its field; nothing for a message that is valid under its schema."""
    for name, (allowed, fits) in _DETAILS.get(str(fields.get("type")), {}).items():
        if name in fields and not fits(fields[name]):
            yield f"{name} must be {allowed}"
    if fields.get("type") == "error" and "error" not in fields:
        yield "an error must say what is wrong, in error"


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 255


def _seconds(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


_DETAILS: Mapping[str, Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "log": {
        "level": ("debug, info, warning or error", lambda value: value in ("debug", "info", "warning", "error")),
        "fields": ("an object", lambda value: isinstance(value, dict)),
    },
    "error": {
        "error": ("a text that is not empty", lambda value: _text(value) and bool(value)),
        "error_type": ("a text of 1 - 255 characters", _name),
        "retryable": ("true or false", lambda value: isinstance(value, bool)),
        "retry_after_s": ("seconds, 0 or more", _seconds),
        "traceback": ("a text", _text),
    },
    "ready": {
        "sdk": ("a text of 1 - 255 characters", _name),
        "capabilities": (
            "a list of texts",
            lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
        ),
    },
}
