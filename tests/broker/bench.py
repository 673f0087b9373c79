"""What the broker tests share: a consumer that keeps what it gets, and programs that hold messages until killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gridsidecar.broker import Broker, Delivery, make_broker
from gridsidecar.broker.embedded import EmbeddedBroker
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.rules.task import Message
from gridsidecar.telemetry import Readiness
from tests.support.waiting import eventually

SHORT_LEASE = 3.0  # seconds; long enough for a busy machine to renew in


def build(settings: BrokerSettings, readiness: Readiness | None = None) -> Broker:
    """A broker as the product makes it, but with a lease that a test can wait for."""
    if settings.embedded:
        return EmbeddedBroker(settings, readiness or Readiness(), lease=SHORT_LEASE)
    return make_broker(settings, readiness or Readiness())


@asynccontextmanager
async def opened(settings: BrokerSettings, readiness: Readiness | None = None) -> AsyncIterator[Broker]:
    broker = build(settings, readiness)
    try:
        await broker.open()
        yield broker
    finally:
        await broker.close()


class Inbox:
    """Everything one consumer was handed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.deliveries: list[Delivery] = []

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.message.body for delivery in self.deliveries]

    async def get(self, count: int = 1, timeout: float = 15.0) -> list[Delivery]:
        """Wait for at least `count` deliveries."""
        await eventually(lambda: len(self.deliveries) >= count, timeout)
        return self.deliveries

    async def one(self, timeout: float = 15.0) -> Delivery:
        return (await self.get(1, timeout))[0]

    @asynccontextmanager
    async def consuming(self, prefetch: int = 1) -> AsyncIterator[Inbox]:
        consuming = asyncio.create_task(self._broker.consume(self.deliveries.append, prefetch))
        await asyncio.sleep(0)  # it has started, so that a stop right away finds something to stop
        try:
            yield self
        finally:
            await self._broker.stop_consuming()
            await consuming


@asynccontextmanager
async def consuming(broker: Broker, prefetch: int = 1) -> AsyncIterator[Inbox]:
    async with Inbox(broker).consuming(prefetch) as inbox:
        yield inbox


def message(body: bytes = b"{}", **properties: object) -> Message:
    return Message(body=body, **properties)  # type: ignore[arg-type]


@contextmanager
def holder(settings: BrokerSettings, prefetch: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that takes up to `prefetch` messages and keeps them; it has printed `held` for the first."""
    arguments = [sys.executable, "-m", "tests.broker.hold", settings.model_dump_json(by_alias=True), str(prefetch)]
    program = subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()})
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"held\n"
        yield program
    finally:
        program.kill()
        program.communicate()
