"""The line through clusters while each of their nodes is killed in turn, and a table of what came of it.

`python -m tests.faults.cluster [urls|haproxy|galera...] [--tasks 1500]`, or `bash tests/run matrix cluster`: needs root
and Debian's haproxy, galera-4 and mariadb-backup, which it installs. Of ten tasks one is slow, so that each kill meets
running ones, and one fails at first, so that there are always some in the delay queues. Sidecars' logs stay in /tmp.
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
from contextlib import ExitStack, closing, contextmanager, suppress
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
from tests.support.versions import galera_version, haproxy_version, mysql_version, rabbitmq_version
from tests.support.waiting import eventually

PACE = 40.0  # tasks a second, as far as the brokers take them
KILL_AFTER = 0.3  # of what is sent for a node
DRAIN_TIMEOUT = 300.0
READY_TIMEOUT = 120.0


@dataclass
class Stage:
    """What a run has: the nodes that are killed, and for each sidecar its broker and its database."""

    servers: str  # for people
    nodes: Sequence[LocalServer]
    producer_urls: list[str]
    sidecars: list[tuple[str | list[str], str]]


@contextmanager
def urls() -> Iterator[Stage]:
    """Each sidecar has the nodes as a list of URLs, beginning with another one."""
    with rabbitmq_cluster() as nodes, private_mysql() as database:
        all_urls, store = [node.url for node in nodes], _database(database.url)
        turned = [all_urls[at:] + all_urls[:at] for at in range(len(nodes))]
        servers = f"3 × {rabbitmq_version(all_urls[0])} quorum, {mysql_version(database.url)}"
        yield Stage(servers, nodes, all_urls, [(each, store) for each in turned])


@contextmanager
def haproxy() -> Iterator[Stage]:
    """All have one address."""
    with rabbitmq_cluster() as nodes, HAProxy([node.port for node in nodes]) as proxy, private_mysql() as database:
        store = _database(database.url)
        servers = f"3 × {rabbitmq_version(proxy.url)} quorum, {haproxy_version()}, {mysql_version(database.url)}"
        yield Stage(servers, nodes, [proxy.url], [(proxy.url, store)] * len(nodes))


@contextmanager
def galera() -> Iterator[Stage]:
    """Each sidecar writes on a node of its own."""
    with private_rabbitmq() as broker, galera_cluster() as nodes:
        _database(nodes[0].url)
        servers = f"{rabbitmq_version(broker.url)} quorum, 3 × {galera_version(nodes[0].url)}"
        yield Stage(servers, nodes, [broker.url], [(broker.url, f"{node.url}gs") for node in nodes])


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
            body = json.dumps({"task_id": task_id, "task_type": _type(int(task_id[1:]))})
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


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one run."""

    name: str
    servers: str
    tasks: int
    seconds: float
    lost: list[str]  # tasks that did not come to their end
    twice: list[str]  # … whose handler came to its end more often than it was to
    again: int  # … with more attempts than they were to have; not each of these began
    outages: int  # how often a sidecar was without its server
    clean: bool  # all sidecars left with exit code 0

    def good(self, kills: int) -> bool:
        """Nothing is lost or ran twice, and each kill took its server away from somebody."""
        return not self.lost and not self.twice and self.clean and self.outages >= kills


class Crew:
    """The sidecars of a run, one for each of its servers."""

    def __init__(self, name: str, stage: Stage, folder: Path) -> None:
        self._name = name
        self._stage = stage
        self._folder = folder
        self.places: list[Place] = []
        self.sidecars: list[Sidecar] = []

    async def start(self) -> None:
        for index, (broker, store) in enumerate(self._stage.sidecars):
            home = self._folder / str(index)
            home.mkdir()
            url = broker if isinstance(broker, str) else broker[0]
            self.places.append(Place(url, store, "cluster", home, queue_type="quorum"))
            self.sidecars.append(Sidecar(home / "sidecar", _config(self.places[-1], broker)))
            await self.sidecars[-1].ready(READY_TIMEOUT)

    async def leave(self) -> list[int]:
        """SIGTERM to all; their exit codes."""
        for sidecar in self.sidecars:
            sidecar.terminate()
        return [await sidecar.ended(60) for sidecar in self.sidecars]

    def die(self) -> None:
        for index, sidecar in enumerate(self.sidecars):
            sidecar.die()
            Path(f"/tmp/gs-cluster-{self._name}-{index}.log").write_text(sidecar.text)

    def statuses(self) -> list[dict[str, str]]:
        """Of all tasks, as each sidecar's database has them."""
        return [{task: row["status"] for task, row in place.rows().items()} for place in self.places]

    def all_ended(self, tasks: int) -> bool:
        return all(sum(status == "success" for status in each.values()) >= tasks for each in self.statuses())

    def finished(self) -> Counter[str]:
        """How often the handlers of each task came to their end."""
        return Counter(run.task_id for place in self.places for run in place.journal.runs() if run.finished)

    def outages(self) -> int:
        away = ("not ready  part=broker", "not ready  part=store ")
        return sum(sidecar.text.count(words) for sidecar in self.sidecars for words in away)


async def run(name: str, tasks: int) -> tuple[Line, bool]:
    """What came of it, and whether that is as it should be."""
    with folder() as path, ExitStack() as stack:
        stage = stack.enter_context(RUNS[name]())
        sender = Sender(list(stage.producer_urls), "cluster")
        crew = Crew(name, stage, path)
        stack.callback(crew.die)
        await crew.start()
        started = time.monotonic()
        await _send_and_kill(name, stage, sender, tasks)
        with suppress(AssertionError):  # the verdict names what has not
            await eventually(lambda: crew.all_ended(tasks), timeout=DRAIN_TIMEOUT, interval=1.0)
        seconds = time.monotonic() - started
        codes = await crew.leave()
        line = _line(name, stage, crew, tasks, seconds, clean=not any(codes))
        return line, line.good(len(stage.nodes))


def _line(name: str, stage: Stage, crew: Crew, tasks: int, seconds: float, *, clean: bool) -> Line:
    sent = [f"t{number}" for number in range(tasks)]
    ended = crew.statuses()
    runs = crew.finished()
    rows = crew.places[0].rows()
    return Line(
        name=name,
        servers=stage.servers,
        tasks=tasks,
        seconds=seconds,
        lost=[task for task in sent if any(each.get(task) != "success" for each in ended)],
        twice=[task for task in sent if runs[task] > _attempts(task)],
        again=sum(row["attempt"] > _attempts(task) for task, row in rows.items()),
        outages=crew.outages(),
        clean=clean,
    )


def _type(number: int) -> str:
    return {0: "slow", 5: "flaky"}.get(number % 10, "default")


def _attempts(task: str) -> int:
    """How many it is to have."""
    return 2 if _type(int(task[1:])) == "flaky" else 1


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
        {"default": place.job("done"), "slow": place.job("for", 0.5), "flaky": place.job("flaky", 2)},
        broker={"url": broker, "heartbeat": 4, "queue_type": "quorum"},
        worker={"concurrency": 4, "lease": 30},
        retry={"max_retries": 1, "delay": 3},
        log={"level": "INFO"},
    )


def _database(url: str) -> str:
    port = int(url.rstrip("/").rpartition(":")[2])
    with closing(pymysql.connect(host="127.0.0.1", port=port, user="root")) as session, session.cursor() as cursor:
        cursor.execute("create database gs character set utf8mb4")
    return f"{url}gs"


def table(lines: Sequence[Line]) -> str:
    """For people."""
    width = max(len(line.servers) for line in lines)
    heads = "tasks  seconds  lost  twice  claimed again  outages"
    rows = [f"\n{'cluster':8}  {'servers':{width}}  {heads}"]
    rows += [
        f"{line.name:8}  {line.servers:{width}}  {line.tasks:5}  {line.seconds:7.0f}  {len(line.lost):4}"
        f"  {len(line.twice):5}  {line.again:13}  {line.outages:7}"
        for line in lines
    ]
    for line in lines:
        rows += [f"{line.name} lost {' '.join(line.lost[:10])}"] if line.lost else []
        rows += [f"{line.name} ran to its end twice {' '.join(line.twice[:10])}"] if line.twice else []
        rows += [] if line.clean else [f"{line.name}: a sidecar did not leave with exit code 0"]
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []], help="which; all by default")
    parser.add_argument("--tasks", type=int, default=1500)
    options = parser.parse_args(arguments)
    prepare()
    ends = [asyncio.run(run(name, options.tasks)) for name in options.runs or RUNS]
    print(table([line for line, _ in ends]), flush=True)
    return 0 if all(good for _, good in ends) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
