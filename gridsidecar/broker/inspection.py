"""RabbitMQ looked at without a trace: what stands there, and what we might create. Nothing is declared or consumed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from msgspec import Struct

from gridsidecar.broker import delays
from gridsidecar.broker.connection import BrokerConnection, errors_as_ours
from gridsidecar.broker.management import virtual_host
from gridsidecar.broker.queue_type import NO_SUCH_TYPE, REFUSALS, Existing, difference, existing
from gridsidecar.broker.topology import work_queue_arguments
from gridsidecar.config.settings import BrokerSettings

CLOSE_LIMIT = 1.0  # seconds


class BrokerServer(Struct, frozen=True):
    """Who answers."""

    product: str
    version: str
    where: str
    vhost: str


class QueueCounts(Struct, frozen=True):
    """What a queue says of itself to whoever only asks whether it is there."""

    ready: int
    consumers: int


class InspectionRefused(Struct, frozen=True):
    """The server will not have this queue declared by us, or not tell us of it."""

    reason: str


class Inspection:
    """One connection, questions one after the other. They raise BrokerUnavailable and AccessRefused."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._connection = BrokerConnection(settings, "doctor")
        self._turn = asyncio.Lock()  # the client may open a channel under the number of one that is just being refused

    async def server(self) -> BrokerServer:
        found = await self._connection.server()
        vhost = virtual_host(self._settings.urls[0])
        return BrokerServer(
            str(found.get("product", "?")), str(found.get("version", "?")), self._connection.where, vhost
        )

    async def inspect(self, queue: str) -> QueueCounts | InspectionRefused | None:
        """None: there is no such queue."""
        with errors_as_ours(self._connection.where):
            async with self._turn, self._connection.scratch() as channel:
                try:
                    found = await channel.queue_declare(queue, passive=True)
                except ChannelNotFoundEntity:
                    return None
                except REFUSALS as error:
                    return InspectionRefused(str(error))
        return QueueCounts(found.message_count or 0, found.consumer_count or 0)

    async def work_queue(self) -> Existing | None:
        """The work queue as it is; None where the server does not say."""

        async def declare(arguments: dict[str, Any]) -> None:
            await self._declare(self._settings.queue, arguments)

        return await existing(declare, work_queue_arguments(self._settings))

    async def creatable(self, queue: str, arguments: Mapping[str, Any] | None = None) -> str | None:
        """Why a queue that is missing could not be created by us, or one that is there differs; None where it is fine.

        It is tried with a type that no server knows: rights and arguments are looked at first, and nothing is created.
        """
        kind = (arguments or {}).get("x-queue-type", "classic")
        try:
            await self._declare(queue, {**(arguments or {}), "x-queue-type": NO_SUCH_TYPE})
        except ChannelPreconditionFailed as error:
            return _problem(error, kind)
        except REFUSALS as error:
            return str(error)
        return None

    async def delay_queues(self) -> list[str]:
        """What is wrong with each of the delay queues, where anything is."""
        broker = self._settings
        kind = broker.queue_type if broker.delay_queue_type == "auto" else broker.delay_queue_type
        found = []
        for seconds in delays.DELAYS:
            name = delays.queue_name(broker.queue, seconds)
            problem = await self.creatable(name, delays.queue_arguments(broker.queue, seconds, kind))
            if problem is not None:
                found.append(f"{name}: {problem}")
        return found

    async def close(self) -> None:
        """Within CLOSE_LIMIT, whoever is at the other end."""
        await self._connection.close(CLOSE_LIMIT)

    async def _declare(self, queue: str, arguments: dict[str, Any]) -> None:
        refusal: Exception | None = None
        with errors_as_ours(self._connection.where):
            async with self._turn, self._connection.scratch() as channel:
                try:
                    await channel.queue_declare(queue, durable=True, arguments=arguments)
                except REFUSALS as error:
                    refusal = error
        if refusal is not None:
            raise refusal


def _problem(error: ChannelPreconditionFailed, kind: str) -> str | None:
    """None where nothing but our impossible type was refused."""
    match difference(error):
        case None:
            return None if "x-queue-type" in str(error) else str(error)  # it is missing; all else was accepted
        case ("x-queue-type", current):
            return None if (current or "classic") == kind else str(error)
        case _:
            return str(error)
