"""One attempt of a program of this directory, with what it reported on its way."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gridsidecar.clock import SystemClock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Handler, Stop, make_handlers
from gridsidecar.rules.task import Claim, Ended, Message, Progress, Task

PROGRAMS = Path(__file__).parent / "programs"
SHELL = ["/bin/sh", str(PROGRAMS / "child.sh")]
PYTHON = [sys.executable, "-I", "-S", str(PROGRAMS / "child.py")]
IN_PYTHON = {
    *("flood", "long-line", "deaf", "slow-reader", "binary", "memory", "used-memory"),
    *("daemon", "hidden", "own-group", "late-words"),
}

BEGUN = 1.5  # seconds in which a program has done the first thing that it does, beside busy neighbours too

Run = Callable[..., Any]  # an Ended, whose outcome a test names by comparing it


def handler(command: list[str], **settings: Any) -> Handler:
    return make_handlers({"default": HandlerSettings(command=command, **settings)}, SystemClock())["default"]


def claim(**fields: Any) -> Claim:
    task: dict[str, Any] = {"task_id": "t1", "message": Message(body=b"{}"), "data": {"n": 2}} | fields
    return Claim(task=Task(**task), attempt=3, worker_id="w", max_retry_count=5)


class Running:
    """An attempt that a test can watch and stop. `task` is the claim's fields that matter."""

    def __init__(self, *argv: str, task: dict[str, Any] | None = None, **settings: Any) -> None:
        command = [*(PYTHON if argv[0] in IN_PYTHON else SHELL), *argv]
        self.handler = handler(command, **{"timeout": 20, "kill_grace": 5} | settings)
        self.claim = claim(**task or {})
        self.progress: list[Progress] = []
        self.stop = Stop()
        self.seconds = 0.0

    async def result(self) -> Ended:
        started = time.monotonic()
        ended = await self.handler.run(self.claim, self.progress.append, self.stop)
        self.seconds = time.monotonic() - started
        return ended


def log(ended: Ended) -> str:
    return ended.report.log_head + ended.report.log_tail


def state(pid: int) -> str | None:
    """The process state's letter; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def dead(pid: int) -> bool:
    return state(pid) in (None, "Z")


def children() -> list[int]:
    """Of this process."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
