"""A web server for tests on 127.0.0.1: it records every request, and answers as told, however badly."""

from __future__ import annotations

import asyncio
import http
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from socket import socket as Socket
from typing import Any

from tests.support.waiting import eventually


@dataclass(frozen=True)
class Request:
    """One request as it came. `headers` has lower-case names."""

    method: str
    path: str  # with the query
    headers: Mapping[str, str]
    body: bytes
    connection: int  # the number of the connection it came on, from 1

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """What an answer is written to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """No further request on this connection."""
        self._writer.close()

    @property
    def gone(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    async def wait_gone(self) -> None:
        while not self.gone:
            await asyncio.sleep(0.02)


# The connection is kept for the next request unless the answer ended it.
Answer = Callable[[Request, Connection], Awaitable[None]]


def reply(status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
    """A proper answer: `reply(429, {"Retry-After": "7"})`, `reply(302, {"Location": …})`."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)

    return answer


def chunk(data: bytes) -> bytes:
    """A part of a streamed body; of nothing, its end."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunks(*parts: bytes | float, kind: str = "application/x-ndjson", whole: bool = True, status: int = 200) -> Answer:
    """A streamed body, part by part; a number is a pause in seconds. Not `whole`: the connection ends without its
    end."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(head(status, {"Content-Type": kind, "Transfer-Encoding": "chunked"}))
        for part in parts:
            if isinstance(part, bytes):
                await connection.send(chunk(part))
            else:
                await asyncio.sleep(part)
        if whole:
            await connection.send(chunk(b""))
        else:
            connection.end()

    return answer


def raw(data: bytes) -> Answer:
    """Exactly these bytes, perhaps none, then the end of the connection."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(data)
        connection.end()

    return answer


def silence(first: bytes = b"") -> Answer:
    """These bytes, then not a word until the client goes."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(first)
        await connection.wait_gone()

    return answer


def slow_headers(gap: float = 1.0) -> Answer:
    """One byte of the headers every `gap` seconds."""

    async def answer(request: Request, connection: Connection) -> None:
        for byte in head(200, {"X-Filler": "x" * 1000, "Content-Length": "0"}):
            await connection.send(bytes([byte]))
            await asyncio.sleep(gap)

    return answer


def endless_body(status: int = 200, chunk: bytes = b"x" * 4096, gap: float = 0.0) -> Answer:
    """A body that never ends: `chunk`, every `gap` seconds, until the client goes."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(head(status, {"Transfer-Encoding": "chunked"}))
        while not connection.gone:
            await connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await asyncio.sleep(gap)

    return answer


def endless_interim(data: bytes = b"HTTP/1.1 100 Continue\r\n\r\n" * 2000) -> Answer:
    """Interim replies as fast as the client takes them, until it goes."""

    async def answer(request: Request, connection: Connection) -> None:
        while not connection.gone:
            await connection.send(data)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """One after the other; the last one for all that follow."""
    left = list(answers)

    async def answer(request: Request, connection: Connection) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, connection)

    return answer


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The status line and the headers of an answer."""
    known = {known.value: known.phrase for known in http.HTTPStatus}
    lines = [f"HTTP/1.1 {status} {known.get(status, 'Odd')}", *(f"{name}: {value}" for name, value in headers.items())]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


class Web:
    """A running server. Set `answer` at any time; look at `requests`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, socket: str | Socket | None = None) -> None:
        self.answer: Answer = reply()
        self.accepting = True  # False: every new connection is closed at once
        self.requests: list[Request] = []
        self.connections = 0  # so far, with or without a request
        self.port = 0
        self._tls = tls
        self._socket = socket  # in place of a port: the path of a Unix socket, or one that listens already
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    async def wait_for(self, count: int, timeout: float = 30.0) -> list[Request]:
        """The requests, as soon as there are so many."""
        await eventually(lambda: len(self.requests) >= count, timeout)
        return self.requests

    async def listen(self) -> None:
        """On a port of its own; after `close`, on the same one again."""
        if isinstance(self._socket, str):
            self._server = await asyncio.start_unix_server(self._accept, self._socket)
            return
        if self._socket is not None:
            self._server = await asyncio.start_server(self._accept, sock=self._socket)
            return
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._open):
            connection.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        serving = asyncio.ensure_future(self._serve(reader, writer, self.connections))
        self._open.add(serving)
        serving.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        connection = Connection(reader, writer)
        try:
            while self.accepting and not connection.gone:
                request = await _read(reader, number)
                self.requests.append(request)
                await self.answer(request, connection)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went
        except RuntimeError:
            if not writer.transport.is_closing():  # uvloop's word for a write to a client that went
                raise
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.3):  # what was said is sent, to those who still listen
                    await writer.wait_closed()
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader, connection: int) -> Request:
    """The next request. Raises IncompleteReadError when the client goes instead."""
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, body, connection)


@asynccontextmanager
async def web_server(*, tls: ssl.SSLContext | None = None, socket: str | Socket | None = None) -> AsyncIterator[Web]:
    """A server on a port of its own, or a Unix socket, gone with all its connections afterwards."""
    web = Web(tls=tls, socket=socket)
    await web.listen()
    try:
        yield web
    finally:
        await web.close()
