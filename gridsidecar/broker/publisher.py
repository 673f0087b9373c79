"""Publishing to RabbitMQ so that returning means: on a queue, and confirmed."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import aio_pika.abc
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError, PublishError
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from gridsidecar.broker.advice import advice, words
from gridsidecar.broker.connection import BrokerConnection, errors_as_ours
from gridsidecar.broker.envelope import encode, fresh_id
from gridsidecar.errors import PublishRefused
from gridsidecar.rules.task import Message

PUBLISH_TIMEOUT = 15.0  # seconds, including connecting
LARGE = 1024 * 1024  # bytes; the client copies a body several times

REFUSALS = (ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed)


class Unroutable(PublishRefused):
    """No such queue: the broker returned the message."""


class Publisher:
    """Publishes on one long-lived confirming channel."""

    def __init__(self, connection: BrokerConnection) -> None:
        self.connection = connection
        self._channel: aio_pika.abc.AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._in_flight: set[str] = set()
        self._large_turn = asyncio.Lock()

    async def send(
        self, message: Message, queue: str, *, message_id: str | None = None, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Put a message on `queue`; large ones go one at a time. Raises PublishRefused, BrokerUnavailable or
        AccessRefused."""
        unique = message_id or fresh_id()
        async with self._large_turn if len(message.body) > LARGE else nullcontext():
            await self._send(message, queue, unique, extra)

    async def _send(self, message: Message, queue: str, unique: str, extra: Mapping[str, Any] | None) -> None:
        with errors_as_ours(self.connection.where):
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                await (
                    self.connection.unblocked()
                )  # or each try would wait in the socket, and all be published in the end
                if unique in self._in_flight:
                    # On one channel, a returned message is told from the others by its id alone.
                    return await self._send_on_own_channel(message, queue, unique, extra)
                try:
                    await self._send_on_shared_channel(message, queue, unique, extra)
                except REFUSALS:
                    # The server closed the channel, maybe over another message in flight. Alone it is clear whose.
                    await self._send_on_own_channel(message, queue, unique, extra)

    async def _send_on_shared_channel(
        self, message: Message, queue: str, unique: str, extra: Mapping[str, Any] | None
    ) -> None:
        self._in_flight.add(unique)
        try:
            await _publish(await self._confirming(), message, queue, unique, extra)
        finally:
            self._in_flight.discard(unique)

    async def _send_on_own_channel(
        self, message: Message, queue: str, unique: str, extra: Mapping[str, Any] | None
    ) -> None:
        async with self.connection.scratch(confirms=True) as channel:
            try:
                await _publish(channel, message, queue, unique, extra)
            except REFUSALS as error:
                raise PublishRefused(
                    f"RabbitMQ refused a message for queue {queue!r}: {words(error)}", advice(error)
                ) from error

    async def _confirming(self) -> AbstractChannel:
        """The protocol layer's side of our channel: on the other, a message costs 10 µs more."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed or not self.connection.connected:
                self._channel = await self.connection.confirming_channel()
            return await self._channel.get_underlay_channel()


async def _publish(
    channel: AbstractChannel, message: Message, queue: str, message_id: str, extra: Mapping[str, Any] | None
) -> None:
    try:
        properties = encode(message, message_id, extra)
        await channel.basic_publish(message.body, routing_key=queue, properties=properties, mandatory=True)
    except PublishError as error:
        raise Unroutable(f"RabbitMQ has no queue {queue!r}: the message was returned") from error
    except DeliveryError as error:
        raise PublishRefused(f"RabbitMQ did not take a message for queue {queue!r}: the queue is full") from error
    except (TypeError, ValueError, OverflowError, struct.error) as error:
        raise PublishRefused(f"AMQP cannot carry the properties of a message for queue {queue!r}: {error}") from error
