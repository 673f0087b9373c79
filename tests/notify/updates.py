"""What happened to tasks, for messages to tell of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gridsidecar.notify.digest import Digest
from gridsidecar.notify.rendering import NoticeOrigin, Wording
from gridsidecar.rules.task import Report, Status, TaskUpdate

ORIGIN = NoticeOrigin(queue="task_queue", worker="pod-1")
PLAIN = Wording(origin=ORIGIN)
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def update(task_id: str = "r-1", status: Status = Status.FAILED, **fields: Any) -> TaskUpdate:
    """A task that failed, unless told otherwise."""
    failure = {"error": "no such image", "error_type": "NotFound"} if status is Status.FAILED else {}
    told = {"task_type": "resize", "attempt": 1, "report": Report(duration_s=3.21), **failure, **fields}
    return TaskUpdate(task_id=task_id, status=status, **told)


def digest(*updates: TaskUpdate) -> Digest:
    """A message's content."""
    made = Digest()
    for one in updates:
        made.add(one, MOMENT, PLAIN)
    return made
