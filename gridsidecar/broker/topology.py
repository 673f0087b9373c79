"""The queues in RabbitMQ: found as they are, created only where they are missing, counted."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Queue

from gridsidecar.broker import QueueInfo, delays
from gridsidecar.broker.advice import advice, words
from gridsidecar.broker.connection import BrokerConnection, errors_as_ours
from gridsidecar.broker.queue_type import REFUSALS, differs, is_consumed_as_stream, is_stream
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import EX_REFUSED, AccessRefused, BrokerUnavailable, PublishRefused

REPLY_TIMEOUT = 15.0  # seconds, for one question including connecting
MISSING_FOR = 30.0  # seconds for which whoever asks again and again takes a queue to be missing


class QueueMissing(BrokerUnavailable):
    """The queue does not exist and we may not create it. Somebody may do so later."""


class QueueRefused(PublishRefused):
    """The server lets us in and refuses this one queue: no right, too many queues, another connection's own. That is
    no outage."""

    exit_code = EX_REFUSED


class StreamRefused(AccessRefused):
    """The work queue is a stream, which no waiting changes."""


class Topology:
    """Questions and declarations, each on a channel of its own."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        kind = settings.queue_type if settings.delay_queue_type == "auto" else settings.delay_queue_type
        self._delay_queue_type: Literal["classic", "quorum"] = kind
        self.surely_no_stream = False  # the server told us of what kind the work queue is
        self._missing_until: dict[str, float] = {}  # seconds of the loop's clock, by the queue's name

    async def ensure_work_queue(self, connection: BrokerConnection) -> None:
        """Find the work queue, or create it where that is allowed. Raises StreamRefused for one that is a stream."""
        try:
            await self._ensure_work_queue(connection)
        except QueueRefused as error:  # there is no other that we could use
            raise AccessRefused(str(error)) from error

    async def _ensure_work_queue(self, connection: BrokerConnection) -> None:
        if await self._count(connection, self._settings.queue) is not None:
            await self._refuse_stream(connection)
            return
        if not self._settings.declare_queue:
            raise QueueMissing(
                f"queue {self._settings.queue!r} does not exist at {connection.where} and broker.declare is false: "
                "create the queue or set broker.declare to true"
            )
        await self._create(connection, self._settings.queue, work_queue_arguments(self._settings))
        self.surely_no_stream = True

    async def ensure_dead_letters(self, connection: BrokerConnection) -> None:
        """Find or create the dead-letter queue. Raises PublishRefused."""
        if await self._count(connection, self._settings.dead_letters) is None:
            await self.create_dead_letters(connection)

    async def create_dead_letters(self, connection: BrokerConnection) -> None:
        """Create the dead-letter queue that is missing. Raises PublishRefused."""
        # Classic, because merely listing a quorum queue counts as a delivery.
        await self._create(connection, self._settings.dead_letters, {"x-queue-type": "classic"})

    async def create_plain(self, connection: BrokerConnection, queue: str) -> None:
        """Create a missing queue of somebody else's, as a plain consumer would. Raises PublishRefused."""
        await self._create(connection, queue, {})

    def stream(self) -> StreamRefused:
        """Why nobody can work from a stream."""
        return StreamRefused(
            f"queue {self._settings.queue!r} is a stream: it shows a task to every worker and forgets none that is "
            "done; declare it as a classic or a quorum queue, or name another in broker.queue"
        )

    async def _refuse_stream(self, connection: BrokerConnection) -> None:
        """First comes the declaration that we would make, which most often is the one that was made: a refusal is a
        line in the broker's log."""
        self.surely_no_stream = False
        if self._settings.declare_queue and await self._is_as_declared(connection):
            self.surely_no_stream = True
            return
        stream = await is_stream(lambda arguments: self._declare(connection, self._settings.queue, arguments))
        if stream is None:
            stream = await is_consumed_as_stream(lambda arguments: self._consume(connection, arguments))
        if stream:
            raise self.stream()
        self.surely_no_stream = stream is False

    async def _is_as_declared(self, connection: BrokerConnection) -> bool:
        try:
            await self._declare(connection, self._settings.queue, work_queue_arguments(self._settings))
        except REFUSALS:
            return False
        return True

    async def declare_delay_queue(self, connection: BrokerConnection, seconds: int) -> str:
        """Declare the queue of one delay and say its name. Raises PublishRefused when the server will not."""
        name = delays.queue_name(self._settings.queue, seconds)
        arguments = delays.queue_arguments(self._settings.queue, seconds, self._delay_queue_type)
        try:
            await self._declare(connection, name, arguments)
        except ChannelPreconditionFailed as error:
            if differs(error):
                raise PublishRefused(
                    f"delay queue {name!r} exists with other arguments: delete it when it is empty ({error})"
                ) from error
            raise PublishRefused(f"delay queue {name!r} cannot be declared: {words(error)}", advice(error)) from error
        except REFUSALS as error:
            raise PublishRefused(f"delay queue {name!r} cannot be declared: {words(error)}", advice(error)) from error
        return name

    async def ready_count(self, connection: BrokerConnection) -> int:
        """Messages ready on the work queue. Raises QueueMissing."""
        count = await self._count(connection, self._settings.queue)
        if count is None:
            raise self._missing(connection)
        return count

    async def info(self, connection: BrokerConnection, *, anew: bool = True) -> QueueInfo:
        """Everything that can be counted over AMQP. Without `anew`, a queue that was missing a moment ago is taken to
        be missing still: asking for such a one costs a channel, and is a line in the broker's log."""
        queue, dead_letters = self._settings.queue, self._settings.dead_letters
        delay_queues = {delays.queue_name(queue, seconds): seconds for seconds in delays.DELAYS}
        now = asyncio.get_running_loop().time()
        asked = (name for name in (*delay_queues, dead_letters) if anew or self._missing_until.get(name, now) <= now)
        found = await self._looks(connection, (queue, *asked))
        self._missing_until |= {name: now if one else now + MISSING_FOR for name, one in found.items()}
        counts = {name: one.message_count or 0 for name, one in found.items() if one is not None}
        work = found[queue]
        return QueueInfo(
            queue=queue,
            exists=work is not None,
            ready=counts.get(queue, 0),
            consumers=work.consumer_count or 0 if work else None,
            delayed={seconds: counts[name] for name, seconds in delay_queues.items() if name in counts},
            dead=counts.get(dead_letters, 0),
        )

    async def purge(self, connection: BrokerConnection) -> int:
        """Remove what is ready on the work queue. Raises QueueMissing."""
        with errors_as_ours(connection.where):
            async with asyncio.timeout(REPLY_TIMEOUT), connection.scratch() as channel:
                try:
                    return (await channel.queue_purge(self._settings.queue)).message_count or 0
                except ChannelNotFoundEntity:
                    raise self._missing(connection) from None

    async def _count(self, connection: BrokerConnection, queue: str) -> int | None:
        """Ready messages of a queue, or None where there is no such queue."""
        found = (await self._looks(connection, (queue,)))[queue]
        return None if found is None else found.message_count or 0

    async def _looks(self, connection: BrokerConnection, queues: Iterable[str]) -> dict[str, Queue.DeclareOk | None]:
        """None for those that are missing. The server ends the channel at each of them; else one is enough for all.
        One after the other: the client may open a channel under the number of one that is just being refused."""
        found: dict[str, Queue.DeclareOk | None] = {}
        left = deque(queues)
        while left:
            with errors_as_ours(connection.where):
                async with asyncio.timeout(REPLY_TIMEOUT), connection.scratch() as channel:
                    refusal = await _look(channel, left, found)
            if refusal is not None:
                name = left[0]
                told = f"RabbitMQ at {connection.where} refuses queue {name!r}: {words(refusal)}"
                raise QueueRefused(told, advice(refusal)) from refusal
        return found

    def _missing(self, connection: BrokerConnection) -> QueueMissing:
        return QueueMissing(f"queue {self._settings.queue!r} does not exist at {connection.where}")

    async def _create(self, connection: BrokerConnection, queue: str, arguments: dict[str, Any]) -> None:
        try:
            await self._declare(connection, queue, arguments)
        except REFUSALS as error:
            # Somebody else may have created it in between, in their own way: theirs is as good.
            if await self._count(connection, queue) is None:
                raise QueueRefused(
                    f"RabbitMQ at {connection.where} refuses to create queue {queue!r}: {words(error)}", advice(error)
                ) from error

    async def _declare(self, connection: BrokerConnection, queue: str, arguments: dict[str, Any]) -> None:
        """Declare a durable queue; the server's refusals come out as the client's exceptions."""
        await _tried(connection, lambda channel: channel.queue_declare(queue, durable=True, arguments=arguments))

    async def _consume(self, connection: BrokerConnection, arguments: dict[str, Any]) -> None:
        """Try to, which ends with the channel; the same."""
        queue = self._settings.queue
        await _tried(connection, lambda channel: channel.basic_consume(queue, _never, arguments=arguments))


async def _never(message: DeliveredMessage) -> None:
    """What comes in spite of it goes back with the channel."""


async def _tried(connection: BrokerConnection, ask: Callable[[AbstractChannel], Awaitable[object]]) -> None:
    refusal: Exception | None = None
    with errors_as_ours(connection.where):
        async with asyncio.timeout(REPLY_TIMEOUT), connection.scratch() as channel:
            try:
                await ask(channel)
            except REFUSALS as error:
                refusal = error
    if refusal is not None:
        raise refusal


async def _look(
    channel: AbstractChannel, left: deque[str], found: dict[str, Queue.DeclareOk | None]
) -> Exception | None:
    """At the queues that are left, up to one that is missing, or refused: that one is still the first of them."""
    while left:
        try:
            found[left[0]] = await channel.queue_declare(left[0], passive=True)
        except ChannelNotFoundEntity:
            found[left.popleft()] = None
            break
        except REFUSALS as error:
            return error
        left.popleft()
    return None


def work_queue_arguments(settings: BrokerSettings) -> dict[str, Any]:
    """As producers would declare it: a classic queue without priorities has no arguments at all."""
    if settings.queue_type == "quorum":
        return {"x-queue-type": "quorum"}
    return {"x-max-priority": settings.max_priority} if settings.max_priority > 0 else {}
