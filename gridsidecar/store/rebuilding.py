"""The message of a task that another program ran: made again of its row's columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gridsidecar import wire
from gridsidecar.rules.task import Message
from gridsidecar.store import records

_FIELDS = ("task_type", "callback_url", "callback_type", "max_retry_count")


def rebuilt(stored: Mapping[str, Any]) -> Message | None:
    """None where the columns make no message that a worker would take."""
    fields = {"task_id": stored["id"], "data": records.decoded(stored["data"])}
    fields |= {name: stored[name] for name in _FIELDS if stored[name]}
    if stored["callback_data"] is not None:
        fields["callback_data"] = records.decoded(stored["callback_data"])
    try:
        message = Message(body=wire.data_json(fields).encode())
    except (ValueError, TypeError, RecursionError):
        return None
    known = wire.decode_task(message, len(message.body) + 1)
    return None if isinstance(known, wire.Refused) else message
