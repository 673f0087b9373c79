"""From a message's bytes to its text: the size limit, the content encoding, UTF-8."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from gridsidecar.rules.task import Message

_GZIP = frozenset({"gzip", "x-gzip"})
_ZLIB = frozenset({"zlib", "deflate"})
# Several clients put the character set into content_encoding; "binary" is what they say of ready-made bytes.
_PLAIN = frozenset({"", "identity", "utf-8", "utf8", "us-ascii", "ascii", "binary"})
_GZIP_MAGIC = b"\x1f\x8b"
_JAVA_MAGIC = b"\xac\xed\x00\x05"
_PIECE = 65_536  # bytes
_GZIP_WBITS = 31  # of zlib
_MOST_MEMBERS = 10_000  # each costs time, however short it is


class BodyRefused(ValueError):
    """`reason` is a slug: `too-large`, `bad-encoding`, `bad-utf-8`, `not-json` or `empty`."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


def body_text(message: Message, max_bytes: int) -> str:
    """The body as text, inflated when its content encoding says so, without a byte order mark."""
    raw = raw_body(message, max_bytes)
    try:
        text = raw.decode() if not raw.startswith(codecs.BOM_UTF8) else raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_text(raw, error.start) from None
    if not text or text.isspace():
        raise BodyRefused("empty", "The body is empty.")
    return text


def compressed(message: Message) -> Message:
    """A plain message with its body in gzip, unless that makes it no smaller."""
    packed = gzip.compress(message.body, mtime=0)
    return replace(message, body=packed, content_encoding="gzip") if len(packed) < len(message.body) else message


def inflated_size(message: Message, max_bytes: int) -> int:
    """Bytes of the body once it is inflated; counted a piece at a time, and not on beyond `max_bytes`."""
    _check_size(message, max_bytes)
    encoding, size = _encoding(message), 0
    if encoding in _PLAIN:
        return len(message.body)
    for chunk in body_chunks(message):
        size += len(chunk)
        if size > max_bytes:
            raise _inflates_too_far(encoding, max_bytes)
    return size


def _inflates_too_far(encoding: str, max_bytes: int) -> BodyRefused:
    return BodyRefused("too-large", f"The {encoding} body inflates to more than the limit of {max_bytes:,} bytes.")


def raw_body(message: Message, max_bytes: int) -> bytes:
    """The body, inflated when its content encoding says so: the same object when there is nothing to inflate."""
    _check_size(message, max_bytes)
    wbits = _wbits(message)
    if wbits is None:
        return message.body
    return _inflated(message.body, wbits, _encoding(message), max_bytes)


def large_body(message: Message, size: int) -> bytes | bytearray:
    """The same for a body of which `inflated_size` is known, without a moment when it is in memory twice."""
    wbits = _wbits(message)
    if wbits is None:
        return message.body
    raw, end = bytearray(size), 0
    for chunk in _inflating(message.body, wbits, _encoding(message)):
        raw[end : end + len(chunk)] = chunk
        end += len(chunk)
    return raw


def check_text(raw: bytes | bytearray) -> None:
    """BodyRefused for what is no text; a piece at a time, as a text may take four times the memory of its bytes."""
    checked = 0
    try:
        for _ in text_pieces(raw[at : at + _PIECE] for at in range(0, len(raw), _PIECE)):
            checked += _PIECE
    except UnicodeDecodeError as error:
        raise _not_text(raw, checked + error.start) from None


def text_pieces(chunks: Iterable[bytes | bytearray | memoryview]) -> Iterator[str]:
    """UTF-8 as text, with characters whole that two chunks share. UnicodeDecodeError for what is none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def body_chunks(message: Message) -> Iterator[bytes | memoryview]:
    """The body, inflated piece by piece. BodyRefused for one that is not what its content encoding says."""
    wbits = _wbits(message)
    if wbits is None:
        return _pieces(message.body)
    return _inflating(message.body, wbits, _encoding(message))


def _pieces(body: bytes) -> Iterator[memoryview]:
    view = memoryview(body)
    return (view[at : at + _PIECE] for at in range(0, len(view), _PIECE))


def _inflating(body: bytes, wbits: int, encoding: str) -> Iterator[bytes]:
    """Piece by piece, of gzip all members. BodyRefused where it ends early, or where something else follows it."""
    inflater, members, end = zlib.decompressobj(wbits), 1, 0
    for piece in _pieces(body):
        end += len(piece)
        rest: bytes | memoryview = piece
        full = False  # what is full may leave more in the inflater
        while rest or full:
            if inflater.eof:
                members += 1
                if wbits != _GZIP_WBITS or members > _MOST_MEMBERS:
                    raise _followed(len(body) - end + len(rest), encoding)
                inflater = zlib.decompressobj(wbits)
            with _telling(encoding) if members == 1 else _following(len(body) - end + len(rest), encoding):
                chunk = inflater.decompress(rest, _PIECE)
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            full = len(chunk) == _PIECE and not inflater.eof
            yield chunk
    if not inflater.eof:
        raise BodyRefused("bad-encoding", f"The {encoding} body is cut off.")


@contextmanager
def _telling(encoding: str) -> Iterator[None]:
    try:
        yield
    except zlib.error:
        raise BodyRefused(
            "bad-encoding", f"content_encoding says {encoding}, but the body is not {encoding}."
        ) from None


@contextmanager
def _following(size: int, encoding: str) -> Iterator[None]:
    try:
        yield
    except zlib.error:
        raise _followed(size, encoding) from None


def _followed(size: int, encoding: str) -> BodyRefused:
    return BodyRefused("bad-encoding", f"{size:,} bytes follow the end of the {encoding} body.")


def _check_size(message: Message, max_bytes: int) -> None:
    if len(message.body) > max_bytes:
        raise BodyRefused("too-large", f"The body has {len(message.body):,} bytes; the limit is {max_bytes:,}.")


def _encoding(message: Message) -> str:
    return message.content_encoding.strip().lower() if message.content_encoding else ""


def _wbits(message: Message) -> int | None:
    """zlib's name for how the body is packed; None: it is not. BodyRefused for a content encoding that is unknown."""
    encoding = _encoding(message)
    if encoding in _PLAIN:
        return None
    if encoding in _GZIP:
        return _GZIP_WBITS
    if encoding in _ZLIB:
        # "deflate" means zlib's format, but some producers send the bare stream.
        return 15 if _has_zlib_header(message.body) else -15
    raise BodyRefused(
        "bad-encoding", f"content_encoding {encoding[:40]!r} is unknown; send gzip, zlib, deflate or plain JSON."
    )


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0


def _inflated(body: bytes, wbits: int, encoding: str, max_bytes: int) -> bytes:
    chunks, size = [], 0
    for chunk in _inflating(body, wbits, encoding):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise _inflates_too_far(encoding, max_bytes)
    return b"".join(chunks)


def _not_text(raw: bytes | bytearray, place: int) -> BodyRefused:
    if raw.startswith(_GZIP_MAGIC):
        return BodyRefused("not-json", "The body is not JSON; it looks like gzip: set content_encoding to gzip.")
    if raw.startswith(_JAVA_MAGIC):
        return BodyRefused(
            "not-json",
            "The body is a serialized Java object; send JSON: in Spring, with a Jackson2JsonMessageConverter.",
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return BodyRefused("bad-utf-8", "The body looks like UTF-16; send JSON in UTF-8.")
    return BodyRefused("bad-utf-8", f"The body is not UTF-8: byte {place:,} cannot be decoded.")
