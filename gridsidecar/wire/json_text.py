"""Large JSON values that nobody decodes: where they stand in their message, and how they travel on piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from msgspec import Struct

from gridsidecar.rules.task import Message
from gridsidecar.wire.body import body_chunks, text_pieces
from gridsidecar.wire.strict_json import data_json, readable_json

_FOREIGN = re.compile("[^\x00-\x7f]+")


class JsonText(Struct, frozen=True):
    """A value that was checked and not decoded. It holds no text of its own: `start` and `end` are its place in the
    inflated body of `message`, which is inflated again, a piece at a time, whenever the text is wanted."""

    message: Message
    start: int
    end: int

    def __len__(self) -> int:
        """Bytes of UTF-8."""
        return self.end - self.start

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The text in UTF-8, as its producer wrote it."""
        at = 0
        for chunk in body_chunks(self.message):
            if at + len(chunk) > self.start:
                yield chunk[max(0, self.start - at) : self.end - at]
            at += len(chunk)
            if at >= self.end:
                return

    def ascii_chunks(self) -> Iterator[bytes]:
        """The text in ASCII and on one line."""
        for piece in text_pieces(self.chunks()):
            # A line can only break between two values: inside of a string a break must be escaped.
            yield in_ascii(piece).translate(_ONE_LINE)

    @property
    def kind(self) -> str:
        """For people: what it is."""
        first = bytes(next(self.chunks())[:1])
        return {b"{": "an object", b"[": "a list", b'"': "a text"}.get(first, "a number")


_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


def in_ascii(text: str) -> bytes:
    """JSON with escapes for what is not ASCII; that stands in strings only."""
    return (text if text.isascii() else _FOREIGN.sub(_escaped, text)).encode("ascii")


def _escaped(found: re.Match[str]) -> str:
    return encode_basestring_ascii(found[0])[1:-1]


class Spliced(Struct, frozen=True):
    """JSON with large values in it, in parts; only one piece of it is ever in memory."""

    parts: tuple[bytes | JsonText, ...]
    ascii_only: bool = True

    def __len__(self) -> int:
        """Bytes at least: escapes come on top."""
        return sum(map(len, self.parts))

    def chunks(self) -> Iterator[bytes]:
        for part in self.parts:
            if not isinstance(part, JsonText):
                yield part
            elif self.ascii_only:
                yield from part.ascii_chunks()
            else:
                yield from map(bytes, part.chunks())


def spliced(fields: Mapping[str, Any], end: bytes = b"", *, ascii_only: bool = True) -> bytes | Spliced:
    """An object as compact JSON, and `end`; in parts when it has large values."""
    write = data_json if ascii_only else readable_json
    if not any(isinstance(value, JsonText) for value in fields.values()):
        return write(fields).encode() + end
    parts: list[bytes | JsonText] = []
    before = "{"
    for name, value in fields.items():
        before += write(name) + ":"
        if isinstance(value, JsonText):
            parts += [before.encode(), value]
            before = ","
        else:
            before += write(value) + ","
    return Spliced((*parts, before.removesuffix(",").encode() + b"}" + end), ascii_only)
