"""The private RabbitMQ and MySQL of one run, and fresh queues and databases on them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pika
import pymysql

from benchmarks.processes import tree_cpu
from tests.support.place import DELAYS
from tests.support.servers import LocalServer

TASKS = "grid_async_task_tasks"
PATIENCE = 600.0  # seconds for anything that is waited for
LOOK_EVERY = 0.5  # seconds between two looks, seldom enough not to slow what is looked at


@dataclass(frozen=True)
class Servers:
    broker: LocalServer
    database: LocalServer

    def cpu(self) -> tuple[float, float]:
        """Seconds so far: of the broker, of the database."""
        assert self.broker.process is not None
        assert self.database.process is not None
        return tree_cpu(self.broker.process.pid), tree_cpu(self.database.process.pid)

    # -- the broker ---------------------------------------------------------------------------------------------------

    @contextmanager
    def queue(self, *, declare: bool = True) -> Iterator[str]:
        """Its name; new, or left for a peer to declare as it likes. It and those named after it are deleted."""
        name = f"bench_{secrets.token_hex(4)}"
        if declare:
            with self.channel() as channel:
                channel.queue_declare(name, durable=True)
        yield name
        with self.channel() as channel:
            for ending in ("", ".dead", ".DQ", ".XQ", *(f".delay.{seconds}" for seconds in DELAYS)):
                channel.queue_delete(name + ending)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        with closing(pika.BlockingConnection(pika.URLParameters(self.broker.url))) as connection:
            yield connection.channel()

    def publish(self, queue: str, tasks: Iterable[dict[str, Any]]) -> None:
        """Persistent messages; returns when the queue holds them all."""
        with self.channel() as channel:
            expected = self.waiting(channel, queue)
            for task in tasks:
                channel.basic_publish("", queue, json.dumps(task).encode(), pika.BasicProperties(delivery_mode=2))
                expected += 1
            until(lambda: self.waiting(channel, queue) >= expected, f"{queue} did not take {expected} messages", 0.05)

    @staticmethod
    def waiting(channel: Any, queue: str) -> int:
        """Messages that nobody holds."""
        return int(channel.queue_declare(queue, passive=True).method.message_count)

    # -- the database -------------------------------------------------------------------------------------------------

    @contextmanager
    def schema(self) -> Iterator[str]:
        """A new database; its name."""
        name = f"bench_{secrets.token_hex(4)}"
        with self.session() as run:
            run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        yield name
        with self.session() as run:
            run(f"DROP DATABASE {name}")

    def schema_url(self, name: str, scheme: str = "mysql") -> str:
        return f"{scheme}://{self.database.url.partition('://')[2]}{name}"

    @contextmanager
    def session(self, schema: str | None = None) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
        """One open connection: a function that runs a statement and returns its rows."""
        parts = urlsplit(self.database.url)
        options = {"host": parts.hostname, "port": parts.port, "user": parts.username, "database": schema}
        with closing(pymysql.connect(**options, autocommit=True)) as connection, connection.cursor() as cursor:

            def run(sql: str, *values: object) -> list[tuple[Any, ...]]:
                cursor.execute(sql, values or None)
                return list(cursor.fetchall())

            yield run

    def settle(self) -> None:
        """Write out what the buffer pool holds, so that the next one does not pay for it; as far as a minute goes."""
        with self.session() as run:
            (before,) = run("SELECT @@innodb_max_dirty_pages_pct")[0]
            run("SET GLOBAL innodb_max_dirty_pages_pct = 0")
            deadline = time.monotonic() + 60
            while int(run("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")[0][1]) > 50:
                if time.monotonic() > deadline:
                    break
                time.sleep(LOOK_EVERY)
            run("SET GLOBAL innodb_max_dirty_pages_pct = %s", before)


def until(condition: Callable[[], bool], problem: str, every: float = LOOK_EVERY) -> None:
    """Wait for it; TimeoutError with the problem."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(problem)
        time.sleep(every)
