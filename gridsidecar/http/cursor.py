"""Where a list goes on, as text that a client only passes back."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

from gridsidecar.store import Position

LONGEST = 4096  # characters


def encoded(position: Position | None) -> str | None:
    if position is None:
        return None
    return urlsafe_b64encode(json.dumps([position.created_at, position.id]).encode()).decode().rstrip("=")


def decoded(text: str) -> Position:
    """ValueError for what is no cursor of ours."""
    try:
        if len(text) > LONGEST:
            raise ValueError
        created_at, task_id = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(task_id, str) or not isinstance(created_at, str | None):
            raise TypeError
        return Position.of(created_at, task_id)
    except (Error, ValueError, TypeError, RecursionError):
        raise ValueError("is no cursor; take `next` of the page before") from None
