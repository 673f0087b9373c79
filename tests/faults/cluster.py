"""The line through clusters while each of their nodes is killed in turn.

`python -m tests.faults.cluster [urls|haproxy|galera...] [--tasks 1500]`, or `bash tests/run matrix cluster`: needs root
and Debian's haproxy, galera-4 and mariadb-backup, which it installs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
import pymysql

from tests.support.cluster import HAProxy, folder, galera_cluster, prepare, rabbitmq_cluster
from tests.support.place import Place
from tests.support.servers import LocalServer
from tests.support.services import private_mysql, private_rabbitmq
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

PACE = 40.0  # tasks a second, as far as the brokers take them
KILL_AFTER = 0.3  # of what is sent for a node
DRAIN_TIMEOUT = 300.0
READY_TIMEOUT = 120.0


@dataclass
class Stage:
    """What a run has: the nodes that are killed, and for each sidecar its broker and its database."""

    nodes: Sequence[LocalServer]
    producer_urls: list[str]
    sidecars: list[tuple[str | list[str], str]]


@contextmanager
def urls() -> Iterator[Stage]:
    """Each sidecar has the nodes as a list of URLs, beginning with another one."""
    with rabbitmq_cluster() as nodes, private_mysql() as database:
        all_urls, store = [node.url for node in nodes], _database(database.url)
        turned = [all_urls[at:] + all_urls[:at] for at in range(len(nodes))]
        yield Stage(nodes, all_urls, [(each, store) for each in turned])


@contextmanager
def haproxy() -> Iterator[Stage]:
    """All have one address."""
    with rabbitmq_cluster() as nodes, HAProxy([node.port for node in nodes]) as proxy, private_mysql() as database:
        store = _database(database.url)
        yield Stage(nodes, [proxy.url], [(proxy.url, store)] * len(nodes))


@contextmanager
def galera() -> Iterator[Stage]:
    """Each sidecar writes on a node of its own."""
    with private_rabbitmq() as broker, galera_cluster() as nodes:
        _database(nodes[0].url)
        yield Stage(nodes, [broker.url], [(broker.url, f"{node.url}gs") for node in nodes])


RUNS = {"urls": urls, "haproxy": haproxy, "galera": galera}


class Sender:
    """Sends tasks in a thread until each is confirmed, over whichever URL answers."""

    def __init__(self, urls: list[str], queue: str) -> None:
        self._urls = urls
        self._queue = queue
        self._channel: Any = None
        self.sent = 0

    def send(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            while not self._confirmed(f"t{number}"):
                time.sleep(0.3)
            self.sent += 1
            time.sleep(1 / PACE)

    def _confirmed(self, task_id: str) -> bool:
        try:
            if self._channel is None:
                self._channel = self._connected()
            body = json.dumps({"task_id": task_id})
            self._channel.basic_publish("", self._queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)
        except (pika.exceptions.AMQPError, OSError):
            self._channel = None
            self._urls.append(self._urls.pop(0))
            return False
        return True

    def _connected(self) -> Any:
        parameters = pika.URLParameters(self._urls[0])
        parameters.heartbeat, parameters.socket_timeout, parameters.blocked_connection_timeout = 4, 5, 10
        channel = pika.BlockingConnection(parameters).channel()
        channel.queue_declare(self._queue, durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        return channel


async def run(name: str, tasks: int) -> bool:
    """Whether nothing was lost and nothing ran to its end twice."""
    with folder() as path, ExitStack() as stack:
        stage = stack.enter_context(RUNS[name]())
        sender = Sender(list(stage.producer_urls), "cluster")
        sidecars, places = [], []
        for index, (broker, store) in enumerate(stage.sidecars):
            home = path / str(index)
            home.mkdir()
            place = Place(broker if isinstance(broker, str) else broker[0], store, "cluster", home, queue_type="quorum")
            sidecars.append(Sidecar(home / "sidecar", _config(place, broker)))
            stack.callback(sidecars[-1].die)
            places.append(place)
            await sidecars[-1].ready(READY_TIMEOUT)
        started = time.monotonic()
        try:
            await _send_and_kill(name, stage, sender, tasks)
            await eventually(lambda: _ended(places) >= tasks, timeout=DRAIN_TIMEOUT, interval=1.0)
        except AssertionError:
            print(f"{name}: not all came to their end")
        verdict = _verdict(places, tasks)
        print(f"{name}: {tasks} tasks in {time.monotonic() - started:.0f} s: {verdict}", flush=True)
        for sidecar in sidecars:
            sidecar.terminate()
        codes = [await sidecar.ended(60) for sidecar in sidecars]
        if any(codes):
            print(f"{name}: exit codes {codes}")
        for index, sidecar in enumerate(sidecars):
            Path(f"/tmp/gs-cluster-{name}-{index}.log").write_text(sidecar.text)
        return verdict.startswith("0 lost, 0 twice") and not any(codes)


async def _send_and_kill(name: str, stage: Stage, sender: Sender, tasks: int) -> None:
    share = tasks // len(stage.nodes)
    for index, node in enumerate(stage.nodes):
        count = share if index < len(stage.nodes) - 1 else tasks - index * share
        sending = threading.Thread(target=sender.send, args=(index * share, count), daemon=True)
        sending.start()
        await eventually(lambda: sender.sent >= index * share + count * KILL_AFTER, timeout=DRAIN_TIMEOUT)  # noqa: B023
        print(f"{name}: node {index + 1} is killed after {sender.sent} tasks", flush=True)
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(sending.join, DRAIN_TIMEOUT)
        await asyncio.to_thread(node.start)
        await eventually(node.in_sync, timeout=120)  # type: ignore[attr-defined]


def _config(place: Place, broker: str | list[str]) -> dict[str, Any]:
    return place.config(
        {"default": place.job("done")},
        broker={"url": broker, "heartbeat": 4, "queue_type": "quorum"},
        worker={"concurrency": 2, "lease": 30},
        log={"level": "INFO"},
    )


def _ended(places: list[Place]) -> int:
    return len({task for place in places for task in place.journal.ended})


def _verdict(places: list[Place], tasks: int) -> str:
    rows = next(rows for place in places if (rows := place.rows()))
    lost = [f"t{number}" for number in range(tasks) if rows.get(f"t{number}", {}).get("status") != "success"]
    runs = Counter(run.task_id for place in places for run in place.journal.runs() if run.finished)
    twice = [task for task, times in runs.items() if times > 1]
    again = sum(row["attempts"] > 1 for row in rows.values() if "attempts" in row)
    shown = f" ({', '.join([*lost, *twice][:10])})" if lost or twice else ""
    return f"{len(lost)} lost, {len(twice)} twice{shown}, {again} with a second attempt"


def _database(url: str) -> str:
    port = int(url.rstrip("/").rpartition(":")[2])
    with closing(pymysql.connect(host="127.0.0.1", port=port, user="root")) as session, session.cursor() as cursor:
        cursor.execute("create database gs character set utf8mb4")
    return f"{url}gs"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []], help="which; all by default")
    parser.add_argument("--tasks", type=int, default=1500)
    options = parser.parse_args(arguments)
    prepare()
    good = [asyncio.run(run(name, options.tasks)) for name in options.runs or RUNS]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
