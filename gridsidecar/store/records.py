"""Between rows and values: the columns of a task, an attempt and a message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from gridsidecar import wire
from gridsidecar.rules.reception import Claimant, Row
from gridsidecar.rules.task import Callback, Claim, ErrorType, Message, Progress, Report, Status, Task, Transition
from gridsidecar.store.database import RowRejected

if TYPE_CHECKING:
    from gridsidecar.views import AttemptView, TaskSummary, TaskView

ERROR_LIMIT = 16_000  # characters kept of an error text: TEXT holds 65,535 bytes
SMALL_BODY = 65_536  # bytes; up to here the body of a message that was refused is read back, also by our queries
SHORT = 255
PROGRESS_LIMIT = 1024
KEPT_DELAY = 30.0  # seconds until a refused message that a row keeps is tried again for the first time
_DEFAULTS = {"status": "pending", "progress": 0, "retry_count": 0, "max_retry_count": 0, "callback_type": "http"}
_ZERO_DATE = "0000-00-00"  # how MySQL tells a time that was never set, where it cannot be NULL


def time_text(moment: datetime | None) -> str | None:
    """UTC text as both databases compare it."""
    if moment is None:
        return None
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def new_row(task: Task, claimant: Claimant, max_retry_count: int, queue: str) -> dict[str, Any]:
    return task_columns(task, max_retry_count, queue) | {"worker_id": claimant.worker_id, "ahead": int(claimant.ahead)}


def task_columns(task: Task, max_retry_count: int, queue: str) -> dict[str, Any]:
    """What a row has of its task's message."""
    return {
        "id": task.task_id,
        "task_type": task.task_type,
        "data": json_text(task.data),
        "max_retry_count": max_retry_count,
        "priority": task.priority,
        "timeout": task.timeout,
        **callback_columns(task.callback),
        **message_columns(task.message, queue),
    }


def callback_columns(callback: Callback) -> dict[str, Any]:
    return {
        "callback_url": callback.url,
        "callback_type": callback.type,
        "callback_data": None if callback.data is None else json_text(callback.data),
    }


def foreign_columns(task: Task, max_retry_count: int) -> dict[str, Any]:
    """What a row that another program wrote lacks, of its task's message."""
    return callback_columns(task.callback) | {
        "id": task.task_id,
        "data": json_text(task.data),
        "asked": task.max_retry_count,
        "max_retry_count": max_retry_count,
        "wants_callback": int(task.callback.wanted),
        "priority": task.priority,
        "timeout": task.timeout,
    }


def deferral(task: Task, grace: float) -> dict[str, Any]:
    """When a task wants to run, and how long after that somebody looks for it."""
    return {"delay": task.defer_by, "until": time_text(task.defer_until), "grace": grace, "handed_off": 0}


def before_its_message(task: Task, grace: float) -> dict[str, Any]:
    """The same of a row whose message nobody has sent yet."""
    return deferral(task, grace) | {"delay": task.defer_by or 0.0, "handed_off": 1}


def message_columns(message: Message, queue: str) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "queue": queue,
        "body": message.body,
        "headers": wire.encode_properties(_as_produced(message)),
    }


def _as_produced(message: Message) -> Message:
    if (
        message.attempt
        or message.wake_up
        or message.seen_running
        or message.passed
        or message.rejections
        or message.prewritten_id
    ):
        return replace(message.counted_anew(0), wake_up=False, prewritten_id=None)
    return message


def kept(message: Message, row_id: str, queue: str, error: str) -> dict[str, Any]:
    """A refused message as a row of its own, which is named in what maintenance will send of it."""
    return message_columns(replace(message, kept=row_id), queue) | {
        "id": row_id,
        "error": _cut(error, ERROR_LIMIT),
        "error_type": ErrorType.VALIDATION.value,
        "delay": KEPT_DELAY,
    }


def row(stored: Mapping[str, Any]) -> Row:
    lease_left = stored["lease_left"]
    return Row(
        status=status(stored["status"]),
        attempt=stored["attempt"],
        retry_count=stored["retry_count"],
        crashes=stored["crashes"],
        interruptions=stored["interruptions"],
        max_retry_count=stored["max_retry_count"],
        worker_id=stored["worker_id"],
        message_id=stored["message_id"],
        store_redelivers=bool(stored["handed_off"]),
        cancel_requested=bool(stored["cancel_requested"]),
        ahead=bool(stored["ahead"]),
        due_in=float(stored["due_in"] or 0),
        reserved=bool(stored["reserved"]),
        lease_left=None if lease_left is None else float(lease_left),
        checkpoint=stored["checkpoint"],
        callback=Callback(
            url=stored["callback_url"] or None,
            type=stored["callback_type"] or "http",
            data=_kept(stored["callback_data"]),
        ),
        foreign=bool(stored["foreign_row"]),
        owner=stored["worker_name"] or stored["worker_id"] or "an earlier system",
        silent_for=None if lease_left is None else float(stored["lease"]) - float(lease_left),
        unseen=bool(stored["unseen"]),
    )


def status(stored: str | None) -> Status:
    """No value, and the empty one that MySQL makes of an unknown value of an enum, are a row that nobody has begun."""
    try:
        return Status(stored or Status.PENDING)
    except ValueError:
        raise RowRejected(f"its row has the status {stored!r}, which no task of ours has") from None


def wake_up(stored: Mapping[str, Any]) -> Message:
    """The message that brings a row's task back: the producer's body and properties, marked as ours. `RowRejected`
    where they cannot be read."""
    # By the id of its first message a row knows what was refused as its own.
    first = stored["message_id"] if not stored["attempt"] else None
    return replace(produced(stored), message_id=None, prewritten_id=first, attempt=stored["attempt"], wake_up=True)


def produced(stored: Mapping[str, Any]) -> Message:
    """A row's message as its producer sent it. `RowRejected` where it cannot be read."""
    body, attempt = stored["body"], stored["attempt"]
    try:
        if not isinstance(body, bytes):
            raise ValueError("its body is missing" if body is None else "its body is no bytes")
        if not isinstance(attempt, int) or attempt < 0:
            raise ValueError(f"its attempt is {attempt!r:.80}")
        return wire.decode_properties(stored["headers"], body)
    except (ValueError, TypeError) as error:
        raise RowRejected(f"its stored message cannot be read: {error}") from error


def checkpoint(stored: str | None) -> Any:
    """What the last attempt left to the next one. `RowRejected` where it is no JSON."""
    try:
        return json.loads(stored) if stored else None
    except (ValueError, RecursionError) as error:
        raise RowRejected(f"its row has a checkpoint that is no JSON: {error}") from error


def fence(claim: Claim) -> dict[str, Any]:
    """What every write by a worker carries."""
    return {"id": claim.task_id, "attempt": claim.attempt, "worker_id": claim.worker_id}


def progress_columns(progress: Progress) -> dict[str, Any]:
    return {
        "progress": None if progress.percent is None else int(progress.percent),
        "progress_message": _cut(progress.message, PROGRESS_LIMIT),
        "checkpoint": None if progress.checkpoint is None else json_text(progress.checkpoint.data),
    }


def end_columns(
    claim: Claim, transition: Transition, progress: Progress, grace: float, duration: float = 0.0
) -> dict[str, Any]:
    succeeded = transition.status is Status.SUCCESS
    percent, reached = progress.percent, progress.checkpoint
    if succeeded:  # nobody goes on from it
        percent, reached = 100, None
    delay = transition.delay
    return {
        "id": claim.task.task_id,
        "attempt": claim.attempt,
        "worker_id": claim.worker_id,
        "progress": None if percent is None else int(percent),
        "progress_message": _cut(progress.message, PROGRESS_LIMIT),
        "checkpoint": None if reached is None else json_text(reached.data),
        "status": transition.status.value,
        "result": json_text(transition.result) if succeeded else None,
        "error": _cut(transition.error, ERROR_LIMIT),
        "error_type": _cut(transition.error_type, SHORT),
        "last_error_type": _cut(transition.last_error_type, SHORT),
        "traceback": None if transition.traceback is None else storable(transition.traceback),
        "retry_count": transition.retry_count,
        "crashes": transition.crashes,
        "interruptions": transition.interruptions,
        "delay": None if delay is None else round(delay, 3),
        "grace": grace,
        # Only such a row asks for it; coarse, so that ends of short tasks are alike and travel as one statement.
        "duration": round(duration, 2) if claim.ahead else 0.0,
        "terminal": int(transition.status.terminal),
        "beats_cancel": int(transition.beats_cancel),
        "succeeded": int(succeeded),
    }


def attempt_columns(claim: Claim, transition: Transition, report: Report) -> dict[str, Any]:
    return {
        "id": claim.task.task_id,
        "attempt": claim.attempt,
        "worker_id": claim.worker_id,
        "worker_name": _cut(claim.worker_name, SHORT),
        "duration": round(report.duration_s, 3),
        "outcome": transition.outcome,
        "error": _cut(transition.error, ERROR_LIMIT),
        "error_type": _cut(transition.last_error_type or transition.error_type, SHORT),
        "exit_code": report.exit_code,
        "signal_number": report.signal,
        "cpu_seconds": report.cpu_s,
        "peak_memory": report.peak_rss_bytes,
        "log_head": _text_or_none(report.log_head),
        "log_tail": _text_or_none(report.log_tail),
        "log_dropped": report.log_dropped_bytes,
        "stderr_tail": _text_or_none(report.stderr_tail),
        "notes": _cut("; ".join(report.notes), ERROR_LIMIT) if report.notes else None,
    }


def view(stored: Mapping[str, Any]) -> TaskView:
    """One task for people and programs: the columns, JSON decoded, internals left out."""
    shown = _shown(stored)
    for name in ("data", "result", "callback_data", "checkpoint"):
        shown[name] = decoded(shown.get(name))
    whole = {
        "task_id": stored["id"],
        **shown,
        "handed_off": bool(shown["handed_off"]),
        "cancel_requested": bool(shown["cancel_requested"]),
        "worker": shown["worker"] or shown["worker_id"],
        "due_in_s": _due(stored["due_in"]),
    }
    return cast("TaskView", whole)


def summary(stored: Mapping[str, Any]) -> TaskSummary:
    """One task of a list: what `view` has of it, without data and result."""
    some = {"task_id": stored["id"], **_shown(stored), "due_in_s": _due(stored["due_in"])}
    return cast("TaskSummary", some)


def attempt_view(stored: Mapping[str, Any]) -> AttemptView:
    """One attempt of a task's history."""
    shown = dict(stored)
    name = shown.pop("worker_name")
    return cast("AttemptView", shown | {"worker": name or stored["worker_id"]})


def _shown(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The columns, with the defaults of those that another program left empty."""
    shown = {name: value for name, value in stored.items() if name not in ("id", "due_in")}
    for name, default in _DEFAULTS.items():
        if name in shown:
            shown[name] = shown[name] or default
    for name in ("created_at", "updated_at", "started_at", "completed_at"):
        if str(shown[name] or "").startswith(_ZERO_DATE):
            shown[name] = None
    return shown


def _due(seconds: Any) -> float | None:
    return None if seconds is None else round(max(0.0, float(seconds)), 1)


def _kept(text: str | None) -> Any:
    """The value, or its text where that is large: it is only passed on."""
    if text is None or len(text) <= wire.SMALL:
        return decoded(text)
    try:
        return wire.stored_text(text)
    except ValueError:  # a row that another program wrote
        return text


def decoded(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a row that another program wrote
        return text


def json_text(value: Any) -> str | wire.JsonText:
    if isinstance(value, wire.JsonText):
        return value
    try:
        return wire.readable_json(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise RowRejected(f"no JSON value: {error}") from error


def _cut(text: str | None, limit: int) -> str | None:
    return None if text is None else storable(text)[:limit]


def _text_or_none(text: str) -> str | None:
    return storable(text) if text else None


def ascii_only(text: str, limit: int) -> str:
    """The start of the text with `?` for what is not ASCII: so it fits every column."""
    return text[:limit].encode("ascii", "replace").decode()


def storable(text: str) -> str:
    """Text as a UTF-8 column takes it: no lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
