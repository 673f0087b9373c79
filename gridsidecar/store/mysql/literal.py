"""Values as SQL literals, for statements that travel together in one round trip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from gridsidecar.store.database import RowRejected
from gridsidecar.wire import JsonText, Spliced

LARGE = 65_536  # bytes


class Sql(str):
    """Text that is SQL already."""

    __slots__ = ()


_PLACE = "\ud800"  # half a surrogate pair: no literal has one


def literal(value: object) -> str:
    """The value as MySQL reads it, in a session without NO_BACKSLASH_ESCAPES.

    RowRejected for text that has no UTF-8 form, TypeError for a type we never store.
    """
    return WRITERS[type(value)](value)


class _Large(list[bytes | JsonText | Spliced]):
    """Values that are not in a statement's text, and what stands there in their places."""

    def put(self, value: bytes | JsonText | Spliced) -> str:
        self.append(value)
        return f"'{_PLACE}{len(self) - 1}{_PLACE}'"

    def put_bytes(self, value: bytes) -> str:
        return _bytes(value) if len(value) <= LARGE else f"_binary{self.put(value)}"


class Literals:
    """The literals of statements that travel together. Large values are not in their text, which may take two bytes
    for each of theirs: they are put into the packet itself, and how long it gets is known before."""

    def __init__(self) -> None:
        self.large = _Large()
        self.writers = _Writers(WRITERS)
        self.writers |= {bytes: self.large.put_bytes, JsonText: self.large.put, Spliced: self.large.put}

    def packets(self, parts: Sequence[str], largest: int) -> Iterator[bytes | bytearray]:
        """The bytes to send, for statements that were rendered with these literals: all together, or each by itself
        where that is too much for one packet. RowRejected, before there is a first one, for a statement of `largest`
        bytes and more: the server would hang up, which looks like an outage."""
        together = self._texts(";\n".join(parts))
        if self._size(together) < largest:
            yield self._packet(together)
            return
        del together
        alone = [self._texts(part) for part in parts]
        if (size := max(map(self._size, alone))) >= largest:
            raise RowRejected(f"{size} bytes are more than its max_allowed_packet, {largest}")
        yield from map(self._packet, alone)

    def _texts(self, sql: str) -> list[bytes]:
        """What stands between large values, and at every other place the number of one."""
        pieces = sql.split(_PLACE) if self.large else (sql,)
        return [piece.encode("utf-8", "surrogateescape") for piece in pieces]

    def _size(self, texts: Sequence[bytes]) -> int:
        return sum(map(len, texts[0::2])) + sum(_escaped_size(self.large[int(number)]) for number in texts[1::2])

    def _packet(self, texts: Sequence[bytes]) -> bytes | bytearray:
        if len(texts) == 1:
            return texts[0]
        packet = bytearray(texts[0])
        for number, text in zip(texts[1::2], texts[2::2], strict=True):
            for chunk in _chunks(self.large[int(number)]):
                packet += _escaped(chunk)
            packet += text
        return packet


def _chunks(value: bytes | JsonText | Spliced) -> Iterable[bytes | memoryview]:
    if not isinstance(value, bytes):
        return value.chunks()
    view = memoryview(value)
    return (view[at : at + LARGE] for at in range(0, len(view), LARGE))


def _escaped(chunk: bytes | memoryview) -> bytes:
    return bytes(chunk).replace(b"\\", b"\\\\").replace(b"'", b"\\'")


def _escaped_size(value: bytes | JsonText | Spliced) -> int:
    return sum(len(chunk) + bytes(chunk).count(b"\\") + bytes(chunk).count(b"'") for chunk in _chunks(value))


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:  # it would be sent as a byte, as those of a body are
            raise RowRejected(f"no Unicode text: {error}") from error
    return f"'{_quoted(value)}'"


def _bytes(value: bytes) -> str:
    """Bytes ride in the text as lone surrogates; the connection turns them back into the same bytes."""
    return f"_binary'{_quoted(value.decode('ascii', 'surrogateescape'))}'"


def _quoted(text: str) -> str:
    """Between single quotes all else may stand as it is."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise TypeError(f"cannot store {value}")
    return repr(value)


class _Writers(dict[type, Callable[[Any], str]]):
    """How the values of each type are written."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        raise TypeError(f"cannot store a {kind.__name__}")


WRITERS = _Writers(
    {
        str: _text,
        type(None): lambda _: "NULL",
        int: str,
        bool: lambda value: "1" if value else "0",
        bytes: _bytes,
        float: _float,
        Sql: str,
        tuple: lambda values: f"({', '.join(map(literal, values))})",  # for IN; not empty
    }
)
