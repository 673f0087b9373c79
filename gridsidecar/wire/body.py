"""From a message's bytes to its text: the size limit, the content encoding, UTF-8."""

from __future__ import annotations

import zlib

from gridsidecar.task import Message

_GZIP = frozenset({"gzip", "x-gzip"})
_ZLIB = frozenset({"zlib", "deflate"})
# Several clients put the character set into content_encoding; "binary" is what they say of ready-made bytes.
_PLAIN = frozenset({"", "identity", "utf-8", "utf8", "us-ascii", "ascii", "binary"})
_GZIP_MAGIC = b"\x1f\x8b"
_JAVA_MAGIC = b"\xac\xed\x00\x05"


class BodyRefused(ValueError):
    """`reason` is a slug: `too-large`, `bad-encoding`, `bad-utf-8`, `not-json` or `empty`."""

    def __init__(self, reason: str, error: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.error = error


def body_text(message: Message, max_bytes: int) -> str:
    """The body as text, inflated when its content encoding says so, without a byte order mark."""
    if len(message.body) > max_bytes:
        raise BodyRefused("too-large", f"The body has {len(message.body):,} bytes; the limit is {max_bytes:,}.")
    raw = _decoded(message, max_bytes)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_text(raw, error) from None
    if not text or text.isspace():
        raise BodyRefused("empty", "The body is empty.")
    return text


def _decoded(message: Message, max_bytes: int) -> bytes:
    encoding = (message.content_encoding or "").strip().lower()
    if encoding in _PLAIN:
        return message.body
    if encoding in _GZIP:
        return _inflated(message.body, 31, encoding, max_bytes)
    if encoding in _ZLIB:
        # "deflate" means zlib's format, but some producers send the bare stream.
        return _inflated(message.body, 15 if _has_zlib_header(message.body) else -15, encoding, max_bytes)
    raise BodyRefused(
        "bad-encoding", f"content_encoding {encoding[:40]!r} is unknown; send gzip, zlib, deflate or plain JSON."
    )


def _has_zlib_header(body: bytes) -> bool:
    return len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] * 256 + body[1]) % 31 == 0


def _inflated(body: bytes, wbits: int, encoding: str, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(wbits)
    try:
        raw = inflater.decompress(body, max_bytes + 1)
    except zlib.error:
        raise BodyRefused(
            "bad-encoding", f"content_encoding says {encoding}, but the body is not {encoding}."
        ) from None
    if len(raw) > max_bytes:
        raise BodyRefused("too-large", f"The {encoding} body inflates to more than the limit of {max_bytes:,} bytes.")
    if not inflater.eof:
        raise BodyRefused("bad-encoding", f"The {encoding} body is cut off.")
    if inflater.unused_data:
        raise BodyRefused("bad-encoding", f"{len(inflater.unused_data):,} bytes follow the end of the {encoding} body.")
    return raw


def _not_text(raw: bytes, error: UnicodeDecodeError) -> BodyRefused:
    if raw.startswith(_GZIP_MAGIC):
        return BodyRefused("not-json", "The body is not JSON; it looks like gzip: set content_encoding to gzip.")
    if raw.startswith(_JAVA_MAGIC):
        return BodyRefused(
            "not-json",
            "The body is a serialized Java object; send JSON: in Spring, with a Jackson2JsonMessageConverter.",
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return BodyRefused("bad-utf-8", "The body looks like UTF-16; send JSON in UTF-8.")
    return BodyRefused("bad-utf-8", f"The body is not UTF-8: byte {error.start:,} cannot be decoded.")
