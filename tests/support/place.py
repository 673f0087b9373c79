"""Where an end-to-end test happens: queue, database and journal, seen from outside through other clients than ours."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]
import pymysql
import pymysql.cursors

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings, StoreSettings
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Message
from gridsidecar.store import Store, make_store
from gridsidecar.telemetry import Readiness
from tests.support import services
from tests.support.database import mysql_session
from tests.support.journal import Journal

HANDLERS = Path(__file__).parent / "handlers"
DELAYS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400)
TASKS = "grid_async_task_tasks"
NO_TABLE = 1146  # MySQL's error number
ENDED = ("success", "failed", "cancelled")


@dataclass
class Place:
    """`arguments` are those of the work queue, for the producer that declares it first."""

    broker_url: str
    store_url: str
    queue: str
    folder: Path
    arguments: dict[str, Any] = field(default_factory=dict)
    queue_type: Literal["classic", "quorum"] = field(default_factory=services.queue_type)

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / "journal")

    @property
    def embedded(self) -> bool:
        return self.broker_url.startswith("sqlite:")

    # -- what a sidecar is given --------------------------------------------------------------------------------------

    def config(self, handlers: Mapping[str, Any], **sections: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration for this place; `sections` add keys to it."""
        config: dict[str, Any] = {
            "broker": {"url": self.broker_url, "queue": self.queue, "queue_type": self.queue_type},
            "store": {"url": self.store_url},
            "worker": {},
            "log": {"level": "DEBUG"},
            "handlers": dict(handlers),
        }
        for name, keys in sections.items():
            config[name] = {**config.get(name, {}), **keys}
        return config

    def handler(self, *command: str | Path, **settings: Any) -> dict[str, Any]:
        """A handler that writes the journal."""
        environment = {"JOURNAL": str(self.journal.path), "LC_ALL": "C"}
        return {"command": [str(word) for word in command], "env": environment, "kill_grace": 5, **settings}

    def job(self, word: str, argument: str | float | Path = "", **settings: Any) -> dict[str, Any]:
        """A handler that runs `handlers/job.sh`."""
        return self.handler(HANDLERS / "job.sh", word, str(argument), **settings)

    # -- the producer's side ------------------------------------------------------------------------------------------

    async def publish(self, *tasks: Mapping[str, Any], **properties: Any) -> None:
        """Send tasks as JSON: durable queue, persistent messages that the broker has confirmed, no message id."""
        await self.publish_bodies(*(json.dumps(task).encode() for task in tasks), **properties)

    async def publish_bodies(self, *bodies: bytes, **properties: Any) -> None:
        if self.embedded:
            await self._publish_embedded(bodies, properties)
            return
        with self.channel() as channel:
            self.declare(channel)
            channel.confirm_delivery()  # a quorum queue may lose what is unconfirmed when its connection closes
            for body in bodies:
                channel.basic_publish("", self.queue, body, pika.BasicProperties(**{"delivery_mode": 2, **properties}))

    def declare(self, channel: Any) -> None:
        """The work queue, as a producer does that comes first."""
        quorum = {"x-queue-type": "quorum"} if self.queue_type == "quorum" else {}
        channel.queue_declare(self.queue, durable=True, arguments=self.arguments | quorum)

    async def _publish_embedded(self, bodies: tuple[bytes, ...], properties: dict[str, Any]) -> None:
        broker = make_broker(BrokerSettings(url=self.broker_url, queue=self.queue), Readiness())
        try:
            await broker.open()
            for body in bodies:
                await broker.publish(Message(body=body, **properties))
        finally:
            await broker.close()

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of pika's, for one errand."""
        with closing(pika.BlockingConnection(pika.URLParameters(self.broker_url))) as connection:
            yield connection.channel()

    # -- what is in the broker ----------------------------------------------------------------------------------------

    def waiting(self) -> int:
        """Messages in the work queue that nobody holds (embedded: held ones count as well)."""
        if self.embedded:
            return int(
                self._fetch("select count(*) as n from gridsidecar_messages where queue = ?", self.queue)[0]["n"]
            )
        return self._count(self.queue)

    def left(self) -> int:
        """Messages in the work queue and in the delay queues behind it."""
        if self.embedded:
            return self.waiting()
        return self._count(self.queue, *(f"{self.queue}.delay.{seconds}" for seconds in DELAYS))

    def _count(self, *queues: str) -> int:
        with self.channel() as channel:
            return sum(_messages(channel.connection, queue) for queue in queues)

    def dead_letters(self) -> list[tuple[bytes, dict[str, Any]]]:
        """Takes the dead letters out: body and headers of each."""
        return [(body, properties.get("headers") or {}) for body, properties in self.take(f"{self.queue}.dead")]

    def take(self, queue: str) -> list[tuple[bytes, dict[str, Any]]]:
        """Takes the messages of any queue out (embedded: only looks): body and properties of each."""
        if self.embedded:
            sql = "select body, properties from gridsidecar_messages where queue = ? order by id"
            return [(row["body"], json.loads(row["properties"])) for row in self._fetch(sql, queue)]
        messages: list[tuple[bytes, dict[str, Any]]] = []
        with self.channel() as channel:
            while True:
                try:
                    frame, properties, body = channel.basic_get(queue, auto_ack=True)
                except pika.exceptions.ChannelClosedByBroker:
                    return []
                if frame is None:
                    return messages
                messages.append((body, vars(properties)))

    def count(self, queue: str) -> int:
        """Messages in any queue."""
        return len(self.take(queue)) if self.embedded else self._count(queue)

    # -- what is in the database --------------------------------------------------------------------------------------

    def rows(self) -> dict[str, dict[str, Any]]:
        """The tasks by id; none while there is no table."""
        return {row["id"]: row for row in self._fetch(f"select * from {TASKS}")}

    def row(self, task_id: str) -> dict[str, Any]:
        """One task's row; empty while there is none."""
        rows = self._fetch(f"select * from {TASKS} where id = ?", task_id)
        return rows[0] if rows else {}

    def status(self, task_id: str) -> str | None:
        return self.row(task_id).get("status")

    def statuses(self) -> dict[str, int]:
        """Number of tasks by status."""
        rows = self._fetch(f"select status, count(*) as n from {TASKS} group by status")
        return {row["status"]: row["n"] for row in rows}

    def all_ended(self, count: int) -> bool:
        """Whether so many tasks have ended."""
        statuses = self.statuses()
        return sum(statuses.get(status, 0) for status in ENDED) == count

    def attempts(self, task_id: str) -> list[dict[str, Any]]:
        """A task's history, first attempt first."""
        return self._fetch(f"select * from {TASKS}_attempts where task_id = ? order by attempt", task_id)

    def history(self) -> list[dict[str, Any]]:
        """The attempts of all tasks, in order."""
        return self._fetch(f"select * from {TASKS}_attempts order by task_id, attempt")

    def callbacks(self, task_id: str | None = None) -> list[dict[str, Any]]:
        """The outbox, or one task's part of it."""
        rows = self._fetch(f"select * from {TASKS}_callbacks order by created_at, task_id")
        return [row for row in rows if task_id in (None, row["task_id"])]

    def execute(self, sql: str, *values: Any) -> None:
        """Change something behind everybody's back."""
        self._fetch(sql, *values)

    def fetch(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Rows of any table; none while it is missing."""
        return self._fetch(sql, *values)

    def _fetch(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        if self.store_url.startswith("sqlite:"):
            return self._fetch_sqlite(sql, values)
        try:
            return self._fetch_mysql(sql.replace("?", "%s"), values)
        except pymysql.err.ProgrammingError as error:
            if error.args[0] == NO_TABLE:
                return []
            raise

    def _fetch_sqlite(self, sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        path = urlsplit(self.store_url).path[1:]
        if not Path(path).exists():
            return []
        with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
            connection.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in connection.execute(sql, values)]
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def _fetch_mysql(self, sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        connection = mysql_session(self.store_url, cursorclass=pymysql.cursors.DictCursor)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """The store as a command of ours uses it."""
        opened = make_store(StoreSettings(url=self.store_url), self.queue)
        await opened.open()
        try:
            yield opened
        finally:
            await opened.close()

    async def cancel(self, task_id: str) -> Steered:
        """As a command does."""
        async with self.opened() as opened:
            return (await opened.steering.cancel([task_id]))[task_id]

    async def retry(self, task_id: str) -> Message | None:
        """The message that brings it back, not sent yet; None where it may not run again."""
        async with self.opened() as opened:
            outcomes = await opened.steering.retry([task_id])
            done = [one for one, outcome in outcomes.items() if outcome.done]
            messages = [message async for _, message, _ in opened.steering.wake_ups(done)]
            return messages[0] if messages else None


def _messages(connection: Any, queue: str) -> int:
    channel = connection.channel()
    try:
        count = int(channel.queue_declare(queue, passive=True).method.message_count)
    except pika.exceptions.ChannelClosedByBroker:  # no such queue
        return 0
    channel.close()
    return count
