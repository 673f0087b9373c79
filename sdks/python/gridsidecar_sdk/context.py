"""One attempt at one task, as its function sees it."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import Any, Optional

from gridsidecar_sdk.channel import Sends
from gridsidecar_sdk.encoding import Default, to_json
from gridsidecar_sdk.errors import Permanent, error_event

current: ContextVar[Optional[Context]] = ContextVar("gridsidecar_task", default=None)  # of the task that runs here
_LEVELS = {"warn": "warning", "critical": "error", "fatal": "error", "trace": "debug"}


class Context(dict[str, Any]):
    """A dict with what the hooks put there; what a task writes into it is gone with the task."""

    def __init__(self, channel: Sends, message: dict[str, Any], shared: dict[str, Any]) -> None:
        run = message.get("run") or {}
        self.task = message
        self.task_id: str = message.get("task_id", "")
        self.task_type: str = message.get("task_type", "default")
        self.data: Any = message.get("data")
        self.attempt: int = run.get("attempt", 1)
        self.last_checkpoint: Any = run.get("checkpoint")
        self.deadline_ms: Optional[int] = run.get("deadline_ms")
        self.idempotency_key: str = run.get("idempotency_key", self.task_id)
        super().__init__(shared, job_id=self.task_id, job_try=self.attempt)
        self._channel = channel
        self.printed: dict[str, str] = {}  # by level: the last line, while it has no end
        self.is_open = True

    @property
    def job_id(self) -> str:
        return self.task_id

    @property
    def job_try(self) -> int:
        return self.attempt

    def report_progress(self, progress: Optional[float] = None, message: Optional[str] = None) -> None:
        """How far it is, 0 - 100, and words for people; either may be left out."""
        event: dict[str, Any] = {"type": "progress"}
        if progress is not None and math.isfinite(float(progress)):
            event["progress"] = min(100.0, max(0.0, float(progress)))
        if message is not None:
            event["progress_message"] = str(message)
        if len(event) > 1:
            self._send(event)

    def log(self, level: str, message: object, **fields: Any) -> None:
        """A line in the task's log: debug, info, warning or error. It never fails a task."""
        self._send(
            {
                "type": "log",
                "level": _LEVELS.get(level.lower(), level.lower()),
                "message": str(message)[:65536],
                "fields": {name: _loggable(value) for name, value in fields.items()},
            }
        )

    def checkpoint(self, data: Any) -> None:
        """Where a next attempt can go on: it finds this in `last_checkpoint`. At most 64 KiB as JSON."""
        self._send({"type": "checkpoint", "data": data})

    def heartbeat(self) -> None:
        """A sign of life, for `stall_timeout`."""
        self._send({"type": "heartbeat"})

    def end(self, event: dict[str, Any], default: Default = None) -> None:
        """Send the last event of this attempt; nothing goes out after it."""
        for level in [level for level, line in self.printed.items() if line]:
            self.log(level, self.printed.pop(level))
        self._send(event, default)
        self.close()

    def finish(self, event: Optional[dict[str, Any]], default: Default = None) -> None:
        """The same; without an event nothing is said, and for one that is no JSON what is wrong with it."""
        if event is None:
            self.close()
            return
        try:
            self.end(event, default)
        except (TypeError, ValueError) as error:
            wrong = Permanent(f"the result cannot be sent as JSON: {error}", error_type=type(error).__name__)
            self.end(error_event(wrong))

    def close(self) -> None:
        self.is_open = False

    def _send(self, event: dict[str, Any], default: Default = None) -> None:
        if self.is_open:
            self._channel.send({**event, "task_id": self.task_id}, default)


def _loggable(value: Any) -> Any:
    try:
        if len(to_json(value)) <= 65536:
            return value
    except (TypeError, ValueError):
        pass
    return repr(value)[:1000]
