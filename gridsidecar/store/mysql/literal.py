"""Values as SQL literals, for statements that travel together in one round trip."""

from __future__ import annotations

import math

from pymysql.converters import escape_string

from gridsidecar.store.database import RowRejected


def literal(value: object) -> str:
    """The value as MySQL reads it, in a session without NO_BACKSLASH_ESCAPES.

    RowRejected for text that has no UTF-8 form, TypeError for a type we never store.
    """
    match value:
        case str():
            _check_encodable(value)
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


def _check_encodable(text: str) -> None:
    """Half a surrogate pair would be sent as a byte, as the bytes below are."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RowRejected(f"no Unicode text: {error}") from error
