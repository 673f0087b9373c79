"""Values as SQL literals, for statements that travel together in one round trip."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pymysql.converters import escape_string

from gridsidecar.store.database import RowRejected


def literal(value: object) -> str:
    """The value as MySQL reads it, in a session without NO_BACKSLASH_ESCAPES.

    RowRejected for text that has no UTF-8 form, TypeError for a type we never store.
    """
    write = _WRITERS.get(type(value))
    if write is None:
        raise TypeError(f"cannot store a {type(value).__name__}: {value!r:.80}")
    return write(value)


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:  # it would be sent as a byte, as those of a body are
            raise RowRejected(f"no Unicode text: {error}") from error
    return f"'{escape_string(value)}'"


def _bytes(value: bytes) -> str:
    """Bytes ride in the text as lone surrogates; the connection turns them back into the same bytes."""
    return f"_binary'{escape_string(value.decode('ascii', 'surrogateescape'))}'"


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise TypeError(f"cannot store {value}")
    return repr(value)


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _text,
    type(None): lambda _: "NULL",
    int: str,
    bool: lambda value: "1" if value else "0",
    bytes: _bytes,
    float: _float,
    tuple: lambda values: f"({', '.join(map(literal, values))})",  # for IN; not empty
}
