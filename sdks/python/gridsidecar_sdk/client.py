"""Asks a sidecar's HTTP API: submit tasks, look at them, wait for them, cancel and retry them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from gridsidecar_sdk.api import AGAIN, ApiError, quoted, when_ended
from gridsidecar_sdk.bulk import Bulk
from gridsidecar_sdk.upkeep import Upkeep

ENDED = ("success", "failed", "cancelled")
PAGE = 100  # tasks


@dataclass(frozen=True)
class TaskInfo:
    """A task as the server has it; `fields` has everything that it said."""

    task_id: str
    task_type: str
    status: str  # pending, running, retrying, success, failed, cancelled
    progress: int  # 0 - 100
    progress_message: Optional[str] = None
    data: Any = None
    result: Any = None
    error: Optional[str] = None
    error_type: Optional[str] = None
    attempt: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        return self.status == "success"

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> TaskInfo:
        return cls(
            task_id=fields["task_id"],
            task_type=fields["task_type"],
            status=fields["status"],
            progress=fields.get("progress") or 0,
            progress_message=fields.get("progress_message"),
            data=fields.get("data"),
            result=fields.get("result"),
            error=fields.get("error_message"),
            error_type=fields.get("error_type"),
            attempt=fields.get("attempt") or 0,
            fields=fields,
        )


class TaskClient(Bulk, Upkeep):
    """One connection, which is opened anew when it is lost. For many threads, one after the other."""

    def __enter__(self) -> TaskClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one task -----------------------------------------------------------------------------------------------------

    def submit(
        self, data: Any = None, *, task_type: Optional[str] = None, task_id: Optional[str] = None, **fields: Any
    ) -> str:
        """Put a task on the queue; its id, which is made up where none is given. `fields` are further ones of the
        message: `max_retry_count`, `defer_by`, `callback_url`, … The same id and message once more changes nothing;
        another message under it is an `ApiError` of kind `task-exists`."""
        message = {**fields, "task_id": task_id or uuid.uuid4().hex, "data": data}
        if task_type is not None:
            message["task_type"] = task_type
        return str(self._ask("POST", "/v1/tasks", message)["task_id"])

    def status(self, task_id: str) -> TaskInfo:
        """`ApiError` of kind `unknown-task` where no worker has taken it yet."""
        return TaskInfo.of(self._ask("GET", _path(task_id)))

    def wait(
        self, task_id: str, timeout: Optional[float] = None, on_progress: Optional[Callable[[TaskInfo], None]] = None
    ) -> TaskInfo:
        """The task when it has ended. `on_progress` hears of each change that is seen. Raises `TimeoutError` after so
        many seconds; a server that is away is waited for until then."""
        return when_ended(
            f"task {task_id}",
            lambda: self._known(task_id),
            lambda task: (task.status, task.progress, task.progress_message, task.attempt),
            timeout,
            on_progress,
        )

    def _known(self, task_id: str) -> Optional[TaskInfo]:
        try:
            return self.status(task_id)
        except ApiError as error:
            if error.kind == "unknown-task" or error.status in AGAIN:
                return None
            raise

    def cancel(self, task_id: str) -> str:
        """`cancelled`, `asked` (it runs, and ends within seconds) or `noted` (nobody has seen it: it will not run)."""
        return str(self._ask("POST", f"{_path(task_id)}/cancel", {})["outcome"])

    def retry(self, task_id: str) -> None:
        """Run it again under the same id: what failed or was cancelled."""
        self._ask("POST", f"{_path(task_id)}/retry", {})

    def logs(self, task_id: str, attempt: Optional[int] = None) -> str:
        """What its handler said so far, in the newest attempt or in this one."""
        asked = {} if attempt is None else {"attempt": attempt}
        return "".join(piece["text"] for piece in self._ask("GET", f"{_path(task_id)}/logs", query=asked)["pieces"])

    # -- many ---------------------------------------------------------------------------------------------------------

    def tasks(self, **filters: Any) -> Iterator[TaskInfo]:
        """Tasks, newest first, without data and results, by `status`, `type` (one or a list), `error_type`, `queue`,
        `since`, `until` (`2h`, or a time), `id_prefix`."""
        query: dict[str, Any] = {"limit": PAGE, **{name: value for name, value in filters.items() if value is not None}}
        while True:
            page = self._ask("GET", "/v1/tasks", query=query)
            yield from map(TaskInfo.of, page["tasks"])
            if page["next"] is None:
                return
            query["cursor"] = page["next"]

    def stats(self) -> dict[str, Any]:
        """How many tasks are where, what is owed, who works, what is paused."""
        return self._ask("GET", "/v1/stats")


def _path(task_id: str) -> str:
    return f"/v1/tasks/{quoted(task_id)}"
