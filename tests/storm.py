"""A storm of tasks over few processes that stay and misbehave: `python -m tests.storm --tasks 50000`.

Meanwhile somebody cancels tasks, pauses all of them for a moment, and has what was cancelled run again. With `--http`
the tasks are those of a server, and either side is killed again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings, StoreSettings
from gridsidecar.operations.steering import Driver
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Status
from gridsidecar.store import Filter, OperationKind, make_store
from gridsidecar.telemetry import Readiness
from tests.conftest import execute_on_server
from tests.support import services
from tests.support.http_storm import Server
from tests.support.http_storm import storm as http_storm
from tests.support.place import HANDLERS, Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

BESIDE = 4 + 8  # processes for suspects, and those of which a task hangs


def config(place: Place, trouble: float, processes: int, concurrency: int = 1) -> dict[str, Any]:
    """`concurrency`: tasks at once in each process."""
    program = ["stormy.py", str(trouble)] if concurrency == 1 else ["stormy_many.py", str(trouble), str(concurrency)]
    handler = {
        "command": [sys.executable, "-I", "-S", str(HANDLERS / program[0]), *program[1:]],
        "mode": "persistent",
        "persistent": {"processes": processes, "concurrency": concurrency},
        "timeout": 2,
        "kill_grace": 0.2,
        "retry": {"max_retries": 30, "delay": 0},
    }
    return place.config({"default": handler}, worker={"concurrency": processes * concurrency}, log={"level": "WARNING"})


async def publish(place: Place, tasks: int) -> None:
    await place.publish(*({"task_id": f"t{n}", "data": {"n": n}} for n in range(tasks)))


class Steerer:
    """Cancels tasks, of which most have not been seen yet, pauses the type and has run again what was cancelled."""

    def __init__(self, place: Place, tasks: int, rounds: int) -> None:
        self._store = make_store(StoreSettings(url=place.store_url), place.queue)
        self._broker = make_broker(BrokerSettings(url=place.broker_url, queue=place.queue), Readiness())
        self._queue = place.queue
        self._tasks = tasks
        self._rounds = rounds
        self._rng = random.Random(1)
        self.cancelled: set[str] = set()
        self.wishes: Counter[str] = Counter()

    async def run(self) -> None:
        """All rounds, half a second apart."""
        await self._store.open()
        for _ in range(self._rounds):
            await asyncio.sleep(0.5)
            chosen = (f"t{self._rng.randrange(self._tasks)}" for _ in range(50))
            self._note("cancel", await self._store.steering.cancel(chosen))
            if self._rng.random() < 0.2:
                until = datetime.now(UTC) + timedelta(seconds=self._rng.choice((0.1, 1.0, 3.0)))
                await self._store.pauses.pause("default", until)
                self.wishes["pause"] += 1
            if self._rng.random() < 0.2:
                await self.run_again()

    async def run_again(self) -> None:
        """All that is cancelled, and whose message has come."""
        chosen = Filter(statuses=(Status.CANCELLED,), queue=self._queue)
        operation = await self._store.operations.begin(OperationKind.RETRY, chosen)
        async for outcomes in Driver(self._store, self._broker).drive(operation):
            self._note("retry", outcomes)

    async def close(self) -> None:
        await self._broker.close()
        await self._store.close()

    def _note(self, wish: str, outcomes: Mapping[str, Steered]) -> None:
        self.wishes.update(f"{wish}: {outcome}" for outcome in outcomes.values())
        self.cancelled |= {task_id for task_id, outcome in outcomes.items() if outcome.done}


def check(place: Place, tasks: int, cancelled: Set[str] = frozenset()) -> Counter[str]:
    """None is lost, doubled or crossed; how the attempts ended. Claims ahead may have been given back, in a pause or
    where all processes hung for a while: these are numbers without attempts. One that was given back with others of its
    process spent a crash, and but once."""
    rows = place.rows()
    assert len(rows) == tasks, f"{len(rows)} rows for {tasks} tasks"
    outcomes: Counter[str] = Counter()
    history = Counter((row["task_id"], row["outcome"]) for row in place.history())
    for task_id, row in rows.items():
        assert row["status"] == "success", row
        assert json.loads(row["result"]) == {"id": task_id, "n": int(task_id[1:])}, row
        assert row["checkpoint"] is None, row
        assert history[task_id, "success"] == 1, task_id
        if task_id not in cancelled:
            assert history[task_id, "failed"] == row["retry_count"], row
            given_back = history[task_id, "interrupted"]
            assert row["crashes"] <= 1
            assert row["attempt"] - 1 - row["retry_count"] - given_back >= 0, row
    for row in place.history():
        outcomes[row["error_type"] or row["outcome"]] += 1
        outcomes["ignored events"] += "[ignored: it names another task]" in (row["log_head"] or "")
        outcomes["given back"] += row["outcome"] == "interrupted"
        outcomes["second results"] += "[ignored: a result while it had no task]" in (row["log_head"] or "")
    return outcomes


async def storm(place: Place, folder: Path, given: argparse.Namespace) -> None:
    await publish(place, given.tasks)
    sidecar = Sidecar(folder / "sidecar", config(place, given.trouble, given.processes, given.concurrency))
    steerer = Steerer(place, given.tasks, given.rounds)
    try:
        await eventually(place.rows, timeout=60)
        began = time.monotonic()
        steering = asyncio.create_task(steerer.run())
        most = 0
        while not (place.all_ended(given.tasks) and steering.done() and set(place.statuses()) == {"success"}):
            most = max(most, len(sidecar.handlers()))
            print(f"{time.monotonic() - began:6.1f} s  {place.statuses()}", file=sys.stderr)
            await asyncio.sleep(5)
            if steering.done():
                await steering
                await steerer.run_again()
        seconds = time.monotonic() - began
        await eventually(lambda: place.left() == 0)
        sidecar.terminate()
        assert await sidecar.ended(60) == 0, sidecar.text[-3000:]
    finally:
        await steerer.close()
        sidecar.die()
    outcomes = dict(check(place, given.tasks, steerer.cancelled))
    print(f"{given.tasks} tasks in {seconds:.1f} s, at most {most} processes: {outcomes}")
    print(f"steered: {dict(sorted(steerer.wishes.items()))}")
    assert most <= given.processes + (BESIDE if given.concurrency > 1 else 0)


async def storm_of_a_server(place: Place, folder: Path, given: argparse.Namespace) -> None:
    server, sidecars = Server(folder), list[Sidecar]()

    def start(config: dict[str, Any]) -> Sidecar:
        sidecars.append(Sidecar(folder / f"sidecar{len(sidecars)}", config))
        return sidecars[-1]

    began = time.monotonic()
    try:
        outcomes = await http_storm(place, start, server, tasks=given.tasks, kills=given.kills, seed=given.seed)
    finally:
        server.kill()
        for sidecar in sidecars:
            sidecar.die()
    print(f"{given.tasks} tasks in {time.monotonic() - began:.1f} s, each side killed {given.kills} times")
    print(f"none is lost or doubled; attempts: {dict(outcomes)}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--trouble", type=float, default=0.03, help="part of the tasks that go wrong")
    parser.add_argument("--rounds", type=int, default=60, help="of cancels and pauses, half a second apart")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--concurrency", type=int, default=1, help="tasks at once in each process")
    parser.add_argument("--http", action="store_true", help="a server's tasks, while it and the sidecar are killed")
    parser.add_argument("--kills", type=int, default=20, help="with --http: of each side")
    parser.add_argument("--seed", type=int, default=1, help="with --http: decides who is killed when")
    given = parser.parse_args()
    queue = f"gs_{secrets.token_hex(4)}"
    with services.rabbitmq_url() as amqp, services.mysql_url() as mysql, tempfile.TemporaryDirectory() as folder:
        execute_on_server(mysql, f"create database {queue} character set utf8mb4")
        place = Place(amqp, mysql.rstrip("/") + f"/{queue}", queue, Path(folder))
        try:
            asyncio.run((storm_of_a_server if given.http else storm)(place, Path(folder), given))
        finally:
            execute_on_server(mysql, f"drop database {queue}")
            with place.channel() as channel:
                for name in (queue, f"{queue}.dead"):
                    channel.queue_delete(name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
