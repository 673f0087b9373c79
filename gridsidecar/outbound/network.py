"""Connections to addresses that were checked, and why there is no reply on one. Loads httpcore."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable, Iterator
from socket import gaierror
from typing import Any

import httpcore

from gridsidecar.outbound.egress_policy import EgressPolicy
from gridsidecar.outbound.head import Heads
from gridsidecar.outbound.reply import NotSent, TargetRefused
from gridsidecar.outbound.resolver import Resolver

REPLY_LIMIT = 256 * 1024  # bytes on a connection for one reply, its interim replies and headers
READ_AT_ONCE = 8 * 1024  # bytes: what is read at once is parsed at once
ADDRESSES_TRIED = 8

# What the client raises when there is no reply; OSError is what TLS raises past it.
FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError)


class NotHttp(httpcore.RemoteProtocolError):
    """What came is no reply."""


class Network(httpcore.AsyncNetworkBackend):
    """Looks a name up once, checks every address, and connects to what was checked."""

    def __init__(self, resolver: Resolver, egress: EgressPolicy | None, timeout: float) -> None:
        self._resolver = resolver
        self._egress = egress
        self._timeout = timeout  # of the whole request
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = (await self._checked(host))[:ADDRESSES_TRIED]
        share = self._timeout / (len(addresses) + 1) if len(addresses) > 1 else None
        failures: list[Exception] = []
        for address in addresses:
            try:
                return Stream(await self._sockets.connect_tcp(address, port, share))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failures.append(error)
        raise failures[0]  # of the address that is preferred

    async def sleep(self, seconds: float) -> None:
        await self._sockets.sleep(seconds)

    async def _checked(self, host: str) -> list[str]:
        try:
            addresses = await self._resolver.addresses(host)
        except OSError as error:
            raise NotSent(f"{host} cannot be resolved: {error.strerror or error}") from error
        if not addresses:
            raise NotSent(f"{host} cannot be resolved: it has no address")
        refusal = None if self._egress is None else self._egress.refusal(host, addresses)
        if refusal is not None:
            raise TargetRefused(refusal)
        return addresses


class Stream(httpcore.AsyncNetworkStream):
    """A connection that is also closed when its TLS handshake is cancelled: httpcore would leave it open. And one that
    nobody can keep us busy with: httpcore reads interim replies without end. And one whose replies httpcore can read:
    it takes no sloppy head."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._read = 0  # bytes since the last request
        self._heads = Heads()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            while data := await self._more(max_bytes, timeout):
                if ready := self._heads.take(data):
                    return ready
            return self._heads.last()
        except ValueError as error:
            raise NotHttp(str(error)) from None

    async def _more(self, max_bytes: int, timeout: float | None) -> bytes:
        data = await self._stream.read(min(max_bytes, READ_AT_ONCE), timeout)
        self._read += len(data)
        if self._read > REPLY_LIMIT:
            raise httpcore.RemoteProtocolError(f"it sent more than {REPLY_LIMIT // 1024} KiB and no end of a reply")
        await asyncio.sleep(0)  # others have their turn, however fast it sends
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._read = 0
        self._heads.expect()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def reason_of(failure: BaseException) -> str:
    """Why, in a few words: the first error in the chain that knows."""
    for error in _chain(failure):
        match error:
            case ssl.SSLCertVerificationError():
                return f"its certificate is not accepted: {error.verify_message}"
            case ssl.SSLError():
                return f"TLS: {error.reason}"
            case httpcore.LocalProtocolError():
                return "a header of the request is not valid"  # the error's text quotes it
            case httpcore.TimeoutException():
                return "it does not answer"
            case gaierror(strerror=str(words)):  # its number is none of the system's
                return words
            case OSError(errno=int(number)):
                return os.strerror(number)
    return str(failure)[:200] or "it closed the connection"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
