"""Sends events to the sidecar: whole lines, one at a time, at once."""

from __future__ import annotations

import os
import threading
from typing import Any, Protocol

from gridsidecar_sdk.descriptors import open_events
from gridsidecar_sdk.encoding import Default, to_json
from gridsidecar_sdk.stopping import Stopper

MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_CHECKPOINT_BYTES = 64 * 1024


class Sends(Protocol):
    """Where events go."""

    def send(self, event: dict[str, Any], default: Default = None) -> None: ...


def line_of(event: dict[str, Any], default: Default = None) -> bytes:
    """One event as the sidecar reads it. TypeError or ValueError when it cannot be sent."""
    line = to_json({"gs": 1, **event}, default) + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(
            f"the {event['type']} has {len(line)} bytes, more than the 4 MiB of a message: "
            "store it elsewhere and send a reference"
        )
    if event["type"] == "checkpoint" and len(to_json(event["data"], default)) > MAX_CHECKPOINT_BYTES:
        raise ValueError("a checkpoint may have 64 KiB as JSON: store the rest elsewhere and save a reference")
    return line


class Channel:
    """The pipe to the sidecar, for all threads of this process."""

    def __init__(self, stopper: Stopper) -> None:
        self._fd = open_events()
        self._lock = threading.Lock()
        self._stopper = stopper

    def send(self, event: dict[str, Any], default: Default = None) -> None:
        """Write one event, wholly, before returning. TypeError or ValueError when it cannot be sent."""
        line = line_of(event, default)
        with self._stopper.held(), self._lock:  # a stop in the middle would cut the line in two
            self._write(line)

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except BrokenPipeError:
            pass  # the sidecar is gone, and nobody else wants to know
