"""The body of a callback: what whoever asked for it reads about a task's end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from gridsidecar.rules.task import ErrorType, Status
from gridsidecar.wire.json_scan import members
from gridsidecar.wire.json_text import Spliced, in_ascii, spliced
from gridsidecar.wire.strict_json import JsonRefused

LARGE = 1024 * 1024  # bytes


def encode_callback(
    task_id: str,
    status: Status,
    *,
    result: Any = None,
    error: str | None = None,
    error_type: str | None = None,
    last_error_type: str | None = None,
    attempts: int,
    callback_data: Any,
    moment: datetime,
) -> str | Spliced:
    """One JSON object, in parts where what it repeats is large. Of a success it has the result, of any other end the
    error; never a traceback.

    The keys, their order and the form of the time (`2026-01-31T12:00:00Z`) are those that receivers of the earlier
    plugin were promised.
    """
    body = spliced(
        {
            "task_id": task_id,
            "status": status.value,
            "result": result
            if status is Status.SUCCESS
            else _failure(error, error_type, last_error_type=last_error_type, attempts=attempts),
            "timestamp": _iso(moment),
            "callback_data": {} if callback_data is None else callback_data,  # receivers look into it
        },
        ascii_only=False,  # escaped, a text could be three times as long as in the message that it comes from
    )
    return body if isinstance(body, Spliced) else body.decode()


def sent_callback(body: bytes) -> bytes:
    """A stored body as it is sent: in ASCII, as receivers of the earlier plugin know it. A large one stays in UTF-8."""
    return body if len(body) > LARGE or body.isascii() else in_ascii(body.decode("utf-8", "replace"))


def callback_queue(body: bytes) -> str | None:
    """The name that `callback_data.queue_name` gives in a callback's body; None where it gives none. It builds nothing
    else of what may be large. ValueError for a body that is not ours."""
    data = _member(body, "callback_data")
    if data is None:
        raise JsonRefused("not-json", "it has no callback_data")
    name = _member(data, "queue_name") if data.startswith(b"{") else None
    value = None if name is None else json.loads(name)
    return value if isinstance(value, str) and value else None


def _member(raw: bytes, wanted: str) -> bytes | None:
    """The last one of this name: so do other readers take it."""
    places = [(start, end) for name, start, end in members(raw) if name == wanted]
    return raw[slice(*places[-1])] if places else None


def _failure(
    error: str | None, error_type: str | None, *, last_error_type: str | None, attempts: int
) -> dict[str, Any]:
    told: dict[str, Any] = {"error": error, "error_type": None if error_type is None else str(error_type)}
    if error_type == ErrorType.RETRY_EXHAUSTED:
        told |= {"last_error_type": last_error_type, "attempts": attempts}
    return told


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
