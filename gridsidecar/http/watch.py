"""Many who wait for news of tasks, and one look at the database a second for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.errors import GridSidecarError
from gridsidecar.http.problems import Problem

if TYPE_CHECKING:
    from gridsidecar.views import TaskSummary

POLL_EVERY = 1.0  # seconds
RETRY_AFTER = 5  # seconds
AT_ONCE = 500  # tasks in one poll

Lookup = Callable[[Sequence[str]], Awaitable["Mapping[str, TaskSummary]"]]


class Watch:
    """Polls while somebody waits, and lets so many wait. A database that is away is waited for."""

    def __init__(self, read: Lookup, clock: Clock, most: int) -> None:
        self._most = most
        self._inside = 0
        self._read = read
        self._clock = clock
        self._watched: Counter[str] = Counter()
        self._asked: frozenset[str] = frozenset()  # what the last poll was about,
        self._seen: Mapping[str, TaskSummary] = {}  # and what it found
        self._polled = asyncio.Event()  # set at the end of each poll, and replaced
        self._polling: asyncio.Task[None] | None = None
        self._over = False

    def enter(self) -> None:
        """Somebody asks to wait, and has a place from now on; a `Problem` where there is none."""
        if self._inside >= self._most:
            detail = "Too many streams are open; ask for the task now and then instead."
            raise Problem(503, "too-many-streams", detail, headers={"Retry-After": str(RETRY_AFTER)})
        self._inside += 1

    def leave(self) -> None:
        """The place of one who entered is free."""
        self._inside -= 1

    def close(self) -> None:
        """Everybody's wait is over."""
        self._over = True
        self._polled.set()

    async def changes(self, task_id: str) -> AsyncIterator[TaskSummary | None]:
        """What each poll finds, from the next one on: None where there is no such task. Ends when we leave."""
        self._watched[task_id] += 1
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._keep_polling())
        try:
            while not self._over:
                polled = self._polled
                await polled.wait()
                if task_id in self._asked and not self._over:
                    yield self._seen.get(task_id)
        finally:
            self._watched[task_id] -= 1
            if self._watched[task_id] <= 0:
                del self._watched[task_id]

    async def _keep_polling(self) -> None:
        while self._watched and not self._over:
            try:
                await self._poll_once()
            except GridSidecarError:  # it is asked again in a moment
                pass
            except Exception as error:
                telemetry.unexpected_error(error)
            await self._clock.sleep(POLL_EVERY)

    async def _poll_once(self) -> None:
        ids = sorted(self._watched)
        found: dict[str, TaskSummary] = {}
        for start in range(0, len(ids), AT_ONCE):
            found |= await self._read(ids[start : start + AT_ONCE])
        self._asked, self._seen = frozenset(ids), found
        polled, self._polled = self._polled, asyncio.Event()
        polled.set()
