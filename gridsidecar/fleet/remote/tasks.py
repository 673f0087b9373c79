"""Tasks as the API tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from gridsidecar.errors import UsageError
from gridsidecar.fleet import Listed
from gridsidecar.fleet.remote.requests import ApiRefused, Requests, quoted
from gridsidecar.rules.task import Status
from gridsidecar.store import OutputPage, Piece, Wanted
from gridsidecar.store.listing import MOST, MOST_WITH_DATA

if TYPE_CHECKING:
    from gridsidecar.views import TaskSummary, TaskView

LONGEST_LOOK = 50  # pages


class RemoteTasks:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def get(self, task_id: str) -> TaskView | None:
        if not task_id:
            return None
        found = await self._requests.found(f"/v1/tasks/{quoted(task_id)}", unless="unknown-task")
        return cast("TaskView | None", found)

    show = get

    async def listed(self, wanted: Wanted, after: str | None, limit: int, *, with_data: bool = False) -> Listed:
        position: dict[str, Any] = {"after": after}
        tasks: list[TaskSummary] = []
        page: dict[str, Any] = {}
        most = MOST_WITH_DATA if with_data else MOST
        for _ in range(LONGEST_LOOK + limit // most):
            page = await self._page(wanted, position, min(most, limit - len(tasks)), with_data)
            tasks += page["tasks"]
            position = {"cursor": page["next"]}
            if page["next"] is None or len(tasks) >= limit:
                break
        return Listed(tasks, page.get("next_after"))

    async def _page(self, wanted: Wanted, position: dict[str, Any], limit: int, with_data: bool) -> dict[str, Any]:
        try:
            return await self._requests.get(
                "/v1/tasks",
                status=[str(status) for status in wanted.statuses] or None,
                type=list(wanted.task_types) or None,
                error_type=wanted.error_type,
                queue=wanted.queue,
                since=wanted.since and wanted.since.isoformat(),
                until=wanted.until and wanted.until.isoformat(),
                id_prefix=wanted.id_prefix or None,
                limit=limit,
                data="true" if with_data else None,
                **position,
            )
        except ApiRefused as refused:
            if refused.kind != "unknown-task":
                raise
            raise UsageError(f"--after {position['after']}: there is no such task (any more)") from None

    async def newest(self, task_id: str) -> tuple[Status, int] | None:
        found = await self.get(task_id)
        return None if found is None else (Status(found["status"]), int(found["attempt"]))

    async def output(
        self, task_id: str, attempt: int | None = None, since: int = 0, shown: int | None = None
    ) -> OutputPage | None:
        try:
            answer = await self._requests.get(f"/v1/tasks/{quoted(task_id)}/logs", attempt=attempt, since=since or None)
        except ApiRefused as refused:
            if refused.kind not in ("unknown-task", "unknown-attempt"):
                raise
            return None
        return OutputPage(
            task_id=answer["task_id"],
            attempt=answer["attempt"],
            pieces=tuple(Piece(piece["text"], piece["left_out"]) for piece in answer["pieces"]),
            next=answer["next"],
            running=answer["running"],
            outcome=answer["outcome"],
            started_at=answer["started_at"],
            ended_at=answer["ended_at"],
            worker=answer["worker"],
            worker_id=answer.get("worker_id"),
            stderr_tail=answer["stderr_tail"],
            notes=answer.get("notes"),
            status=Status(answer["status"]),
            latest=answer["latest_attempt"],
        )
