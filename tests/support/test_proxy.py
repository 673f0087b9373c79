"""The fault proxy does to a real echo server's clients what its name says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.proxy import Direction, Proxy, proxied
from tests.support.waiting import eventually


class Echo:
    """Sends back what it gets, and remembers it; `goodbyes` counts the ends of input that it saw."""

    def __init__(self) -> None:
        self.heard = b""
        self.goodbyes = 0
        self.resets = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1000):
                self.heard += chunk
                writer.write(chunk)
                await writer.drain()
            self.goodbyes += 1
            writer.write(b"bye")
            writer.close()
            await writer.wait_closed()
        except OSError:
            self.resets += 1
            writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self, count: int, timeout: float = 5) -> bytes:
        async with asyncio.timeout(timeout):
            return await self.reader.readexactly(count)

    async def hears_nothing(self) -> bool:
        try:
            await self.hear(1, timeout=0.3)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    """An echo server, and a proxy in front of it."""
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, proxied(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (proxy, _):
        yield echo, proxy


@asynccontextmanager
async def talking(proxy: Proxy) -> AsyncIterator[Client]:
    """A client whose connection is known to work."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    client = Client(reader, writer)
    client.send(b"hello")
    assert await client.hear(5) == b"hello"
    yield client
    writer.transport.abort()


async def test_bytes_go_both_ways_and_an_end_is_passed_on(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    async with talking(proxy) as client:
        client.send(b"x" * 300_000)
        assert await client.hear(300_000) == b"x" * 300_000
        client.writer.write_eof()
        assert await client.hear(3) == b"bye"
        assert await client.reader.read() == b""
    assert server.goodbyes == 1
    await eventually(lambda: proxy.open == 0)


async def test_cut_resets_both_sides_and_the_next_connection_works(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    async with talking(proxy) as client:
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        await eventually(lambda: server.resets == 1)
    async with talking(proxy):
        assert proxy.open == 1


async def test_refuse_lets_nobody_in_until_it_listens_again(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    async with talking(proxy) as client:
        await proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.listen()
    async with talking(proxy):
        pass


async def test_delay_is_added_each_way(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    async with talking(proxy) as client:
        proxy.delay = 0.2
        began = time.monotonic()
        client.send(b"late")
        assert await client.hear(4) == b"late"
        assert time.monotonic() - began >= 0.4


async def test_a_half_close_ends_one_direction_only(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    async with talking(proxy) as client:
        proxy.half_close("upstream")
        assert await client.hear(3) == b"bye"
        assert server.goodbyes == 1
    async with talking(proxy) as client:
        proxy.half_close("downstream")
        assert await client.reader.read() == b""
        client.send(b"still there")
        await eventually(lambda: server.heard.endswith(b"still there"))


async def test_what_was_frozen_arrives_later(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    async with talking(proxy) as client:
        proxy.freeze("downstream")
        client.send(b"one")
        await eventually(lambda: server.heard == b"helloone")
        proxy.freeze()
        client.send(b"two")
        assert await client.hears_nothing()
        assert server.heard == b"helloone"
        proxy.heal()
        assert await client.hear(6) == b"onetwo"


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
async def test_what_was_swallowed_is_gone_and_so_is_its_connection(
    echo: tuple[Echo, Proxy], direction: Direction
) -> None:
    server, proxy = echo
    async with talking(proxy) as client, talking(proxy) as idle:
        proxy.swallow(direction)
        client.send(b"one")
        assert await client.hears_nothing()
        assert server.heard.endswith(b"one") == (direction == "downstream")
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        idle.send(b"two")  # nothing of this one got lost
        assert await idle.hear(3) == b"two"


async def test_a_forgotten_connection_is_silent_and_a_new_one_is_not(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    async with talking(proxy) as client:
        proxy.forget()
        client.send(b"one")
        async with talking(proxy):
            assert await client.hears_nothing()
        assert server.heard == b"hellohello"
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_a_goodbye_is_swallowed_too(echo: tuple[Echo, Proxy]) -> None:
    server, proxy = echo
    async with talking(proxy) as client:
        proxy.swallow("upstream")
        client.writer.close()
        await asyncio.sleep(0.2)
        assert (server.goodbyes, proxy.open) == (0, 1)
        proxy.heal()
        await eventually(lambda: (server.goodbyes, proxy.open) == (1, 0))


async def test_a_connection_made_meanwhile_hears_nothing(echo: tuple[Echo, Proxy]) -> None:
    _, proxy = echo
    proxy.swallow()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"anybody?")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.3)
    writer.transport.abort()


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
async def test_cut_after_lets_exactly_so_many_bytes_through(echo: tuple[Echo, Proxy], direction: Direction) -> None:
    server, proxy = echo
    async with talking(proxy) as client:
        proxy.cut_after(7, direction)
        client.send(b"0123456789")
        assert await client.hear(7) == b"0123456"
        with pytest.raises(ConnectionResetError):
            await client.reader.read()
        assert server.heard == b"hello0123456" + (b"789" if direction == "downstream" else b"")
    async with talking(proxy):  # once
        pass


async def test_a_server_that_is_away_looks_away(echo: tuple[Echo, Proxy]) -> None:
    async with proxied("tcp://127.0.0.1:1") as (proxy, url):
        assert url == f"tcp://127.0.0.1:{proxy.port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
