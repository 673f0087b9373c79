"""The sidecar's side, by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

HANDLERS = Path(__file__).with_name("handlers.py")


def task(data: Any = None, task_id: str = "t1", task_type: str = "default", **run: Any) -> dict[str, Any]:
    run = {"attempt": 1, "idempotency_key": task_id, "checkpoint": None, **run}
    return {"gs": 1, "type": "task", "task_id": task_id, "task_type": task_type, "data": data, "run": run}


class Handler:
    """A program of `handlers.py`, with its events pipe."""

    def __init__(self, name: str, mode: str) -> None:
        reader, writer = os.pipe()
        variables = {"GRIDSIDECAR": "1", "GRIDSIDECAR_MODE": mode, "GRIDSIDECAR_EVENTS": f"/dev/fd/{writer}"}
        self.process = subprocess.Popen(
            [sys.executable, str(HANDLERS), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[writer],
            env={**os.environ, **variables, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(HANDLERS.parents[1])},
        )
        os.close(writer)
        self.events = os.fdopen(reader, "rb")

    def __enter__(self) -> Handler:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.events.close()

    def send(self, *messages: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        for message in messages:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def event(self) -> Optional[dict[str, Any]]:
        line = self.events.readline()
        return json.loads(line) if line else None

    def rest(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def finish(self) -> tuple[int, str]:
        """Close its stdin; exit code and stderr."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors.decode()


def one(name: str, data: Any = None, **fields: Any) -> list[dict[str, Any]]:
    """The events of one task in a process of its own."""
    with Handler(name, "oneshot") as handler:
        handler.send(task(data, **fields))
        handler.process.stdin.close()
        handler.process.stdin = None
        events = handler.rest()
        handler.finish()
        return events
