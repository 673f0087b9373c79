"""What a message that cannot become a task is turned into."""

from __future__ import annotations

from dataclasses import dataclass

from gridsidecar.task import Task


@dataclass(frozen=True, slots=True)
class Refused:
    """`reason` is a stable slug for a header, `error` a sentence for people; `task_id` is set only when usable, `task`
    only when it could be read and is refused all the same, maybe without what is large in it."""

    reason: str
    task_id: str | None
    error: str
    task: Task | None = None
