"""What is kept of a handler's output for people: the beginning, the end, and a count of the rest."""

from __future__ import annotations

import re
from collections.abc import Callable

OnText = Callable[[bytes, str], None]  # output as it arrives, and its source

KEPT_BYTES = 64 * 1024  # at either end of the log text
STDERR_BYTES = 8 * 1024
_NAMES_AN_ERROR = re.compile(rb"(Uncaught )?[\w.]*(Error|Exception)\b.{0,100}: ")
_LINES_OF_AN_ERROR = 30  # from the end
_ERROR_CHARACTERS = 256  # of the last line on stderr, as an error's text


def text_of(data: bytes | bytearray) -> str:
    """UTF-8 with anything else replaced: output is shown, never trusted."""
    return data.decode("utf-8", "replace")


class Tail:
    """The last `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        self._kept += data[-self._limit :]
        if len(self._kept) > 2 * self._limit:  # not at every write: cutting the front moves the whole rest
            del self._kept[: -self._limit]

    def bytes(self) -> bytes:
        return bytes(self._kept[-self._limit :])

    def last_line(self) -> str:
        """The last line that names an error (Node ends with its version, many with a stack), else the last that is not
        blank, cut to what fits an error text; empty when there is none."""
        lines = [line for line in reversed(self.bytes().split(b"\n")) if line.strip()]
        line = next(filter(_NAMES_AN_ERROR.match, lines[:_LINES_OF_AN_ERROR]), lines[0] if lines else b"")
        return text_of(line).strip()[:_ERROR_CHARACTERS]


class LogText:
    """First and last 64 KiB of everything a handler said; sources do not share a line."""

    def __init__(self, limit: int = KEPT_BYTES, on_text: OnText | None = None) -> None:
        self._limit = limit
        self._on_text = on_text
        self._head = bytearray()
        self._tail = Tail(limit)
        self._total = 0
        self._source = ""
        self._line_open = False

    def write(self, data: bytes, source: str) -> None:
        """Append output of one source: `stdout`, `stderr`, `log` for notes of ours, or the level of a log event."""
        if not data:
            return
        if self._on_text is not None:
            self._on_text(data, source)
        if self._line_open and source != self._source:
            data = b"\n" + data
        self._source = source
        self._line_open = not data.endswith(b"\n")
        self._total += len(data)
        if len(self._head) < self._limit:
            data = self._fill_head(data)
        if data:
            self._tail.write(data)

    def _fill_head(self, data: bytes) -> bytes:
        """Take what still fits, never half a character; the rest is returned."""
        room = self._limit - len(self._head)
        if len(data) > room:
            cut = room
            while cut and data[cut] & 0xC0 == 0x80 and room - cut < 3:
                cut -= 1
            self._head += data[:cut]
            self._limit = len(self._head)  # closed: later text must not fill the gap
            return data[cut:]
        self._head += data
        return b""

    @property
    def total(self) -> int:
        """Bytes that were said."""
        return self._total

    @property
    def head_size(self) -> int:
        """Bytes of the beginning that are kept, until now."""
        return len(self._head)

    def since(self, start: int) -> tuple[int, bytes]:
        """What is kept from byte `start` on, to the end of the beginning or of all; and the byte at which that starts:
        a later one where some is gone."""
        if start < len(self._head):
            return start, bytes(self._head[start:])
        tail = self._tail.bytes()
        first = self._total - len(tail)
        return max(start, first), tail[max(0, start - first) :]

    @property
    def head(self) -> str:
        return text_of(self._head)

    @property
    def tail(self) -> str:
        return text_of(self._tail.bytes())

    @property
    def dropped_bytes(self) -> int:
        return self._total - len(self._head) - len(self._tail.bytes())
