"""A lock for each key, that costs nothing while nobody else wants the same one."""

from __future__ import annotations

import asyncio
from collections import deque


class KeyedLock:
    """One holder for each key, in the order of asking."""

    def __init__(self) -> None:
        self._held: dict[str, deque[asyncio.Future[None]]] = {}  # who waits, for each key that is held

    async def acquire(self, key: str, max_wait: float) -> bool:
        """Wait for the turn, for so many seconds at most; whether it came."""
        waiting = self._held.get(key)
        if waiting is None:
            self._held[key] = deque()
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            async with asyncio.timeout(max_wait):
                await turn
        except TimeoutError:
            return turn.done() and not turn.cancelled()  # it came at the same moment
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self.release(key)
            raise
        return True

    def release(self, key: str) -> None:
        """The next one's turn."""
        waiting = self._held[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._held[key]
