"""The broker seam on RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.abc import AbstractChannel
from msgspec.structs import replace
from pamqp.commands import Basic

from gridsidecar import clock, telemetry
from gridsidecar.broker import DeadLetter, QueueInfo, Receive, delays, envelope
from gridsidecar.broker.connection import BrokerConnection, errors_as_ours
from gridsidecar.broker.dead_letters import label, read_letter
from gridsidecar.broker.management import Management
from gridsidecar.broker.names import check_queue_name
from gridsidecar.broker.publisher import Publisher, Unroutable
from gridsidecar.broker.subscription import Subscription
from gridsidecar.broker.topology import REPLY_TIMEOUT, Topology
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import AccessRefused, BrokerUnavailable
from gridsidecar.rules.task import Message
from gridsidecar.telemetry import Readiness


class AmqpBroker:
    """One work queue in RabbitMQ.

    Two connections: when the broker is short of memory or disk it stops reading from those that publish, and acks
    must not wait behind that.
    """

    def __init__(self, settings: BrokerSettings, readiness: Readiness, now: clock.Clock | None = None) -> None:
        self._settings = settings
        self._clock = now or clock.SystemClock()
        self._consuming = BrokerConnection(settings, "consume")
        self._publishing = BrokerConnection(settings, "publish")
        self._topology = Topology(settings)
        self._publisher = Publisher(self._publishing)
        self._subscription = Subscription(
            self._consuming,
            self._topology,
            settings.queue,
            readiness,
            lambda: self._topology.ready_count(self._publishing),
        )
        self._declared: dict[int, int] = {}  # seconds: the connection that declared it

    async def open(self) -> None:
        await self._topology.ensure_work_queue(self._publishing)

    async def ensure_dead_letters(self) -> None:
        await self._topology.ensure_dead_letters(self._publishing)

    async def consume(self, receive: Receive, prefetch: int) -> None:
        await self._subscription.run(receive, prefetch)

    def set_prefetch(self, prefetch: int) -> None:
        self._subscription.resize(prefetch)

    async def stop_consuming(self) -> None:
        await self._subscription.stop()

    @property
    def consuming(self) -> bool:
        return self._subscription.consuming

    @property
    def stuck(self) -> str | None:
        return self._subscription.stuck

    async def publish(self, message: Message) -> None:
        await self._publisher.send(message, self._settings.queue, message_id=message.message_id)

    async def send(self, queue: str, message: Message, *, create: bool = True) -> None:
        check_queue_name(queue)
        try:
            await self._publisher.send(message, queue, message_id=message.message_id)
        except Unroutable:
            if not create:
                raise
            await self._topology.create_plain(self._publishing, queue)
            await self._publisher.send(message, queue, message_id=message.message_id)

    async def publish_delayed(self, message: Message, delay: float) -> None:
        seconds = delays.delay_step(delay)
        name = delays.queue_name(self._settings.queue, seconds)
        if self._declared.get(seconds) != self._publishing.generation:
            await self._declare_delay_queue(seconds)
        try:
            await self._publisher.send(message, name)
        except Unroutable:
            # Somebody deleted the delay queue since we declared it.
            await self._declare_delay_queue(seconds)
            await self._publisher.send(message, name)

    async def dead_letter(self, message: Message, reason: str, attempt_count: int | None = None) -> None:
        extra = label(reason, self._settings.queue, self._clock.now(), attempt_count)
        try:
            await self._bury(message, extra)
        except Unroutable:
            await self._topology.create_dead_letters(self._publishing)
            await self._bury(message, extra)

    async def ready_count(self) -> int:
        # The publishing connection may be held up by a resource alarm, the other one never is.
        return await self._topology.ready_count(self._consuming if self._consuming.connected else self._publishing)

    async def info(self, *, anew: bool = True) -> QueueInfo:
        info = await self._topology.info(self._consuming, anew=anew)
        if self._settings.management_url is None or not info.exists:
            return info
        management = Management(self._settings)
        try:
            await management.open()
            return replace(info, unsettled=(await management.queue()).unsettled)
        except (BrokerUnavailable, AccessRefused) as error:
            telemetry.warning("the management API does not tell what is in hand", reason=str(error))
            return info
        finally:
            await management.close()

    async def purge(self) -> int:
        return await self._topology.purge(self._consuming)

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[AsyncIterator[DeadLetter]]:
        # What was not acked when the channel closes goes back to its place.
        async with self._consuming.scratch() as channel, aclosing(self._buried(channel)) as letters:
            yield letters

    async def close(self) -> None:
        await self._subscription.stop()
        await asyncio.gather(self._consuming.close(), self._publishing.close())

    async def _buried(self, channel: AbstractChannel) -> AsyncGenerator[DeadLetter]:
        """As many as there were at the first look: one that is replayed and refused again comes back meanwhile."""
        left: int | None = None
        while left != 0 and (got := await self._next_letter(channel)) is not None:
            letter, behind = got
            left = behind if left is None else left - 1
            yield letter

    async def _next_letter(self, channel: AbstractChannel) -> tuple[DeadLetter, int] | None:
        """The next letter that nobody holds, and how many are behind it."""
        with errors_as_ours(self._consuming.where):
            try:
                raw = await channel.basic_get(self._settings.dead_letters, timeout=REPLY_TIMEOUT)
            except ChannelNotFoundEntity:
                return None
        got = raw.delivery
        if not isinstance(got, Basic.GetOk):
            return None

        async def remove() -> None:
            with errors_as_ours(self._consuming.where):
                await channel.basic_ack(got.delivery_tag or 0)

        properties = raw.header.properties
        letter = read_letter(envelope.decode(dict(properties), raw.body), properties.headers or {}, remove)
        return letter, got.message_count or 0

    async def _declare_delay_queue(self, seconds: int) -> None:
        await self._topology.declare_delay_queue(self._publishing, seconds)
        self._declared[seconds] = self._publishing.generation

    async def _bury(self, message: Message, extra: dict[str, str | int]) -> None:
        await self._publisher.send(message, self._settings.dead_letters, message_id=message.message_id, extra=extra)
