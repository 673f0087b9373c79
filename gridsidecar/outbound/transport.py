"""httpx over connections that lead only where they may. Loads it."""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache

import httpcore

from gridsidecar.config.trust import system_trust
from gridsidecar.outbound.network import Network, NotHttp, reason_of
from gridsidecar.outbound.reply import NotSent, TargetRefused
from gridsidecar.outbound.request import Request
from gridsidecar.outbound.request_progress import RequestProgress

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # its command line: 70 ms and 5 MiB, with rich
import httpx  # noqa: E402

BODY_LIMIT = 64 * 1024  # bytes of a reply's body that are read
KEPT_IDLE = 4.0  # seconds; the shortest that servers commonly keep a connection is 5
KEPT_CONNECTIONS = 16

FAILURES = (httpx.TransportError, OSError)  # there is no reply, or no more of it; OSError is what TLS raises past httpx


class Transport(httpx.AsyncHTTPTransport):
    """To make one takes a while: it reads the certificates to trust."""

    def __init__(self, network: Network) -> None:
        # In place of the pool that httpx would make, which takes no network: with another name for it, nothing is sent.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=system_trust(),
            max_connections=None,  # the callers bound themselves; none shall wait here for another's slow receiver
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_IDLE,
            network_backend=network,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        progress: RequestProgress = request.extensions["trace"]
        while True:
            try:
                response = await super().handle_async_request(request)
            except FAILURES:
                if progress.connected:
                    raise
                # A kept connection had ended by now, which says nothing about the other side.
            else:
                response.headers.pop("location", None)  # httpx reads it, and fails where it is no URL
                return response


class NoCookies(httpx.Cookies):
    """Those of receivers are neither kept nor looked for, which takes a while for each reply."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class Client(httpx.AsyncClient):
    """Its time limits are the caller's: httpx has some for parts of a request, and none for all of it."""

    cookies = NoCookies()  # type: ignore[override]  # in place of a property

    def __init__(self, network: Network) -> None:
        super().__init__(transport=Transport(network), timeout=None, trust_env=False)

    async def reply_to(self, request: Request, progress: RequestProgress) -> httpx.Response:
        """The reply as far as its headers. Raises NotSent and TargetRefused."""
        try:
            return await self.send(_translated(request, progress), stream=True)
        except FAILURES as error:
            if isinstance(error.__cause__, NotHttp):
                raise NotSent(f"{request.where} answered with something that is not HTTP: {error}") from error
            raise NotSent(f"{request.where} {progress.missing}: {reason_of(error)}") from error

    async def start_of_body(self, response: httpx.Response, deadline: float) -> str:
        """At most BODY_LIMIT bytes, as far as they come by this time of the loop; then no more is read.

        A body that fails or never ends takes nothing away from the headers.
        """
        start = bytearray()
        try:
            async with asyncio.timeout_at(deadline):
                async for chunk in response.aiter_raw():  # as it came, perhaps packed
                    start += chunk
                    if len(start) >= BODY_LIMIT:
                        break
        except FAILURES:  # a TimeoutError too
            pass
        finally:
            await response.aclose()
        return start[:BODY_LIMIT].decode(errors="replace")


def _translated(request: Request, progress: RequestProgress) -> httpx.Request:
    return httpx.Request(
        request.method,
        _origin(request.secure, request.host, request.port),  # all of the URL that a log of httpx shows
        headers=[(name.encode(), value.encode()) for name, value in request.headers.items()],
        content=request.body,
        extensions={
            "target": request.path.encode(),  # as it is: httpx would write it anew
            "sni_hostname": request.host.removesuffix("."),
            "trace": progress,
        },
    )


@lru_cache(maxsize=128)
def _origin(secure: bool, host: str, port: int) -> httpx.URL:
    try:
        return httpx.URL(scheme="https" if secure else "http", host=host, port=port)
    except httpx.InvalidURL:
        raise TargetRefused(f"the URL's host is no host name: {host[:60]!r}") from None
