"""Text that tasks brought, made fit for a message: nothing in it steers what shows it, and it has a limit in bytes."""

from __future__ import annotations

import re

# Terminal sequences, control characters but LF and tab, what turns the direction of writing, halves of surrogate pairs.
_UNFIT = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
CUT = "…"


def line(text: str, limit: int) -> str:
    """The text's beginning on one line."""
    return head(" ".join(clean(text[: 4 * limit]).split()), limit)


def head(text: str, limit: int) -> str:
    """The text's beginning, in at most `limit` bytes of UTF-8."""
    raw = clean(text[: 4 * limit]).strip().encode()
    if len(raw) <= limit and len(text) <= 4 * limit:
        return raw.decode()
    return raw[: limit - len(CUT.encode())].decode(errors="ignore") + CUT


def tail(text: str, limit: int) -> str:
    """The text's end, in at most `limit` bytes of UTF-8."""
    raw = clean(text[-4 * limit :]).strip("\n").rstrip().encode()
    if len(raw) <= limit and len(text) <= 4 * limit:
        return raw.decode()
    return CUT + raw[len(CUT.encode()) - limit :].decode(errors="ignore")


def clean(text: str) -> str:
    """The text without what is no text."""
    return _UNFIT.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
