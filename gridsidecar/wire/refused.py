"""What a message that cannot become a task is turned into."""

from __future__ import annotations

from msgspec import Struct

from gridsidecar.rules.task import Task


class Refused(Struct, frozen=True):
    """`reason` is a stable slug for a header, `error` a sentence for people; `task_id` is set only when usable, `task`
    only when it could be read and is refused all the same, maybe without what is large in it."""

    reason: str
    task_id: str | None
    error: str
    task: Task | None = None
