"""Bytes in, complete lines out, in bounded memory whatever comes in."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

MAX_LINE_BYTES = 4 * 1024 * 1024  # without the LF
_HEAD_BYTES = 8192  # of a discarded line, to say which one it was: ids of any length come before its type
_TAIL_BYTES = 1024  # … where its type comes behind a long value: an encoder may sort the keys

Discarded = Callable[[bytes, bytes], None]  # takes the beginning and the end of a line


def _ignore(_head: bytes, _tail: bytes) -> None:
    pass


class LineSplitter:
    """Splits at LF only. A line over the limit is dropped up to its LF, so that its rest is never taken for a line."""

    def __init__(self, limit: int = MAX_LINE_BYTES, on_discard: Discarded = _ignore) -> None:
        self._limit = limit
        self._on_discard = on_discard
        self._held = bytearray()
        self._discarding = False
        self._head, self._tail = b"", b""  # of the line that is being discarded

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their LF."""
        head, newline, rest = data.partition(b"\n")
        self._hold(head)
        if not newline:
            return []
        lines = self._take()
        *whole, tail = rest.split(b"\n")
        lines += [line for line in whole if self._fits(line)]
        self._hold(tail)
        return lines

    def finish(self) -> list[bytes]:
        """The last line, when it came without an LF."""
        return self._take() if self._held or self._discarding else []

    def _take(self) -> list[bytes]:
        if self._discarding:
            self._discarding = False
            self._on_discard(self._head, self._tail)
            return []
        line = bytes(self._held)
        self._held.clear()
        return [line]

    def _hold(self, part: bytes) -> None:
        if self._discarding:
            self._tail = (self._tail + part[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        elif len(self._held) + len(part) > self._limit:
            self._head = bytes(self._held[:_HEAD_BYTES] + part[:_HEAD_BYTES])[:_HEAD_BYTES]
            self._tail = bytes(self._held[-_TAIL_BYTES:] + part[-_TAIL_BYTES:])[-_TAIL_BYTES:]
            self._held = bytearray()  # clear() would keep the memory
            self._discarding = True
        else:
            self._held += part

    def _fits(self, line: bytes) -> bool:
        if len(line) > self._limit:
            self._on_discard(line[:_HEAD_BYTES], line[-_TAIL_BYTES:])
            return False
        return True


class _At(Enum):
    START = auto()  # of a line
    TEXT = auto()  # inside a line that is no message
    MESSAGE = auto()  # inside a line that may be one


class MessageScanner:
    """Parts plain output from lines that may be messages: those whose first byte is `{`.

    Text goes on at once and needs no memory, however long its lines are, so a flood costs next to nothing. A program
    that logs JSON is told by its chunks, not line by line: they do not hold the marker `"gs"`.
    """

    def __init__(
        self, on_text: Callable[[bytes], None], on_line: Callable[[bytes], None], on_discard: Discarded = _ignore
    ) -> None:
        self._on_text = on_text
        self._on_line = on_line
        self._splitter = LineSplitter(on_discard=on_discard)
        self._at = _At.START

    def feed(self, data: bytes) -> None:
        position = self._message(data, 0) if self._at is _At.MESSAGE else 0
        whole = data.rfind(b"\n") + 1
        if whole > position and not _may_hold_marker(data, position, whole):
            self._on_text(data[position:whole])
            self._at = _At.START
            position = whole
        while position < len(data):
            if self._at is _At.START:
                self._at = _At.MESSAGE if data.startswith(b"{", position) else _At.TEXT
            step = self._message if self._at is _At.MESSAGE else self._text
            position = step(data, position)

    def finish(self) -> None:
        """The output is at its end: the last line may lack its LF."""
        for line in self._splitter.finish():
            self._on_line(line)
        self._at = _At.START

    def _text(self, data: bytes, start: int) -> int:
        found = data.find(b"\n{", start)
        end = len(data) if found < 0 else found + 1
        self._on_text(data[start:end])
        self._at = _At.START if data.endswith(b"\n", start, end) else _At.TEXT
        return end

    def _message(self, data: bytes, start: int) -> int:
        end = data.find(b"\n", start) + 1
        if end:
            self._at = _At.START
        else:
            end = len(data)
        for line in self._splitter.feed(data[start:end]):
            self._on_line(line)
        return end


def _may_hold_marker(data: bytes, start: int, end: int) -> bool:
    """An encoder may write the letters of `gs` as escapes."""
    return data.find(b'"gs"', start, end) >= 0 or data.find(b"\\u00", start, end) >= 0
