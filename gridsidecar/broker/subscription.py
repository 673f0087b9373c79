"""Consuming from RabbitMQ: a consumer that is rebuilt whenever it ends, until it is told to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from aio_pika.abc import AbstractIncomingMessage

from gridsidecar import clock
from gridsidecar.broker import Receive, round_trips
from gridsidecar.broker.connection import BrokerConnection, close_quietly, errors_as_ours
from gridsidecar.broker.delivery import AmqpDelivery
from gridsidecar.broker.direct import DirectChannel, Properties
from gridsidecar.broker.queue_type import STREAM_OFFSET
from gridsidecar.broker.topology import StreamRefused, Topology
from gridsidecar.errors import AccessRefused, BrokerUnavailable, GridSidecarError
from gridsidecar.telemetry import Readiness

SETUP_TIMEOUT = 15.0  # seconds
CANCEL_TIMEOUT = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
STEADY_AFTER = 10.0  # a consumer that lived shorter than this failed again
REBUILDS = 3  # in a row that failed: then it is asked whether that is the broker's fault or ours
ANSWER_TIMEOUT = 5.0

T = TypeVar("T")


class ChannelConsumer:
    """One consumer on one channel, until one of them ends."""

    def __init__(self, direct: DirectChannel, queue: str, topology: Topology) -> None:
        self._direct = direct
        self._channel = direct.client
        self._queue = queue
        self._topology = topology
        self._early: list[tuple[int, bool, Properties, bytes]] = []
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        self._direct.take = lambda *delivery: self._early.append(delivery)
        self._channel.close_callbacks.add(self._closed)
        self._direct.underlay.on_consumer_cancel_callbacks.add(self._cancelled)
        self._source = await self._channel.get_queue(self._queue, ensure=False)
        self._tag = await self._source.consume(_never)

    def hand_over(self, receive: Receive) -> None:
        """What came already, and what comes: not before somebody waits for the end, who would cancel the consumer."""

        def take(tag: int, redelivered: bool, properties: Properties, body: bytes) -> None:
            if not self._topology.surely_no_stream and STREAM_OFFSET in (properties.get("headers") or {}):
                self._refuse_stream()
                return
            receive(AmqpDelivery(self._direct, tag, redelivered, properties, body))

        self._direct.take = take
        early, self._early = self._early, []
        for delivery in early:
            take(*delivery)

    async def ended(self) -> str:
        """Wait for the end that nobody here asked for; the reason. Raises StreamRefused."""
        return await self._ended

    async def cancel(self) -> None:
        """Stop new deliveries; those handed out stay ours. When the broker does not answer, all go back to it."""
        self._direct.underlay.on_consumer_cancel_callbacks.discard(self._cancelled)
        self._channel.close_callbacks.discard(self._closed)  # the channel may get another consumer
        if not self._channel.is_closed:
            await self._source.cancel(self._tag, timeout=CANCEL_TIMEOUT)

    def _refuse_stream(self) -> None:
        if not self._ended.done():
            self._ended.set_exception(self._topology.stream())

    def _closed(self, _: object, error: BaseException | None) -> None:
        self._end(str(error or "") or "the channel was closed")

    def _cancelled(self, _: object) -> None:
        self._end(
            f"RabbitMQ cancelled the consumer: queue {self._queue!r} was deleted or moved, or a message was held for "
            "longer than the server allows (then broker.consumer_timeout must say how long that is)"
        )

    def _end(self, reason: str) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)


async def _never(_: AbstractIncomingMessage) -> None:
    """What the client does with deliveries: it gets none."""


class Subscription:
    """The loop connect, qos, find the queue, consume, wait, back off."""

    def __init__(
        self,
        connection: BrokerConnection,
        topology: Topology,
        queue: str,
        readiness: Readiness,
        count: Callable[[], Awaitable[int]],
    ) -> None:
        """`count` asks the broker, on another connection, how many messages wait in the queue."""
        self._count = count
        self._connection = connection
        self._topology = topology
        self._queue = queue
        self._readiness = readiness
        self._rng: random.Random = clock.system_random()
        self._channel: DirectChannel | None = None
        self._stop: asyncio.Event | None = None
        self._stopped = asyncio.Event()
        self._prefetch = 1
        self._resized = asyncio.Event()
        self._failures = 0
        self._started_at = 0.0  # loop time of the last consumer's start
        self.consuming = False
        self.stuck: str | None = None  # the broker answers and has the queue, and we still have no consumer: why

    async def run(self, receive: Receive, prefetch: int) -> None:
        """Consume until `stop`. Raises StreamRefused."""
        if self._stop is not None:
            raise RuntimeError("this broker is consuming already")
        self._stop = stop = asyncio.Event()
        self._stopped.clear()
        self._prefetch = prefetch
        try:
            while not stop.is_set():
                await self._round(receive, stop)
        finally:
            self.consuming = False
            self._stop = None
            self._stopped.set()

    def resize(self, prefetch: int) -> None:
        """Hand over so many at a time from now on."""
        self._prefetch = prefetch
        self._resized.set()

    async def stop(self) -> None:
        """End `run` and wait for its end."""
        if self._stop is not None:
            self._stop.set()
            await self._stopped.wait()

    async def _round(self, receive: Receive, stop: asyncio.Event) -> None:
        """One consumer from its start to its end, and the pause after an end that nobody asked for."""
        try:
            consumer = await _until(self._start(), stop)
            if consumer is None:  # what was begun has no known end
                await self._drop_channel()
            else:
                await self._watch(consumer, receive, stop)
        except (BrokerUnavailable, AccessRefused) as error:
            self.consuming = False
            await self._drop_channel()
            if isinstance(error, StreamRefused):
                raise
            if stop.is_set():
                return
            self._readiness.blocked("broker", str(error))
            if asyncio.get_running_loop().time() - self._started_at > STEADY_AFTER:
                self._failures = 0
            self._failures += 1
            pause = clock.backoff(self._failures, base=FIRST_PAUSE, limit=LONGEST_PAUSE, rng=self._rng)
            await _until(self._doubt(error, pause), stop)

    async def _doubt(self, error: Exception, seconds: float) -> None:
        """Pause, and use the time to find out on whom it is that there is no consumer."""
        sleeping = asyncio.create_task(asyncio.sleep(seconds))
        try:
            self.stuck = str(error) if await self._blameless(error) else None
            await sleeping
        finally:
            sleeping.cancel()

    async def _blameless(self, error: Exception) -> bool:
        """Whether the broker does all that it is asked for, but give us a consumer. A refusal is no fault of ours that
        a new process would not have."""
        if self._failures < REBUILDS or isinstance(error, AccessRefused):
            return False
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self._count()
        except (GridSidecarError, TimeoutError):
            return False
        return True

    async def _start(self) -> ChannelConsumer:
        await self._topology.ensure_work_queue(self._connection)
        with errors_as_ours(self._connection.where):
            async with asyncio.timeout(SETUP_TIMEOUT):
                channel = await self._usable_channel()
                self._resized.clear()
                await channel.client.set_qos(prefetch_count=self._prefetch)
                consumer = ChannelConsumer(channel, self._queue, self._topology)
                await consumer.start()
        for part in ("broker", round_trips.PART):
            self._readiness.clear(part)
        self._started_at = asyncio.get_running_loop().time()
        self.consuming, self.stuck = True, None
        return consumer

    async def _watch(self, consumer: ChannelConsumer, receive: Receive, stop: asyncio.Event) -> None:
        """Wait for the stop, another prefetch or a loss. A prefetch holds for one consumer: another one takes over, on
        the same channel, where what is in hand stays ours. A loss closes the channel, so that what was on it is known
        to be dead."""
        asking = asyncio.create_task(self._keep_asking())
        try:
            consumer.hand_over(receive)
            reason = await _until(consumer.ended(), stop, self._resized)
        except asyncio.CancelledError:
            with suppress(BrokerUnavailable, AccessRefused):  # nothing may take the cancellation's place
                await self._cancel(consumer)
            raise
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        if reason is None:
            await self._cancel(consumer)
        else:
            lost = f"consuming from {self._connection.where} ended: {reason}"
            self.consuming = False
            self._readiness.blocked("broker", lost)  # at once: to close the channel may take its time
            await self._drop_channel()
            raise BrokerUnavailable(lost)

    async def _keep_asking(self) -> None:
        assert self._channel is not None
        await round_trips.keep_asking(self._channel, self._prefetch, self._connection.where, self._readiness)

    async def _cancel(self, consumer: ChannelConsumer) -> None:
        with errors_as_ours(self._connection.where):
            await consumer.cancel()

    async def _usable_channel(self) -> DirectChannel:
        """The channel that still carries unsettled deliveries, or a new one."""
        if self._channel is None or not self._channel.alive:
            await self._drop_channel()
            self._channel = await self._connection.direct_channel()
        return self._channel

    async def _drop_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.over = True
            if not channel.client.is_closed:
                await close_quietly(channel.client)


async def _until(work: Coroutine[Any, Any, T], *events: asyncio.Event) -> T | None:
    """The result of `work`, or None when one of the events came first and `work` was ended for it."""
    working = asyncio.create_task(work)
    stopping = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait({working, *stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in stopping:
            waiting.cancel()
        if not working.done():
            working.cancel()
        await asyncio.gather(working, *stopping, return_exceptions=True)
    return None if working.cancelled() else working.result()
