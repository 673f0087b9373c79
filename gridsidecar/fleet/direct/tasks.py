"""Tasks in the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridsidecar.errors import UsageError
from gridsidecar.fleet import Listed
from gridsidecar.fleet.direct.parts import Parts
from gridsidecar.operations.shapes import task_in_full, task_object
from gridsidecar.rules.task import Status
from gridsidecar.store import OutputPage, Wanted

if TYPE_CHECKING:
    from gridsidecar.views import TaskSummary, TaskView

LONGEST_LOOK = 50  # pages


class DirectTasks:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, task_id: str) -> TaskView | None:
        store = await self._parts.store()
        view = None if store is None else await store.reading.get(task_id)
        return None if view is None else task_object(view)

    async def show(self, task_id: str) -> TaskView | None:
        store = await self._parts.store()
        view = None if store is None else await store.reading.get(task_id)
        if store is None or view is None:
            return None
        return task_in_full(view, await store.reading.attempts(task_id), await store.outbox.all(task_id=task_id))

    async def listed(self, wanted: Wanted, after: str | None, limit: int, *, with_data: bool = False) -> Listed:
        store = await self._parts.store()
        if store is None:
            return Listed([], None)
        position = await store.listing.position_of(after) if after is not None else None
        if after is not None and position is None:
            raise UsageError(f"--after {after}: there is no such task (any more)")
        tasks: list[TaskSummary] = []
        for _ in range(LONGEST_LOOK + limit // 100):
            page = await store.listing.page(wanted, position, limit - len(tasks))
            tasks += page.tasks
            position = page.next
            if position is None or len(tasks) >= limit:
                break
        tasks = await store.reading.detailed(await store.reading.with_pauses(tasks), with_data=with_data)
        shown = [task_object(view) for view in tasks]
        return Listed(shown, None if position is None else position.id)

    async def newest(self, task_id: str) -> tuple[Status, int] | None:
        store = await self._parts.store()
        return None if store is None else await store.output.newest(task_id)

    async def output(
        self, task_id: str, attempt: int | None = None, since: int = 0, shown: int | None = None
    ) -> OutputPage | None:
        store = await self._parts.store()
        return None if store is None else await store.output.page(task_id, attempt, since, shown)
