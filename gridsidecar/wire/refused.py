"""What a message that cannot become a task is turned into."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """`reason` is a stable slug for a header, `error` a sentence for people; `task_id` is set only when usable."""

    reason: str
    task_id: str | None
    error: str
