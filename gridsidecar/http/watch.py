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

LOOK_EVERY = 1.0  # seconds
RETRY_AFTER = 5  # seconds
AT_ONCE = 500  # tasks in one look

Lookup = Callable[[Sequence[str]], Awaitable["Mapping[str, TaskSummary]"]]


class Watch:
    """Looks while somebody waits, and lets so many wait. A database that is away is waited for."""

    def __init__(self, look: Lookup, clock: Clock, most: int) -> None:
        self._most = most
        self._inside = 0
        self._look = look
        self._clock = clock
        self._watched: Counter[str] = Counter()
        self._asked: frozenset[str] = frozenset()  # what the last look was about,
        self._seen: Mapping[str, TaskSummary] = {}  # and what it found
        self._looked = asyncio.Event()  # set at the end of each look, and replaced
        self._looking: asyncio.Task[None] | None = None
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
        self._looked.set()

    async def looks(self, task_id: str) -> AsyncIterator[TaskSummary | None]:
        """What each look finds, from the next one on: None where there is no such task. Ends when we leave."""
        self._watched[task_id] += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking())
        try:
            while not self._over:
                looked = self._looked
                await looked.wait()
                if task_id in self._asked and not self._over:
                    yield self._seen.get(task_id)
        finally:
            self._watched[task_id] -= 1
            if self._watched[task_id] <= 0:
                del self._watched[task_id]

    async def _keep_looking(self) -> None:
        while self._watched and not self._over:
            try:
                await self._look_once()
            except GridSidecarError:  # it is asked again in a moment
                pass
            except Exception as error:
                telemetry.unexpected_error(error)
            await self._clock.sleep(LOOK_EVERY)

    async def _look_once(self) -> None:
        ids = sorted(self._watched)
        found: dict[str, TaskSummary] = {}
        for start in range(0, len(ids), AT_ONCE):
            found |= await self._look(ids[start : start + AT_ONCE])
        self._asked, self._seen = frozenset(ids), found
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()
