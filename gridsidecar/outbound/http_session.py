"""Questions to one HTTP server of the operator's own, over kept connections; answers of any size. Loads httpcore."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpcore
from msgspec import Struct

from gridsidecar.config.trust import system_trust
from gridsidecar.outbound.network import FAILURES, reason_of
from gridsidecar.outbound.reply import NotSent, TargetRefused
from gridsidecar.outbound.request import read_request

AT_ONCE = 16  # connections
KEPT_IDLE = 4.0  # seconds


class HttpAnswer(Struct, frozen=True):
    """What the server said; `kind` is its media type."""

    status: int
    kind: str
    body: bytes


class HttpSession:
    """Each question is answered within its time, or raises NotSent. To be closed."""

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        """TargetRefused where `base` is no URL that can be asked."""
        if not base.isascii():
            raise TargetRefused("the URL has characters beyond ASCII: write them %-encoded")
        self.where = read_request(base, None, {}).where
        self._base = base.rstrip("/")
        self._headers = headers
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=system_trust() if base.lower().startswith("https:") else None,
            max_connections=AT_ONCE,
            keepalive_expiry=KEPT_IDLE,
        )

    async def ask(self, method: str, path: str, body: bytes | None, limit: float) -> HttpAnswer:
        """`limit` in seconds."""
        more = {} if body is None else {"content-type": "application/json"}
        request = read_request(self._base + path, body, {**self._headers, **more})
        try:
            async with asyncio.timeout(limit):
                response = await self._pool.request(
                    method, self._base + path, headers=list(request.headers.items()), content=request.body
                )
        except TimeoutError:
            raise NotSent(f"{self.where} did not answer within {limit:g} s") from None
        except FAILURES as error:
            raise NotSent(f"{self.where} cannot be asked: {reason_of(error)}") from error
        kind = next((value for name, value in response.headers if name.lower() == b"content-type"), b"")
        return HttpAnswer(response.status, kind.decode("latin-1").partition(";")[0].strip().lower(), response.content)

    async def close(self) -> None:
        await self._pool.aclose()
