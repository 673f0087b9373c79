"""The stored form of a message's properties, so that a row can send its message again as it came."""

from __future__ import annotations

import base64
import json
import math
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from gridsidecar.rules.task import Message
from gridsidecar.wire.strict_json import data_json

_DEFAULTS = Message(body=b"")
_NAMES = tuple(name for name in Message.__struct_fields__ if name != "body")
_values = attrgetter(*_NAMES)
_DEFAULT_VALUES: tuple[Any, ...] = _values(_DEFAULTS)


def encode_properties(message: Message) -> str:
    """JSON text of everything but the body; properties at their default are left out."""
    values = _values(message)
    if values == _DEFAULT_VALUES:
        return "{}"
    named = zip(_NAMES, values, _DEFAULT_VALUES, strict=True)
    return data_json({name: _tagged(value) for name, value, default in named if value != default})


def decode_properties(text: str | None, body: bytes) -> Message:
    """The message again; without properties when there is no text. ValueError for a text that is not ours."""
    if not text:
        return Message(body=body)
    try:
        stored = json.loads(text)
        if not isinstance(stored, dict):
            raise ValueError("they are no object")
        properties = {name: _plain(stored[name]) for name in _NAMES if name in stored}
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"these are no stored properties: {error}") from error
    for name, value in properties.items():
        if not _fits(name, value):
            raise ValueError(f"these are no stored properties: {name} is {value!r:.80}")
    return Message(body=body, **properties)


def _fits(name: str, value: Any) -> bool:
    """Whether we can have written it: another value would only fail later, when the message is sent."""
    if name == "priority":
        return value is None or (type(value) is int and 0 <= value <= 255)
    match getattr(_DEFAULTS, name):
        case dict():
            return isinstance(value, dict)
        case bool():
            return isinstance(value, bool)
        case int():
            return type(value) is int and value >= 0
        case _:
            return value is None or isinstance(value, str)


def _tagged(value: Any) -> Any:
    """A header value as JSON; what JSON cannot carry becomes an object with one key that starts with `$`."""
    match value:
        case bytes() | bytearray():
            return {"$bytes": base64.b64encode(value).decode("ascii")}
        case datetime():
            return {"$datetime": value.isoformat()}
        case Decimal():
            return {"$decimal": str(value)}
        case float() if not math.isfinite(value):
            return {"$float": repr(value)}
        case list() | tuple():
            return [_tagged(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _ if hasattr(value, "items"):
            return _tagged_table({str(key): _tagged(item) for key, item in value.items()})
        case _:
            return str(value)


def _tagged_table(table: dict[str, Any]) -> dict[str, Any]:
    """A producer's own `$` key must not be taken for a tag."""
    return {"$table": table} if any(key.startswith("$") for key in table) else table


def _plain(value: Any) -> Any:
    match value:
        case {"$bytes": str(text)} if len(value) == 1:
            return base64.b64decode(text, validate=True)
        case {"$datetime": str(text)} if len(value) == 1:
            return datetime.fromisoformat(text)
        case {"$decimal": str(text)} if len(value) == 1:
            return Decimal(text)
        case {"$float": str(text)} if len(value) == 1:
            return float(text)
        case {"$table": dict(table)} if len(value) == 1:
            return {key: _plain(item) for key, item in table.items()}
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
