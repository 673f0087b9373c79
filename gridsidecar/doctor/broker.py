"""The broker: who answers, which queues are there, what may be created, what the management API says."""

from __future__ import annotations

import os
from pathlib import Path

from gridsidecar.broker import make_broker
from gridsidecar.broker.advice import advice
from gridsidecar.broker.inspection import BrokerServer, Inspection, InspectionRefused, QueueCounts
from gridsidecar.broker.management import ManagedQueue, Management, NoSuchQueue
from gridsidecar.broker.queue_type import Existing
from gridsidecar.config.settings import Settings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.doctor import queue
from gridsidecar.doctor.finding import Asked, CannotTell, Diagnostic, Finding, at_once, fail, ok, unknown, warn
from gridsidecar.errors import AccessRefused, BrokerUnavailable
from gridsidecar.language import counted
from gridsidecar.telemetry import Readiness

OLDEST = (3, 10)
ADVICE = "start it, or correct broker.url"
SQLITE_HEAD = b"SQLite format 3\0"


class BrokerArea:
    """Checks of `broker`; of RabbitMQ on two connections, as one of them asks many questions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._broker = settings.broker
        self._embedded = settings.broker.embedded
        if self._embedded:
            return
        self._inspection, self._second = Inspection(settings.broker), Inspection(settings.broker)
        self._server = Asked("broker.connect", self._inspection.server)
        self._queue = Asked("broker.queue", self._look)
        self._existing = Asked("broker.queue.arguments", self._inspection.work_queue)
        self._managed: Asked[ManagedQueue] | None = None
        self._management_api: Management | None = None
        if settings.broker.management_url is not None:
            self._management_api = Management(settings.broker)
            self._managed = Asked("broker.management", self._management_api.queue)

    def checks(self) -> list[Diagnostic]:
        if self._embedded:
            return [
                Diagnostic("broker.connect", at_once(self._file), vital=True),
                Diagnostic("broker.dead_letters", self._dead_letters_of_the_file),
            ]
        return [
            Diagnostic("broker.connect", self._connect, vital=True),
            Diagnostic("broker.version", self._version),
            Diagnostic("broker.queue", self._there),
            Diagnostic("broker.queue.arguments", self._arguments),
            Diagnostic("broker.queue.delivery_limit", self._delivery_limit),
            Diagnostic("broker.consumer_timeout", self._consumer_timeout),
            Diagnostic("broker.delays", self._delays),
            Diagnostic("broker.dead_letters", self._dead_letters),
            Diagnostic("broker.management", self._management, vital=self._managed is not None),
        ]

    async def prepare(self) -> None:
        """What takes its time here must not be taken for the other side's."""
        if not self._embedded and self._management_api is not None:
            await self._management_api.open()

    async def close(self) -> None:
        if self._embedded:
            return
        for each in (self._server, self._queue, self._existing, self._managed):
            if each is not None:
                await each.forget()
        if self._management_api is not None:
            await self._management_api.close()
        await self._inspection.close()
        await self._second.close()

    def _file(self) -> Finding:
        path = Path(sqlite_path(self._broker.urls[0]))
        if not path.exists():
            folder = path.resolve().parent
            if not os.access(folder, os.W_OK | os.X_OK):
                return fail(
                    f"{path} cannot be made: {folder} is missing or not writable", "create it, or give the right"
                )
            return ok(f"{path} is not there yet: a worker or a producer makes it")
        if not os.access(path, os.R_OK | os.W_OK):
            return fail(f"{path} may not be read and written", "give this user the right")
        with path.open("rb") as file:
            head = file.read(len(SQLITE_HEAD))
        if head not in (b"", SQLITE_HEAD):
            return fail(f"{path} is no SQLite file", "name another file in broker.url")
        return ok(f"the file {path}")

    def _has_file(self) -> bool:
        return Path(sqlite_path(self._broker.urls[0])).exists()

    async def _dead_letters_of_the_file(self) -> Finding:
        if not self._has_file():
            return ok("none: the file is not there yet")
        broker = make_broker(self._broker, Readiness())
        try:
            return _letters(self._broker.dead_letters, (await broker.info()).dead)
        finally:
            await broker.close()

    async def _connect(self) -> Finding:
        try:
            server = await self._server.answer()
        except (AccessRefused, BrokerUnavailable) as error:
            otherwise = ADVICE if isinstance(error, BrokerUnavailable) else "correct broker.url"
            return fail(error.found, error.advice or otherwise)
        return ok(f"{server.product} {server.version} at {server.where}, virtual host {server.vhost}")

    async def _version(self) -> Finding:
        server: BrokerServer = await self._server.known()
        numbers = tuple(int(part) for part in server.version.split(".")[:2] if part.isdigit())
        if server.product != "RabbitMQ" or len(numbers) < 2:
            return unknown(f"{server.product} {server.version}: this program was tried on RabbitMQ")
        if numbers < OLDEST:
            return warn(f"{server.version} is older than what this program was tried on", "update to 3.10 or newer")
        return ok(server.version)

    async def _look(self) -> QueueCounts | InspectionRefused | None:
        await self._server.known()
        return await self._inspection.inspect(self._broker.queue)

    async def _there(self) -> Finding:
        name = self._broker.queue
        match await self._queue.answer():
            case InspectionRefused(reason):
                return fail(f"{name}: {reason}", advice(reason, "give the user its rights, or name another queue"))
            case QueueCounts(ready, consumers):
                return ok(f"{name}: {ready:,} ready, {counted(consumers, 'consumer')}")
        if not self._broker.declare_queue:
            return fail(f"{name} does not exist, and broker.declare is false", "create it, or set broker.declare: true")
        if (problem := await self._inspection.creatable(name)) is not None:
            return fail(*_uncreatable(name, problem))
        return warn(f"{name} does not exist yet", "a worker creates it; until then KEDA's trigger fails")

    async def _found(self) -> Existing:
        """The queue as it is. Raises CannotTell."""
        if not isinstance(await self._queue.known(), QueueCounts):
            raise CannotTell("there is no queue to look at: see broker.queue")
        if (found := await self._existing.known()) is not None:
            return found
        if self._managed is None:
            raise CannotTell(
                "the server tells it only to users who may configure the queue, or by broker.management_url"
            )
        managed = await self._managed.known()
        arguments = {name: value for name, value in managed.arguments.items() if name != "x-queue-type"}
        passing = "durable" if not managed.durable else "auto_delete" if managed.auto_delete else None
        return Existing(managed.kind, arguments, passing)

    async def _policy(self) -> queue.Policy | None:
        """What a policy says of the queue; None: not known."""
        if self._managed is None:
            return None
        try:
            return (await self._managed.known()).policy
        except CannotTell:
            return None

    async def _arguments(self) -> Finding:
        return queue.arguments(self._broker, await self._found(), await self._policy())

    async def _delivery_limit(self) -> Finding:
        found, server = await self._found(), await self._server.known()
        return queue.delivery_limit(
            self._broker.queue, self._broker.dead_letters, found, await self._policy(), server.version
        )

    async def _consumer_timeout(self) -> Finding:
        try:
            found = await self._found()
        except CannotTell:
            found = None
        return queue.consumer_timeout(self._broker, self._settings.handlers, found, await self._policy())

    async def _delays(self) -> Finding:
        await self._server.known()
        if problems := await self._second.delay_queues():
            told = "; ".join(problems)
            return fail(told, advice(told, "give the user the rights, or delete the delay queue when it is empty"))
        return ok("the delay queues are there as they should be, or may be created")

    async def _dead_letters(self) -> Finding:
        await self._server.known()
        name = self._broker.dead_letters
        match await self._second.inspect(name):
            case InspectionRefused(reason):
                otherwise = "give the user its rights, or name another dead_letter_queue"
                return fail(f"{name}: {reason}", advice(reason, otherwise))
            case QueueCounts(ready):
                return _letters(name, ready)
        if (problem := await self._second.creatable(name)) is not None:
            return fail(*_uncreatable(name, problem))
        return ok(f"{name} is created when the first message is refused")

    async def _management(self) -> Finding:
        if self._managed is None or self._management_api is None:
            return unknown(
                "broker.management_url is not set: what KEDA counts cannot be tried",
                "set it: http://user:password@host:15672",
            )
        try:
            found = await self._managed.answer()
        except NoSuchQueue as error:
            if isinstance(await self._queue.known(), QueueCounts):
                return fail(f"{error}, but broker.url has it", "name the management API of the same broker")
            return ok("it answers; the queue does not exist yet")
        except (AccessRefused, BrokerUnavailable) as error:
            return fail(str(error), "correct broker.management_url, or switch the plugin on: KEDA asks it, too")
        if found.messages is not None:
            return ok(
                f"it answers and counts: {counted(found.messages, 'message')}, {found.unsettled or 0:,} of them in hand"
            )
        if not await self._management_api.counts():
            return fail(
                "it answers, but gathers no figures: KEDA counts 0 and says nothing",
                "set management.disable_stats = false (management_agent.disable_metrics_collector, too)",
            )
        return unknown(
            "it answers, and has no figures of this queue: a new one has them after some seconds", "ask again"
        )


def _letters(name: str, count: int) -> Finding:
    if not count:
        return ok(f"{name} is empty")
    return ok(f"{name} holds {count:,}; `gridsidecar dead list` shows them")


def _uncreatable(name: str, problem: str) -> tuple[str, str]:
    return f"{name} does not exist and cannot be created: {problem}", advice(problem, "give the user the right")
