"""Where a list goes on, as text that a client only passes back."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import Any

from gridsidecar.rules.task import Status
from gridsidecar.store import Position
from gridsidecar.store.selection import Cursor

LONGEST = 4096  # characters


def encoded(position: Position | None) -> str | None:
    return None if position is None else _packed([position.created_at, position.id])


def decoded(text: str) -> Position:
    """ValueError for what is no cursor of ours."""
    try:
        created_at, task_id = _unpacked(text)
        if not isinstance(task_id, str) or not isinstance(created_at, str | None):
            raise TypeError
        return Position.of(created_at, task_id)
    except (Error, ValueError, TypeError, RecursionError):
        raise ValueError("is no cursor; take `next` of the page before") from None


def encoded_position(position: Cursor | None) -> str | None:
    return None if position is None else _packed([position.status, position.created_at, position.id])


def decoded_position(text: str) -> Cursor:
    """The same for what a filter names."""
    try:
        status, created_at, task_id = _unpacked(text)
        if not isinstance(task_id, str) or not isinstance(created_at, str):
            raise TypeError
        Position.of(created_at, task_id)
        return Cursor(Status(status), created_at, task_id)
    except (Error, ValueError, TypeError, RecursionError):
        raise ValueError("is no cursor; take `next` of the answer before") from None


def _packed(value: list[Any]) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _unpacked(text: str) -> Any:
    if len(text) > LONGEST:
        raise ValueError
    return json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
