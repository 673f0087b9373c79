"""The demo with its page: the same tasks again and again, until somebody stops it."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from gridsidecar.demo.plan import DemoTask, message
from gridsidecar.demo.sidecar import Sidecar

PAUSE = 1.5  # seconds between two tasks
START = 15.0  # seconds until a sidecar listens
_LISTENS = re.compile(r"\burl=(http://\S+)")


async def keep_going(config: Path, planned: Sequence[DemoTask], sidecar: Sidecar, say: Callable[[str], None]) -> None:
    """Submit a task now and then. Raises SidecarDied when the sidecar is gone."""
    from gridsidecar.cli.task_sender import TaskSender
    from gridsidecar.config.load import load
    from gridsidecar.fleet import Where, reach

    settings = load(str(config), environ={}, dotenv=None)
    async with reach(Where(settings), makes=True) as fleet:
        await fleet.queue.open()
        outbox = TaskSender(fleet.queue, settings.broker.max_message_bytes, lambda task_id: None)
        say(await _address(sidecar))
        for number in itertools.count(1):
            for task in planned:
                sidecar.check()
                await outbox.send_one(message(replace(task, name=f"{task.name}-{number}")) | {"task_type": task.name})
                await asyncio.sleep(PAUSE)


async def _address(sidecar: Sidecar) -> str:
    """Where its page is. Raises SidecarDied, and TimeoutError."""
    async with asyncio.timeout(START):
        while True:
            sidecar.check()
            if found := _LISTENS.search(sidecar.log_text()):
                return found[1]
            await asyncio.sleep(0.05)
