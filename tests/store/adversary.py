"""A server that speaks just enough of MySQL's handshake to ask for what no client should give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

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


class KeyServer(ClearTextServer):
    """Sends a key of its own to encrypt the password by, and so learns it: `learned`. Then it refuses the login."""

    SALT = b"saltsaltsaltsaltsalt"

    def __init__(self, plugin: bytes, *, by_switch: bool) -> None:
        super().__init__(first_plugin=b"mysql_native_password" if by_switch else plugin, switch=None)
        self.learned = b""
        self._plugin = plugin
        self._by_switch = by_switch
        self._key = rsa.generate_private_key(65537, 2048)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(_packet(0, self._greeting()))
            number, answer = await self._hear(reader)
            if self._by_switch:
                writer.write(_packet(number + 1, b"\xfe" + self._plugin + b"\0" + self.SALT + b"\0"))
                number, answer = await self._hear(reader)
            if self._plugin == b"caching_sha2_password":
                writer.write(_packet(number + 1, b"\x01\x04"))  # the whole password, please
                number, answer = await self._hear(reader)
            public = self._key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            writer.write(_packet(number + 1, b"\x01" + public))
            number, answer = await self._hear(reader)
            sha1 = hashes.SHA1()  # what the protocol asks for
            mixed = self._key.decrypt(answer, padding.OAEP(padding.MGF1(sha1), sha1, None))
            self.learned = bytes(a ^ b for a, b in zip(mixed, self.SALT * 99, strict=False)).rstrip(b"\0")
            writer.write(_packet(number + 1, b"\xff\x15\x04#28000Access denied"))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up
        finally:
            writer.close()

    async def _hear(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = await reader.readexactly(4)
        payload = await reader.readexactly(int.from_bytes(head[:3], "little"))
        self.heard += payload
        return head[3], payload
