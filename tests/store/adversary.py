"""A server that speaks just enough of MySQL's handshake to ask for what no client should give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LONG_PASSWORD, _PROTOCOL_41, _TRANSACTIONS, _SECURE, _PLUGIN_AUTH = 1, 1 << 9, 1 << 13, 1 << 15, 1 << 19
_WITHOUT_TLS = _LONG_PASSWORD | _PROTOCOL_41 | _TRANSACTIONS | _SECURE | _PLUGIN_AUTH | 1 << 3


class ClearTextServer:
    """Offers no TLS and asks for the password in clear; `heard` is all that a client told it."""

    def __init__(self, *, first_plugin: bytes, switch: bytes | None) -> None:
        self.heard = b""
        self.port = 0
        self._first_plugin = first_plugin
        self._switch = switch

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ClearTextServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(_packet(0, self._greeting()))
            self.heard += await reader.read(65536)
            if self._switch is not None:
                writer.write(_packet(2, b"\xfe" + self._switch + b"\0"))
                self.heard += await reader.read(65536)
        except ConnectionError:
            pass  # the client hung up, as it should
        finally:
            writer.close()

    def _greeting(self) -> bytes:
        capabilities = _WITHOUT_TLS.to_bytes(4, "little")
        return (
            b"\x0a8.0.99\0"
            + (7).to_bytes(4, "little")
            + b"saltsalt\0"
            + capabilities[:2]
            + b"\x2d\x02\x00"
            + capabilities[2:]
            + b"\x15"
            + bytes(10)
            + b"saltsaltsalt\0"
            + self._first_plugin
            + b"\0"
        )


def _packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload
