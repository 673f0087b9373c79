"""A TCP proxy before MySQL that hangs up right after a certain write: it was done, and its reply is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

WRITES = (b"ALTER", b"CREATE", b"DROP", b"INSERT", b"UPDATE")
_QUERY = 3  # the command of a packet that carries SQL


@dataclass
class Cut:
    """`after` so many writes it hangs up. One statement travels in one packet of less than 16 MiB."""

    after: int
    writes: int = 0
    last: bytes = b""

    @property
    def done(self) -> bool:
        return self.writes == self.after


async def _requests(client: asyncio.StreamReader, server: asyncio.StreamWriter, cut: Cut) -> None:
    while not cut.done:
        head = await client.readexactly(4)
        packet = await client.readexactly(int.from_bytes(head[:3], "little"))
        if packet[:1] == bytes([_QUERY]) and packet[1:].startswith(WRITES):
            cut.writes, cut.last = cut.writes + 1, packet[1:]
        server.write(head + packet)
        await server.drain()


async def _replies(server: asyncio.StreamReader, client: asyncio.StreamWriter, cut: Cut) -> None:
    while chunk := await server.read(65536):
        if cut.done:
            return
        client.write(chunk)
        await client.drain()


@asynccontextmanager
async def cutting(url: str, after: int) -> AsyncIterator[tuple[Cut, str]]:
    """What the proxy saw, and the URL that goes through it."""
    parts = urlsplit(url)
    cut = Cut(after)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
        requests = asyncio.create_task(_requests(reader, server_writer, cut))
        try:
            with suppress(OSError):
                await _replies(server_reader, writer, cut)
        finally:
            requests.cancel()
            with suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
                await requests
            for end in (writer, server_writer):
                end.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1") as listener:
        port = listener.sockets[0].getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        yield cut, parts._replace(netloc=f"{user}@127.0.0.1:{port}").geturl()
