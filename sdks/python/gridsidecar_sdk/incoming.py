"""Messages of the sidecar, as they come in on stdin."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from gridsidecar_sdk.descriptors import take_stdin


def one_task() -> dict[str, Any]:
    """The task of a process that runs one; empty where there is none."""
    with os.fdopen(os.dup(0), "rb") as stream:
        for line in stream:
            message = _parsed(line)
            if message.get("type") == "task":
                return message
    return {}


def messages() -> Iterator[dict[str, Any]]:
    """Every message until the end of stdin, which is empty for everybody else from now on."""
    with os.fdopen(take_stdin(), "rb") as stream:
        for line in stream:
            message = _parsed(line)
            if message:
                yield message


def _parsed(line: bytes) -> dict[str, Any]:
    """What is no JSON object is passed over, with a word."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict):
        return message
    print(f"gridsidecar_sdk: not a message: {line[:100]!r}", file=sys.stderr)
    return {}
