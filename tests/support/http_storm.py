"""Tasks for a server, while somebody kills it and its sidecar again and again."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.place import HANDLERS, Place
from tests.support.servers import free_port
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

LONGEST_PAUSE = 1.0  # seconds that the server is away


class Server:
    """`handlers/served.py`, always at the same address."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "served"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = [sys.executable, "-I", "-S", str(HANDLERS / "served.py"), str(self.port), str(self._log)]
        self._process = subprocess.Popen(program, start_new_session=True)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def said(self, what: str) -> list[str]:
        """The tasks of which it noted this."""
        return [words[1] for words in map(str.split, self._log.read_text().splitlines()) if words[0] == what]

    def handler(self, **keys: Any) -> dict[str, Any]:
        return {"mode": "http", "url": f"http://127.0.0.1:{self.port}/tasks", "timeout": 30, **keys}


async def storm(
    place: Place, start: Callable[[dict[str, Any]], Sidecar], server: Server, *, tasks: int, kills: int, seed: int = 1
) -> Counter[str]:
    """Each side is killed `kills` times, in a random order and at random moments; how the attempts ended."""
    rng = random.Random(seed)
    policy = {"max_retries": 100, "delay": 0}
    config = place.config(
        {"default": server.handler(retry=policy)},
        worker={"concurrency": 20, "lease": 3, "max_crashes": 100},
        log={"level": "WARNING"},
    )
    server.start()
    sidecar = start(config)
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "echo", "n": n, "s": 0.05}} for n in range(tasks)))
    sides = rng.sample(["server", "sidecar"] * kills, 2 * kills)
    moments = sorted(rng.sample(range(1, tasks), 2 * kills))  # so many tasks have been done then
    for side, moment in zip(sides, moments, strict=True):
        await eventually(lambda moment=moment: len(server.said("end")) >= moment, timeout=600, interval=0.1)  # type: ignore[misc]
        if side == "sidecar":
            sidecar.die()
            sidecar = start(config)
        else:
            server.kill()
            await asyncio.sleep(rng.uniform(0, LONGEST_PAUSE))
            server.start()
    await eventually(lambda: place.all_ended(tasks), timeout=600, interval=0.5)
    await eventually(lambda: place.left() == 0)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    return check(place, tasks)


def check(place: Place, tasks: int) -> Counter[str]:
    """Each task ended once, with its own result; attempts may have been repeated."""
    rows = place.rows()
    assert place.statuses() == {"success": tasks}
    history = place.history()
    ends = Counter(row["task_id"] for row in history if row["outcome"] == "success")
    assert ends == dict.fromkeys((f"t{n}" for n in range(tasks)), 1)
    for name, row in rows.items():
        assert json.loads(row["result"]) == {"id": name, "n": int(name[1:])}, row
    assert not place.dead_letters()
    return Counter(row["outcome"] for row in history)
