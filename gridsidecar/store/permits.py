"""Permits for what may take long: so few that others find a connection, and the least patient first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from heapq import heappop, heappush
from itertools import count

Permit = Callable[[int], AbstractAsyncContextManager[None]]
"""Held during one try of a write that has been held up so many times before."""


class Permits:
    """At most `size` are held at a time. The next one goes to whoever has been held up the fewest times: most likely
    nothing is wrong with it."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._order = count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def held(self, times: int) -> AsyncIterator[None]:
        await self._take(times)
        try:
            yield
        finally:
            self._give()

    async def _take(self, times: int) -> None:
        if self._free:
            self._free -= 1
            return
        given = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (times, next(self._order), given))
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():  # it came at the same time
                self._give()
            raise

    def _give(self) -> None:
        while self._waiting:
            *_, given = heappop(self._waiting)
            if not given.done():
                given.set_result(None)
                return
        self._free += 1
