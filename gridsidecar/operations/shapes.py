"""Tasks, attempts, callbacks and the rest as programs see them: one JSON shape for `--json` and for the HTTP API."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from gridsidecar import wire
from gridsidecar.wire.body import BodyRefused, body_text

if TYPE_CHECKING:
    from gridsidecar.broker import QueueInfo
    from gridsidecar.config.settings import BrokerSettings
    from gridsidecar.operations.dead_letters import Letter
    from gridsidecar.store import Operation
    from gridsidecar.store.minutes import MinuteTally, Point
    from gridsidecar.views import (
        AttemptView,
        CallbackRow,
        CallbackView,
        LetterInFull,
        LetterView,
        OperationView,
        QueueView,
        TaskSummary,
        TaskView,
    )

STORED = len("2026-01-01 00:00:00.000")  # as our own columns have them; an adopted one may have fewer digits, or more

AnyRow = TypeVar("AnyRow", bound=Mapping[str, object])
AnyTask = TypeVar("AnyTask", "TaskSummary", "TaskView")


def in_utc(row: AnyRow) -> AnyRow:
    """A row with its times in ISO 8601."""
    return cast("AnyRow", {name: _iso(name, value) for name, value in row.items()})


def _iso(name: str, value: Any) -> Any:
    if name.endswith("_at") and isinstance(value, str):
        return f"{value[:10]}T{value[11:]}Z" if len(value) == STORED else stamp(moment(value))
    return value


def moment(text: str) -> datetime:
    """A stored time, aware."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def task_object(view: AnyTask) -> AnyTask:
    """A task, alone or of a list."""
    shown = in_utc(view)
    if paused := view.get("paused"):
        shown["paused"] = in_utc(paused)
    return shown


def task_in_full(view: TaskView, attempts: Sequence[AttemptView], callbacks: Sequence[CallbackRow]) -> TaskView:
    """With its history and the callbacks about it."""
    shown = task_object(view)
    shown["attempts"] = [in_utc(row) for row in attempts]
    shown["callbacks"] = [callback_object(row) for row in callbacks]
    return shown


def callback_object(row: CallbackRow) -> CallbackView:
    """One callback, without its body."""
    shown = {name: value for name, value in in_utc(row).items() if name not in ("dead", "body")}
    if row["kind"] == "letter":  # its rows count downwards, beside those of callbacks
        shown["rerun"] = -1 - row["rerun"]
    return cast("CallbackView", {"id": row["id"], "task_id": row["task_id"], "state": callback_state(row), **shown})


def callback_in_full(row: CallbackRow) -> CallbackView:
    """With what is sent: JSON text. Null for a letter, which is the task's own message."""
    shown = callback_object(row)
    shown["body"] = None if row["kind"] == "letter" else row["body"]
    return shown


def callback_state(row: CallbackRow) -> str:
    """`owed` while it is still to be sent, `dead` once it was given up."""
    if row["dead"]:
        return "dead"
    return "delivered" if row["next_try_at"] is None else "owed"


def operation_object(operation: Operation, outcomes: Mapping[str, int] | None = None) -> OperationView:
    """A cancel or retry of many tasks, and by its outcomes, where they are given, how far it is."""
    found = sum((outcomes or {}).values())
    starts_until = moment(operation.created_at) + timedelta(seconds=operation.spread)
    shown: OperationView = {
        "operation": operation.id,
        "kind": str(operation.kind),
        "queue": operation.queue,
        "asked": operation.asked,
        "spread_s": operation.spread,
        "state": operation.state,
        "tasks": operation.total if operation.collected else found,
        "collected": operation.collected,
        "created_at": stamp(moment(operation.created_at)),
        "ended_at": operation.ended_at and stamp(moment(operation.ended_at)),
        "starts_until_at": stamp(starts_until),
    }
    if outcomes is not None:
        shown["done"] = found - outcomes.get("open", 0)
    return shown


def queue_object(info: QueueInfo, settings: BrokerSettings) -> QueueView:
    """What waits in the work queue and behind it; null is what the broker cannot tell."""
    return {
        "queue": info.queue,
        "exists": info.exists,
        "ready": info.ready,
        "unsettled": info.unsettled,
        "consumers": info.consumers,
        "delayed": {str(seconds): count for seconds, count in info.delayed.items()},
        "dead": info.dead,
        "dead_letter_queue": settings.dead_letters,
    }


def letter_object(letter: Letter) -> LetterView:
    """One dead letter of a list."""
    return {
        "task_id": letter.task_id,
        "message_id": letter.message_id,
        "task_type": None if isinstance(letter.content, wire.Refused) else letter.content.task_type,
        "reason": letter.dead.reason,
        "attempts": letter.dead.attempt_count,
        "queue": letter.dead.queue,
        "time": iso(letter.dead.time),
        "bytes": len(letter.dead.message.body),
    }


def letter_in_full(letter: Letter) -> LetterInFull:
    """The same with properties and body: as text where it is text, inflated; and always byte for byte."""
    return {
        **letter_object(letter),
        "properties": letter_properties(letter),
        "body": letter_body(letter),
        "body_base64": base64.b64encode(letter.dead.message.body).decode("ascii"),
    }


def stamp(moment: datetime) -> str:
    """A moment of UTC in ISO 8601."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else stamp(moment)


def letter_properties(letter: Letter) -> dict[str, Any]:
    properties: dict[str, Any] = json.loads(wire.encode_properties(letter.dead.message))
    return properties


def letter_body(letter: Letter) -> str | None:
    message = letter.dead.message
    try:
        return body_text(message, max(letter.max_bytes, len(message.body)))
    except BodyRefused:
        return None


def point_object(point: Point) -> dict[str, Any]:
    """What ended in one step of time with one outcome; seconds that their attempts took."""
    return {"at": point.at.isoformat().replace("+00:00", "Z"), "outcome": point.outcome, **_durations(point)}


def tally_object(tally: MinuteTally) -> dict[str, Any]:
    """What ended of one type with one outcome and one error."""
    named = {"task_type": tally.task_type, "outcome": tally.outcome, "error_type": tally.error_type}
    return {**named, **_durations(tally)}


def _durations(counted: Point | MinuteTally) -> dict[str, Any]:
    shares = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
    return {
        "count": counted.count,
        "mean_s": round(counted.seconds / counted.count, 3) if counted.count else None,
        **{name: counted.histogram.percentile(share) for name, share in shares.items()},
    }
