"""JSON that every reader down the line can hold: bounded depth, finite numbers, no lone surrogates."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

MAX_DEPTH = 100  # MySQL's JSON type takes no more
MAX_CONTAINERS = 500_000  # lists and objects in one text
MAX_KEYS = 1_000_000  # of all objects in a message together
MAX_VALUES = 10_000_000  # in a message: an array of 16 MiB has 8.4 million numbers at most
MAX_DIGITS = 308  # a longer number overflows a double, and MySQL refuses it


class JsonRefused(ValueError):
    """`reason` is a slug: `not-json`, `bad-number`, `too-deep`, `too-large`, `bad-text` or `duplicate-member`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def data_json(value: Any) -> str:
    """Compact ASCII JSON text. ValueError for NaN and infinities, TypeError for what JSON cannot carry."""
    return "".join(_chunks(value, 0))


def readable_json(value: Any) -> str:
    """The same, with every character as it is: for people who look for a word in a database. Half a surrogate pair
    has no form of its own, so a text with one stays ASCII."""
    text = "".join(_readable_chunks(value, 0))
    try:
        if not text.isascii():
            text.encode()
        return text
    except UnicodeEncodeError:
        return data_json(value)


def json_size(value: Any) -> int:
    """Bytes of the value as compact JSON in UTF-8."""
    return len("".join(_readable_chunks(value, 0)).encode())


def parse_json(text: str, *, unique: bool = False) -> Any:
    """The value of a JSON text; JsonRefused when it is no JSON or nothing that we may pass on. `unique`: also when an
    object has two members of one name, of which others may read the first."""
    containers = text.count("[") + text.count("{")
    if containers > MAX_CONTAINERS:  # a few bytes each on the wire, a hundred in memory
        raise JsonRefused("too-large", f"it has {containers:,} lists and objects; {MAX_CONTAINERS:,} are allowed")
    try:
        value = (_UNIQUE if unique else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise JsonRefused("not-json", f"{error.msg} at {place}") from None
    except RecursionError:
        raise JsonRefused("too-deep", _TOO_DEEP) from None
    if containers > MAX_DEPTH and deeper_than(MAX_DEPTH, value):
        raise JsonRefused("too-deep", _TOO_DEEP)
    if ("\\ud" in text or "\\uD" in text) and _has_lone_surrogate(value):
        raise JsonRefused("bad-text", "half of a surrogate pair stands alone")
    return value


def salvage_object(text: str) -> dict[str, Any]:
    """What a refused text says at its top level, for reading its id only; empty when that cannot be told."""
    try:
        value = json.loads(text, parse_constant=lambda _: None, parse_int=len, parse_float=len)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


_TOO_DEEP = f"it is nested deeper than {MAX_DEPTH} levels"


def deeper_than(levels: int, value: list[Any] | dict[str, Any]) -> bool:
    """Whether lists and objects are nested in each other more than so often, the outermost counted."""
    level = [value]
    for _ in range(levels):
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _has_lone_surrogate(value: Any) -> bool:
    try:
        json_size(value)
    except UnicodeEncodeError:
        return True
    return False


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _too_long(text)
    return int(text)


def _number(text: str) -> float:
    if len(text) > MAX_DIGITS:
        _too_long(text)
    value = float(text)
    if math.isinf(value):
        raise JsonRefused("bad-number", f"the number {text[:40]} is out of range")
    return value


def _too_long(text: str) -> NoReturn:
    raise JsonRefused("bad-number", f"a number has {len(text):,} digits; {MAX_DIGITS} are allowed")


def _constant(text: str) -> NoReturn:
    raise JsonRefused("bad-number", f"{text} is not a number in JSON")


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonRefused("duplicate-member", f"an object has the member {json.dumps(twice[:40])} more than once")
    return found


_UNIQUE = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_constant, object_pairs_hook=_unique)
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False)


def _encoder_of_chunks(*, ascii_only: bool) -> Callable[[Any, int], Iterable[str]]:
    """`JSONEncoder.encode` builds its C encoder anew at each call, which takes longer than a small task's encoding."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without it
        plain = json.JSONEncoder(ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"), check_circular=False)
        return lambda value, _: (plain.encode(value),)
    quote = json.encoder.encode_basestring_ascii if ascii_only else json.encoder.encode_basestring
    encoder: Callable[[Any, int], Iterable[str]] = make(
        None, _ENCODER.default, quote, None, ":", ",", False, False, False
    )
    return encoder


_chunks = _encoder_of_chunks(ascii_only=True)
_readable_chunks = _encoder_of_chunks(ascii_only=False)
