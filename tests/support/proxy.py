"""A TCP proxy in front of a server, for network faults: cut, refuse, delay, half-close, freeze, swallow, cut short."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Direction = Literal["upstream", "downstream"]  # to the server, to the client
BOTH: tuple[Direction, Direction] = ("upstream", "downstream")
TURNS = 5  # of the loop, within which what was accepted last has come to us, and what we abort is gone
RST_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class _Way:
    """What happens to bytes in one direction, whatever connection they are on."""

    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    swallowing: bool = False
    bytes_left: int | None = None  # until everything is cut
    last_words: bytes | None = None  # once they have gone this way, what comes the other way vanishes
    forbidden: bytes | None = None  # a connection that sends them is reset
    last_bytes: bytes | None = None  # everything is cut after them


@dataclass(slots=True, eq=False)
class _Pair:
    """One client's connection, and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    forgotten: bool = False  # nothing gets through any more
    swallowed: bool = False  # bytes are missing, so it can never work again

    def reset(self) -> None:
        """RST to both sides."""
        for writer in (self.client, self.server):
            if (raw := writer.get_extra_info("socket")) is not None:
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
            writer.transport.abort()

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.close()

    async def closed(self) -> None:
        for writer in (self.client, self.server):
            with suppress(OSError):
                await writer.wait_closed()


async def _stop_listening(server: asyncio.Server) -> None:
    """Close it after what it has accepted has come to us: asyncio loses a socket that it takes to a closed server."""
    for each in server.sockets:
        asyncio.get_running_loop().remove_reader(each.fileno())
    await _turns()
    server.close()


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Proxy:
    """Forwards bytes between its own port and a server. A fault is for all connections, new ones too, until `heal`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._ways: dict[Direction, _Way] = {direction: _Way() for direction in BOTH}
        self._pairs: set[_Pair] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.delay = 0.0  # seconds each way
        self.cuts = 0
        self.port = 0
        self.heal()

    async def listen(self) -> None:
        """On a port of its own; after `refuse`, on the same one again."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def open(self) -> int:
        """Connections that go through."""
        return len(self._pairs)

    # -- faults -------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Reset every connection; the next one is welcome."""
        self.cuts += 1
        for pair in list(self._pairs):
            pair.reset()

    async def refuse(self) -> None:
        """Cut everything and accept no connection until `listen` is called again."""
        server, self._server = self._server, None
        if server is not None:
            await _stop_listening(server)
        self.cut()
        if server is not None:
            await server.wait_closed()

    def freeze(self, *directions: Direction) -> None:
        """Hold bytes back, and tell nobody: a half-open connection. They arrive when it heals, as TCP sends again."""
        for direction in directions or BOTH:
            self._ways[direction].flowing.clear()

    def swallow(self, *directions: Direction) -> None:
        """Bytes vanish. A connection that lost some is reset when it heals."""
        for direction in directions or BOTH:
            self._ways[direction].swallowing = True

    def swallow_replies(self, after: bytes) -> None:
        """Once these bytes have gone to the server, no connection hears from it any more."""
        self._ways["upstream"].last_words = after

    def forbid(self, words: bytes) -> None:
        """Reset each connection that sends these bytes to the server; others go on."""
        self._ways["upstream"].forbidden = words

    def forget(self) -> None:
        """Swallow both ways what is on the connections of now; new ones work. So does a firewall that restarts."""
        for pair in self._pairs:
            pair.forgotten = pair.swallowed = True

    def half_close(self, direction: Direction) -> None:
        """Say in one direction that no more bytes will come; the other one goes on."""
        for pair in self._pairs:
            writer = pair.server if direction == "upstream" else pair.client
            with suppress(OSError, RuntimeError):
                writer.write_eof()

    def cut_after(self, count: int, direction: Direction) -> None:
        """Reset every connection once so many more bytes have gone in this direction."""
        self._ways[direction].bytes_left = count

    def cut_within(self, words: bytes) -> None:
        """Reset every connection when these bytes have gone to the server, and nothing that follows them."""
        self._ways["upstream"].last_bytes = words

    def heal(self) -> None:
        """All bytes flow again, without delay."""
        self.delay = 0.0
        for way in self._ways.values():
            way.swallowing = False
            way.bytes_left = way.last_words = way.forbidden = way.last_bytes = None
            way.flowing.set()
        for pair in list(self._pairs):
            if pair.swallowed:
                pair.reset()

    async def close(self) -> None:
        await self.refuse()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await _turns()

    # -- forwarding ---------------------------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it came just before nobody was to be let in
            writer.transport.abort()
            return
        job = asyncio.ensure_future(self._serve(reader, writer))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        job.add_done_callback(lambda _: writer.transport.abort())  # also where it was cancelled before it began

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:  # the server is away, and so are we
            writer.transport.abort()
            return
        pair = _Pair(writer, server_writer)
        self._pairs.add(pair)
        pumps = {
            asyncio.ensure_future(self._pump(reader, server_writer, "upstream", pair)),
            asyncio.ensure_future(self._pump(server_reader, writer, "downstream", pair)),
        }
        try:
            await asyncio.wait(pumps)
        finally:
            self._pairs.discard(pair)
            pair.close()  # before we wait for anything: that may be cut short
            await _ended(pumps)
            await pair.closed()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: Direction, pair: _Pair
    ) -> None:
        way = self._ways[direction]
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(100)
        reading = asyncio.ensure_future(_read(source, under_way, lambda: self.delay))
        try:
            while (arrives := await under_way.get())[1]:
                await asyncio.sleep(arrives[0] - asyncio.get_running_loop().time())
                await way.flowing.wait()
                await self._forward(arrives[1], sink, way, pair)
            await reading
            while way.swallowing or pair.forgotten:  # the goodbye vanishes as well
                await asyncio.sleep(0.02)
            await way.flowing.wait()
            sink.write_eof()
        except (OSError, RuntimeError):
            pair.reset()
        finally:
            await _ended([reading])

    async def _forward(self, chunk: bytes, sink: asyncio.StreamWriter, way: _Way, pair: _Pair) -> None:
        if way.swallowing or pair.forgotten:
            pair.swallowed = True
            return
        if way.forbidden is not None and way.forbidden in chunk:
            pair.reset()
            return
        if way.last_words is not None and way.last_words in chunk:
            self.swallow("downstream")
        if way.last_bytes is not None and way.last_bytes in chunk:
            way.bytes_left, way.last_bytes = chunk.index(way.last_bytes) + len(way.last_bytes), None
        if way.bytes_left is not None:
            chunk = chunk[: way.bytes_left]
            way.bytes_left -= len(chunk)
        sink.write(chunk)
        await sink.drain()
        if way.bytes_left == 0:
            way.bytes_left = None
            await _sent(sink)
            self.cut()


async def _read(
    source: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]], delay: Callable[[], float]
) -> None:
    """Chunks, each with the time of its arrival; an empty one at the end, and the error if it was none."""
    chunk = b"."
    try:
        while chunk:
            chunk = await source.read(65536)
            await under_way.put((asyncio.get_running_loop().time() + delay(), chunk))
    except OSError:
        await under_way.put((0.0, b""))
        raise


async def _sent(sink: asyncio.StreamWriter) -> None:
    """Wait until the kernel has it all, and a moment for the other side to read: a reset overtakes what is unread."""
    while sink.transport.get_write_buffer_size():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


async def _ended(jobs: Iterable[asyncio.Task[None]]) -> None:
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy in front of the server of a URL, and the URL that goes through it."""
    parts = urlsplit(url)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5672)
    await proxy.listen()
    try:
        credentials, at, _ = parts.netloc.rpartition("@")
        yield proxy, parts._replace(netloc=f"{credentials}{at}127.0.0.1:{proxy.port}").geturl()
    finally:
        await proxy.close()
