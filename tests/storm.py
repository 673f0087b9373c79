"""A storm of tasks over few processes that stay and misbehave: `python -m tests.storm --tasks 50000`."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import execute_on_server
from tests.support import services
from tests.support.place import HANDLERS, Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually


def config(place: Place, trouble: float, processes: int) -> dict[str, Any]:
    handler = {
        "command": [sys.executable, "-I", "-S", str(HANDLERS / "stormy.py"), str(trouble)],
        "mode": "persistent",
        "timeout": 2,
        "kill_grace": 0.2,
        "retry": {"max_retries": 30, "delay": 0},
    }
    return place.config({"default": handler}, worker={"concurrency": processes}, log={"level": "WARNING"})


async def publish(place: Place, tasks: int) -> None:
    await place.publish(*({"task_id": f"t{n}", "data": {"n": n}} for n in range(tasks)))


def check(place: Place, tasks: int) -> Counter[str]:
    """None is lost, doubled or crossed; how the attempts ended."""
    rows = place.rows()
    assert len(rows) == tasks, f"{len(rows)} rows for {tasks} tasks"
    outcomes: Counter[str] = Counter()
    history = Counter((row["task_id"], row["outcome"]) for row in place.history())
    for task_id, row in rows.items():
        assert row["status"] == "success", row
        assert json.loads(row["result"]) == {"id": task_id, "n": int(task_id[1:])}, row
        assert row["checkpoint"] is None, row
        assert history[task_id, "success"] == 1, task_id
        assert history[task_id, "failed"] == row["retry_count"] == row["attempt"] - 1, row
    for row in place.history():
        outcomes[row["error_type"] or row["outcome"]] += 1
        outcomes["ignored events"] += "[ignored: it names another task]" in (row["log_head"] or "")
        outcomes["second results"] += "[ignored: a result while it had no task]" in (row["log_head"] or "")
    return outcomes


async def storm(place: Place, folder: Path, tasks: int, trouble: float, processes: int) -> None:
    await publish(place, tasks)
    sidecar = Sidecar(folder / "sidecar", config(place, trouble, processes))
    try:
        began = time.monotonic()
        most = 0
        while not place.all_ended(tasks):
            most = max(most, len(sidecar.handlers()))
            print(f"{time.monotonic() - began:6.1f} s  {place.statuses()}", file=sys.stderr)
            await asyncio.sleep(5)
        seconds = time.monotonic() - began
        await eventually(lambda: place.left() == 0)
        sidecar.terminate()
        assert await sidecar.ended(60) == 0, sidecar.text[-3000:]
    finally:
        sidecar.die()
    print(f"{tasks} tasks in {seconds:.1f} s, at most {most} processes: {dict(check(place, tasks))}")
    assert most <= processes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--trouble", type=float, default=0.03, help="part of the tasks that go wrong")
    parser.add_argument("--processes", type=int, default=4)
    given = parser.parse_args()
    queue = f"gs_{secrets.token_hex(4)}"
    with services.rabbitmq_url() as amqp, services.mysql_url() as mysql, tempfile.TemporaryDirectory() as folder:
        execute_on_server(mysql, f"create database {queue} character set utf8mb4")
        place = Place(amqp, mysql.rstrip("/") + f"/{queue}", queue, Path(folder))
        try:
            asyncio.run(storm(place, Path(folder), given.tasks, given.trouble, given.processes))
        finally:
            execute_on_server(mysql, f"drop database {queue}")
            with place.channel() as channel:
                for name in (queue, f"{queue}.dead"):
                    channel.queue_delete(name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
