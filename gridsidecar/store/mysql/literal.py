"""Values as SQL literals, for statements that travel together in one round trip."""

from __future__ import annotations

import math

from pymysql.converters import escape_string


def literal(value: object) -> str:
    """The value as MySQL reads it, in a session without NO_BACKSLASH_ESCAPES. TypeError for a type we never store."""
    match value:
        case str():
            return f"'{escape_string(value)}'"
        case None:
            return "NULL"
        case bool():
            return "1" if value else "0"
        case int():
            return str(value)
        case bytes():
            # Bytes ride in the text as lone surrogates; the connection turns them back into the same bytes.
            return f"_binary'{escape_string(value.decode('ascii', 'surrogateescape'))}'"
        case float() if math.isfinite(value):
            return repr(value)
        case _:
            raise TypeError(f"cannot store a {type(value).__name__}: {value!r:.80}")
