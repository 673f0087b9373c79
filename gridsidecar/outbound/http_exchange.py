"""One request to a server of the operator's own, and its answer as it comes, over a connection of its own. Loads
httpcore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpcore
from msgspec import Struct

from gridsidecar.config.trust import system_trust
from gridsidecar.outbound.network import FAILURES, READ_AT_ONCE, reason_of
from gridsidecar.outbound.reply import NotSent, NotTried
from gridsidecar.outbound.request import Request
from gridsidecar.outbound.resolver import Resolver

Body = bytes | AsyncIterator[bytes]


class NotReached(NotSent):
    """Nobody accepted a connection: nothing was sent."""


class BrokenOff(NotSent):
    """The connection ended before the answer did."""


class NotUnderstood(NotSent):
    """What came is no HTTP."""


class Head(Struct, frozen=True):
    """What an answer says before its body."""

    status: int
    kind: str  # its media type, in lower case
    coding: str  # how its body is packed, although nobody asked for that; empty where it is not
    framed: bool  # it says itself where it ends: else the end of the connection may be that of the server, too


class HttpExchange:
    """An open connection for one request: its answer's head by `post`, its body by `chunks`. To be closed."""

    def __init__(self, where: str, origin: httpcore.Origin, stream: _Watched) -> None:
        self._where = where
        self._stream = stream
        self._origin = origin
        self._connection = httpcore.AsyncHTTP11Connection(origin=origin, stream=stream)
        self._answer: httpcore.Response | None = None

    @classmethod
    async def opened(cls, request: Request, socket: str | None, limit: float, resolver: Resolver) -> HttpExchange:
        """`socket`: the path of a Unix socket, in place of the request's host and port. Raises NotReached where nobody
        accepts it, with TLS where the request asks for it, within `limit` seconds."""
        where = socket or request.where
        try:
            async with asyncio.timeout(limit):
                stream = await _connected(request, socket, resolver)
        except TimeoutError:
            raise NotReached(f"{where} did not accept a connection within {limit:g} s") from None
        except (*FAILURES, NotTried) as error:
            raise NotReached(f"{where} could not be reached: {reason_of(error)}") from error
        scheme = b"https" if request.secure else b"http"
        return cls(where, httpcore.Origin(scheme, request.host.encode(), request.port), _Watched(stream))

    async def post(self, request: Request, body: Body) -> Head:
        """Raises BrokenOff, NotUnderstood."""
        origin = self._origin
        url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=request.path.encode())
        headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
        try:
            self._answer = await self._connection.handle_async_request(
                httpcore.Request(request.method, url, headers=headers, content=body)
            )
        except FAILURES as error:
            raise self._failure(error) from error
        return _head(self._answer)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises BrokenOff, NotUnderstood."""
        assert self._answer is not None
        try:
            async for chunk in self._answer.aiter_stream():
                yield chunk
        except FAILURES as error:
            raise self._failure(error) from error

    async def close(self) -> None:
        """At once: what was not sent is not, and the other side sees the end."""
        await self._connection.aclose()

    def _failure(self, error: Exception) -> NotSent:
        if self._stream.ended or not isinstance(error, httpcore.RemoteProtocolError):
            why = "" if isinstance(error, httpcore.RemoteProtocolError) else f" ({reason_of(error)})"
            return BrokenOff(f"{self._where} closed the connection before its answer was complete{why}")
        return NotUnderstood(f"{self._where} answered with something that is not HTTP: {str(error)[:200]}")


def _head(answer: httpcore.Response) -> Head:
    headers = {name.lower(): value for name, value in answer.headers}
    framed = bool(headers.keys() & {b"content-length", b"transfer-encoding"}) or answer.status in (204, 205, 304)
    kind, coding = (headers.get(name, b"").decode("latin-1").lower() for name in (b"content-type", b"content-encoding"))
    return Head(
        status=answer.status,
        kind=kind.partition(";")[0].strip(),
        coding=coding.strip().removeprefix("identity"),
        framed=framed,
    )


async def _connected(request: Request, socket: str | None, resolver: Resolver) -> httpcore.AsyncNetworkStream:
    network = httpcore.AnyIOBackend()
    if socket is not None:
        return await network.connect_unix_socket(socket)
    trust = await asyncio.to_thread(system_trust) if request.secure else None
    # The loop's own threads must not hang in a look-up: they are joined at the end. Where there are several addresses,
    # which are then at hand, the network looks again, and races them.
    addresses = await resolver.addresses(request.host)
    stream = await network.connect_tcp(addresses[0] if len(addresses) == 1 else request.host, request.port)
    if trust is None:
        return stream
    try:
        return await stream.start_tls(trust, request.host.removesuffix("."))
    except BaseException:
        await stream.aclose()
        raise


class _Watched(httpcore.AsyncNetworkStream):
    """Knows whether the other side has ended the connection."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self.ended = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(min(max_bytes, READ_AT_ONCE), timeout)  # others have their turn before it
        self.ended = not data
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        return await self._stream.start_tls(*args, **more)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
