"""The one way by which an HTTP request leaves this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from gridsidecar.clock import Clock, SystemClock
from gridsidecar.outbound.egress_policy import EgressPolicy
from gridsidecar.outbound.reply import NotSent, Reply, retry_after
from gridsidecar.outbound.request import Request, read_request
from gridsidecar.outbound.request_progress import RequestProgress
from gridsidecar.outbound.resolver import Resolve, Resolver, system_resolve

if TYPE_CHECKING:
    from gridsidecar.outbound.transport import Client

BODY_GRACE = 2.0  # seconds for the body after the headers, which say what matters


class HttpClient:
    """Posts and gets, each within `timeout` seconds from the look-up of the name to the reply. Connections are kept.

    `egress` None: the URLs are the operator's own and may lead anywhere.
    """

    def __init__(
        self,
        timeout: float,
        egress: EgressPolicy | None,
        *,
        clock: Clock | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._timeout = timeout
        self._egress = egress
        self._clock = clock or SystemClock()
        self._resolver = Resolver(resolve)
        self._opening: asyncio.Future[Client] | None = None
        self._closed = False

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The reply, whatever its status; a redirect is not followed.

        Raises TargetRefused when the URL must not be used, NotSent when there was no reply; neither tells more of the
        URL than host and port.
        """
        return await self._exchanged(read_request(url, body, headers))

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        """The same for what is only asked for."""
        return await self._exchanged(read_request(url, None, headers))

    async def _exchanged(self, request: Request) -> Reply:
        progress = RequestProgress()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                client = await self._opened(request.where)
                response = await client.reply_to(request, progress)
        except TimeoutError:
            raise NotSent(f"{request.where} {progress.missing} within {self._timeout:g} s") from None
        wait = next(iter(response.headers.get_list("retry-after")), None)
        deadline = min(asyncio.get_running_loop().time() + BODY_GRACE, limit.when() or inf)
        return Reply(
            status=response.status_code,
            retry_after=None if wait is None else retry_after(wait, self._clock.now()),
            text=await client.start_of_body(response, deadline),
        )

    async def open(self) -> None:
        """Load what the first post needs. Raises NotSent."""
        await self._opened("the receiver")

    async def close(self) -> None:
        """Close for good. Whoever posts must have ended; nobody waits for a resolver that hangs."""
        self._closed = True
        if self._opening is not None:
            [opened] = await asyncio.gather(self._opening, return_exceptions=True)
            if not isinstance(opened, BaseException):
                await opened.aclose()

    async def _opened(self, where: str) -> Client:
        if self._closed:
            raise NotSent(f"{where} was not contacted: this process is about to stop")
        if self._opening is None:
            self._opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except (OSError, RuntimeError) as error:  # no thread can be started, say: that may pass
            if self._opening is opening:
                self._opening = None
            raise NotSent(f"{where} was not contacted: {error}") from error

    def _open(self) -> Client:
        """In a thread, at the first post: loading the library and the certificates takes a while."""
        from gridsidecar.outbound.network import Network
        from gridsidecar.outbound.transport import Client

        return Client(Network(self._resolver, self._egress, self._timeout))
