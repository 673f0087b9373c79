"""Heads of replies put right before they are read: a sloppy header does not hide a status that is clear. Pure."""

from __future__ import annotations

import re

LONGEST_STATUS_LINE = 4096  # bytes
SHOWN = 40  # characters of what is no reply

_STATUS = re.compile(rb"[ \t]*HTTP/(\d)(?:\.(\d+))?[ \t]+([1-9]\d\d)(?!\d)", re.IGNORECASE)
_END = re.compile(rb"\n\r?\n")
_NAME = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_LENGTH = re.compile(rb"\d{1,20}")
_NEVER_IN_A_VALUE = re.compile(rb"[\x00\r\f\v]+")
_LENGTH_NAME, _CODING_NAME = b"content-length", b"transfer-encoding"


class Heads:
    """What a connection brings: heads are put right, all that follows one goes on as it is. ValueError, in words, for
    what is no reply."""

    def __init__(self) -> None:
        self._inside = False
        self._held = bytearray()  # a head as far as it has come

    def expect(self) -> None:
        """A request leaves: what comes next is a head."""
        self._inside = True

    def take(self, data: bytes) -> bytes:
        """What can be handed on by now."""
        if not self._inside:
            return data
        looked = max(0, len(self._held) - 2)
        self._held += data
        ready = b""
        while (head := self._next(looked)) is not None:
            status, put_right = repaired(head)
            if status == 101:  # a protocol that nobody asked for goes on from here
                raise ValueError(_shown(head.partition(b"\n")[0]))
            looked, ready = 0, ready + put_right
            if status >= 200:  # else the reply itself comes after it
                rest, self._held, self._inside = bytes(self._held), bytearray(), False
                return ready + rest
        self._doubt()
        return ready

    def last(self) -> bytes:
        """The connection ended: a head that breaks off below its status line is one."""
        if not self._inside or not self._held:
            return b""
        head, self._held = bytes(self._held), bytearray()
        if b"\n" not in head:
            raise ValueError(_shown(head))
        return repaired(head.rpartition(b"\n")[0])[1]

    def _next(self, looked: int) -> bytes | None:
        """A head that is whole, without what is around it."""
        if not looked:
            del self._held[: len(self._held) - len(self._held.lstrip(b"\r\n"))]
        end = _END.search(self._held, looked)
        if end is None:
            return None
        head = bytes(self._held[: end.start()])
        del self._held[: end.end()]
        return head

    def _doubt(self) -> None:
        line, ended, _ = bytes(self._held[: LONGEST_STATUS_LINE + 1]).partition(b"\n")
        if (ended or len(line) > LONGEST_STATUS_LINE) and _STATUS.match(line) is None:
            raise ValueError(_shown(line))


def repaired(head: bytes) -> tuple[int, bytes]:
    """The status, and the head as the parser takes it: without what is no header. ValueError without a status."""
    first, *lines = head.split(b"\n")
    found = _STATUS.match(first)
    if found is None:
        raise ValueError(_shown(first))
    version = b"1.1" if (found[1], found[2]) == (b"1", b"1") else b"1.0"  # what we do not know is not kept open
    fields = [field for line in _unfolded(lines) if (field := _field(line)) is not None]
    said = [b"HTTP/%s %s" % (version, found[3]), *(b"%s: %s" % field for field in _framed(fields))]
    return int(found[3]), b"\r\n".join(said) + b"\r\n\r\n"


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """A line that starts with a space goes on with the one before it."""
    whole: list[bytes] = []
    for line in lines:
        if whole and line[:1] in (b" ", b"\t"):
            whole[-1] += b" " + line.strip()
        else:
            whole.append(line)
    return whole


def _field(line: bytes) -> tuple[bytes, bytes] | None:
    name, colon, value = line.partition(b":")
    name = name.strip()
    if not colon or _NAME.fullmatch(name) is None:
        return None
    return name, _NEVER_IN_A_VALUE.sub(b" ", value).strip()


def _framed(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """With what says where the body ends only as far as it is clear; else the body ends with the connection."""
    lengths = {part.strip() for part in _values(fields, _LENGTH_NAME)}
    codings = [part.strip().lower() for part in _values(fields, _CODING_NAME)]
    kept = [field for field in fields if field[0].lower() not in (_LENGTH_NAME, _CODING_NAME)]
    if codings and codings[-1] == b"chunked":
        kept.append((_CODING_NAME, b"chunked"))
    elif len(lengths) == 1 and _LENGTH.fullmatch(length := lengths.pop()):
        kept.append((_LENGTH_NAME, length))
    return kept


def _values(fields: list[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [part for name, value in fields if name.lower() == wanted for part in value.split(b",")]


def _shown(line: bytes) -> str:
    return ascii(line.strip()[:SHOWN].decode("latin-1"))
