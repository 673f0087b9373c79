"""How far a request has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONNECTING = "connection.connect_tcp.started"
_MISSING: Mapping[str, str] = {
    CONNECTING: "could not be reached",
    "connection.start_tls.started": "did not finish the TLS handshake",
    "http11.send_request_headers.started": "did not reply",
}


class RequestProgress:
    """Told by httpcore's `trace` extension."""

    def __init__(self) -> None:
        self.missing = _MISSING[CONNECTING]  # what the other side has not done so far
        self.connected = False  # by a connection of its own, not a kept one

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        self.missing = _MISSING.get(event, self.missing)
        self.connected = self.connected or event == CONNECTING
