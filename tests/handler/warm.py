"""A handler that stays, for tests: `programs/warm.py` behind the seam, and what its tasks reported."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridsidecar.clock import SystemClock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Handler, Stop, StopReason, make_handlers
from gridsidecar.rules.task import (
    Claim,
    Ended,
    Message,
    Progress,
    Succeeded,
    Task,
)
from tests.handler.running import PROGRAMS
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
WARM = [sys.executable, "-I", "-S", str(PROGRAMS / "warm.py")]


@dataclass
class Pool:
    """A handler that stays, and what its tasks reported."""

    handler: Handler
    progress: list[Progress] = field(default_factory=list)
    _last: int = 0

    async def run(self, do: str = "echo", *, stop: Stop | None = None, task_id: str = "", **data: Any) -> Ended:
        self._last += 1
        task = Task(
            task_id=task_id or f"t{self._last}",
            message=Message(body=b"{}"),
            data={"do": do, **data},
            timeout=data.get("timeout"),
        )
        counts = {name: data.get(name, value) for name, value in (("attempt", 1), ("crashes", 0))}
        claim = Claim(task=task, **counts, worker_id="w", max_retry_count=5)
        return await self.handler.run(claim, self.progress.append, stop or Stop())

    async def pid(self) -> int:
        return pid_of(await self.run("echo"))


@asynccontextmanager
async def pool(
    *argv: str, width: int = 1, command: list[str] | None = None, persistent: dict[str, Any] | None = None, **keys: Any
) -> AsyncIterator[Pool]:
    settings: dict[str, Any] = {"timeout": 20, "kill_grace": 5, "mode": "persistent", "persistent": persistent or {}}
    handler = make_handlers(
        {"x": HandlerSettings(command=command or [*WARM, *argv], **settings | keys)}, SystemClock(), concurrency=width
    )["x"]
    try:
        yield Pool(handler)
    finally:
        await handler.close(asyncio.Event())


def pid_of(ended: Ended) -> int:
    assert isinstance(ended.outcome, Succeeded), ended
    return int(ended.outcome.result["pid"])


def state(pid: int) -> str:
    """As in /proc; X where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def alive(pid: int) -> bool:
    return state(pid) not in "ZX"


async def at_rest(pid: int) -> None:
    """Until it waits for its next task, and what it wrote before has been read."""
    await eventually(lambda: state(pid) == "S")
    await asyncio.sleep(0.05)


def stop_soon(reason: StopReason, seconds: float = 0.3) -> Stop:
    stop = Stop()
    asyncio.get_running_loop().call_later(seconds, stop.request, reason)
    return stop


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
