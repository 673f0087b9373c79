"""What the operator's templates make of a task: rendered at once, and bounded; no notice holds a large value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from msgspec import Struct

from gridsidecar import wire
from gridsidecar.config.template import Path, Template, look_up
from gridsidecar.notify import truncation
from gridsidecar.rules.task import TaskUpdate

MISSING = "–"
SUBJECT = 150  # bytes
TEXT = 6000
FIELD, TRACE = 1500, 4000  # of one field in a text
LARGEST_LOOKED_INTO = 1024 * 1024  # bytes of a value that is kept undecoded; in a larger one nothing is found


class NoticeOrigin(Struct, frozen=True, kw_only=True):
    """Where the tasks of this worker's notices ran."""

    queue: str
    worker: str


@dataclass(frozen=True)
class Facts:
    """The fields of one task's update, as templates name them."""

    update: TaskUpdate
    origin: NoticeOrigin
    moment: datetime

    def value(self, path: Path) -> Any:
        """None where there is none."""
        return look_up(self._fields[path[0]], path[1:])

    def text(self, path: Path, limit: int) -> str | None:
        """The same as text of at most `limit` bytes, cut; None where there is none."""
        value = self.value(path)
        if value is None or value == "":
            return None
        shown = value if isinstance(value, str) else _json_start(value, limit)
        return truncation.tail(shown, limit) if path == ("traceback",) else truncation.head(shown, limit)

    @cached_property
    def _fields(self) -> Mapping[str, Any]:
        update, task, report = self.update, self.update.task, self.update.report
        return {
            "task_id": update.task_id,
            "task_type": update.task_type,
            "status": update.status.value,
            "attempt": update.attempt,
            "error": update.error,
            "error_type": update.error_type,
            "last_error_type": update.last_error_type,
            "traceback": update.traceback,
            "retry_in": update.retry_in,
            "duration": round(report.duration_s, 3) if report else None,
            "time": f"{self.moment:%Y-%m-%d %H:%M:%S} UTC",
            "queue": self.origin.queue,
            "worker": self.origin.worker,
            "data": _Undecoded.value(task.data) if task else None,
            "callback_data": _Undecoded.value(task.callback.data) if task else None,
            "result": update.result,
        }


class _Undecoded:
    """A large value that was left as text."""

    @staticmethod
    def value(value: Any) -> Any:
        if not isinstance(value, wire.JsonText):
            return value
        if len(value) > LARGEST_LOOKED_INTO:
            return None
        with suppress(ValueError, RecursionError):  # it was checked, but as text
            return json.loads(b"".join(map(bytes, value.chunks())))
        return None


def _json_start(value: Any, limit: int) -> str:
    """The value as JSON, of which no more is made than is shown."""
    written, length = [], 0
    with suppress(RecursionError):
        for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
            written.append(piece)
            length += len(piece)
            if length > limit:
                break
    return "".join(written)


class Wording(Struct, frozen=True, kw_only=True):
    """The templates of one channel; None: our own words."""

    origin: NoticeOrigin
    subject: Template | None = None
    text: Template | None = None

    def subject_of(self, facts: Facts) -> str | None:
        """One line."""
        if self.subject is None:
            return None
        return truncation.line(self.subject.fill(lambda path: facts.text(path, SUBJECT) or MISSING), SUBJECT)

    def text_of(self, facts: Facts) -> str | None:
        if self.text is None:
            return None
        return truncation.head(self.text.fill(lambda path: facts.text(path, _limit(path)) or MISSING), TEXT)


def _limit(path: Path) -> int:
    return TRACE if path == ("traceback",) else FIELD
