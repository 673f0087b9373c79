"""Answers to those who ask the same again and again: nothing where nothing changed, and one look for all of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from gridsidecar.clock import Clock

FRESH = 2.0  # seconds for which all who have an older answer get the same new one
MOST = 64  # answers that are kept
LARGEST = 256 * 1024  # bytes of one


class _Kept:
    def __init__(self) -> None:
        self.reading = asyncio.Lock()
        self.at = float("-inf")
        self.answer: Response | None = None


class Snapshots:
    """Whoever names an `ETag` in `If-None-Match` polls, and may be told what was read a moment ago for another one.
    Without it, an answer is as new as the question."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def answer(self, request: Request, read: Callable[[], Awaitable[Response]]) -> Response:
        """`read` answers anew. Raises what it raises."""
        seen = request.headers.get("if-none-match")
        kept = self._keep(f"{request.url.path}?{request.url.query}")
        if seen is None:
            return self._read_by(kept, tagged(await read()))
        async with kept.reading:
            if kept.answer is None or self._clock.monotonic() - kept.at > FRESH:
                fresh = self._read_by(kept, tagged(await read()))
            else:
                fresh = kept.answer
        tag = fresh.headers.get("etag")
        if tag is not None and tag in seen:
            return Response(status_code=304, headers={"ETag": tag, "Cache-Control": "no-store"})
        return fresh

    def drop(self) -> None:
        """Somebody has changed something: nobody gets what was read before, nor what is being read just now."""
        self._kept.clear()

    def _read_by(self, kept: _Kept, fresh: Response) -> Response:
        """What anybody read is what those who poll get, so that nobody sees time go backwards."""
        kept.answer = fresh if len(fresh.body) <= LARGEST else None
        kept.at = self._clock.monotonic()
        return fresh

    def _keep(self, name: str) -> _Kept:
        """The longest unused goes where there are too many."""
        kept = self._kept.pop(name, None) or _Kept()
        self._kept[name] = kept
        if len(self._kept) > MOST:
            self._kept.pop(next(iter(self._kept)))
        return kept


def tagged(answer: Response) -> Response:
    """The same with the mark of what it says."""
    if answer.status_code == 200:
        answer.headers["ETag"] = f'"{hashlib.sha256(answer.body).hexdigest()[:24]}"'
    return answer
