"""W3C trace context: what a producer's message says of the trace that it belongs to. Needs no SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

PARENT, STATE = "traceparent", "tracestate"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(r"[ -~]{1,512}")  # printable ASCII


class Trace(Struct, frozen=True):
    """`parent` is a well-formed traceparent, `state` the tracestate that came with it, if any."""

    parent: str
    state: str | None = None

    @classmethod
    def of(cls, headers: Mapping[str, object]) -> Trace | None:
        """That of a message's headers; None without a well-formed one."""
        if PARENT not in headers or (parent := _text(headers[PARENT], _PARENT)) is None:
            return None
        return cls(parent, _text(headers.get(STATE), _STATE))

    @property
    def trace_id(self) -> str:
        return self.parent[3:35]

    @property
    def span_id(self) -> str:
        return self.parent[36:52]

    def headers(self) -> dict[str, str]:
        """As HTTP and AMQP carry it."""
        return {PARENT: self.parent} | ({} if self.state is None else {STATE: self.state})


def _text(value: object, pattern: re.Pattern[str]) -> str | None:
    if isinstance(value, bytes | bytearray):
        value = value.decode("ascii", "replace")
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
