"""Follow tasks in the store until all of them have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from gridsidecar.cli.task_line import ended
from gridsidecar.cli.terminal import say
from gridsidecar.clock import SystemClock
from gridsidecar.errors import StoreUnavailable

if TYPE_CHECKING:
    from gridsidecar.views import TaskView

POLL_EVERY = 0.15  # seconds
AWAY_PAUSE = 1.0
HINT_AFTER = 10.0  # seconds without any row
UNKNOWN = "it is not known yet; a worker makes it known when it takes it from the queue"

Views = Mapping[str, "TaskView | None"]  # by task id; None = no row yet


class Looks(Protocol):
    async def get(self, task_id: str) -> TaskView | None:
        """A task as it is now; None where there is none yet."""
        ...


async def follow(
    store: Looks, ids: Sequence[str], show: Callable[[Views], None], *, limit: float | None = None
) -> dict[str, TaskView | None]:
    """Look at the tasks again and again, `show` them each time, until all have ended or `limit` seconds are over.

    A store that is away is waited for: the tasks go on meanwhile.
    """
    clock = SystemClock()
    started = clock.monotonic()
    views: dict[str, TaskView | None] = dict.fromkeys(ids)
    away = ""
    hinted = False
    while True:
        looked_at = clock.monotonic()
        try:
            for task_id in [one for one, view in views.items() if not ended(view)]:
                views[task_id] = await store.get(task_id)
            away = ""
        except StoreUnavailable as error:
            if str(error) != away:
                away = str(error)
                say(f"the store is away, waiting for it: {away}")
            await clock.sleep(AWAY_PAUSE)
        show(views)
        if not hinted and not any(views.values()) and clock.monotonic() - started > HINT_AFTER:
            hinted = True
            say("no worker has taken anything yet: is `gridsidecar run` working on this queue, with this store?")
        over = limit is not None and clock.monotonic() - started >= limit
        if over or all(ended(view) for view in views.values()):
            return views
        # A long list takes long to look at; then look as long again at nothing.
        await asyncio.sleep(max(POLL_EVERY, clock.monotonic() - looked_at))
