"""Sends tasks to RabbitMQ from asyncio, through aio-pika."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Optional

try:
    import aio_pika
    from aio_pika import exceptions
    from aiormq.exceptions import ChannelAccessRefused
except ImportError as error:
    raise ImportError("AsyncTaskProducer needs aio-pika: pip install 'gridsidecar-sdk[producer]'") from error

from gridsidecar_sdk.errors import Seconds
from gridsidecar_sdk.messages import (
    PAUSES,
    RECONNECT_FOR,
    Message,
    NotSent,
    Priority,
    Wishes,
    make_message,
    unwrapped,
)
from gridsidecar_sdk.variables import amqp_url, queue_arguments, queue_name, read_variables

_CONFIRM = 15.0  # seconds that the broker has to answer
_AT_A_TIME = 200  # tasks of a batch that wait for their confirms
_FAILURES = (exceptions.AMQPError, OSError, asyncio.TimeoutError, RuntimeError)
_FINAL = (
    exceptions.AuthenticationError,
    exceptions.ProbableAuthenticationError,
    ChannelAccessRefused,
    exceptions.ChannelPreconditionFailed,
)


class AsyncTaskProducer:
    """A connection that is opened with the first task, and again when it is lost. For many tasks of one event loop."""

    def __init__(
        self, default_queue: Optional[str] = None, *, url: Optional[str] = None, compress: bool = False
    ) -> None:
        """Without arguments, what the variables say. `compress`: bodies go as gzip where that is smaller."""
        self._variables = read_variables()
        self._queue = default_queue or queue_name(self._variables)
        self._url = url or amqp_url(self._variables)
        self._compress = compress
        self._opening = asyncio.Lock()
        self._connection: Any = None
        self._channel: Any = None
        self._declared: set[str] = set()  # on this connection

    async def connect(self) -> None:
        """Open the connection now, in place of with the first task; raises what the client raises."""
        async with self._opening:
            if self._channel is not None and not self._channel.is_closed:
                return
            await self._drop()
            self._connection = await aio_pika.connect(self._url, timeout=_CONFIRM)
            self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)

    async def close(self) -> None:
        async with self._opening:
            await self._drop()

    async def __aenter__(self) -> AsyncTaskProducer:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def enqueue(
        self,
        task_data: Mapping[str, Any],
        task_id: Optional[str] = None,
        queue_name: Optional[str] = None,
        *,
        priority: Priority = None,
        defer_by: Optional[Seconds] = None,
        defer_until: Optional[datetime] = None,
    ) -> str:
        """Its id, once the broker has it. Raises NotSent."""
        message = make_message(task_data, task_id, Wishes(priority, defer_by, defer_until), self._compress)
        await self._insist(message, queue_name or self._queue)
        return message.task_id

    async def enqueue_batch(
        self, tasks: Iterable[Mapping[str, Any]], queue_name: Optional[str] = None, **wishes: Any
    ) -> list[str]:
        """Their ids in order, once the broker has all of them. Each is a task, or has one under `task_data`."""
        messages = [make_message(unwrapped(each), None, Wishes(**wishes), self._compress) for each in tasks]
        for start in range(0, len(messages), _AT_A_TIME):
            some = messages[start : start + _AT_A_TIME]
            sent = [self._insist(message, queue_name or self._queue) for message in some]
            for end in await asyncio.gather(*sent, return_exceptions=True):
                if isinstance(end, BaseException):
                    raise end
        return [message.task_id for message in messages]

    async def _insist(self, message: Message, queue: str) -> None:
        """Send it on a connection that lives; its id makes doing it twice harmless."""
        give_up = time.monotonic() + RECONNECT_FOR
        pauses = iter(PAUSES)
        while True:
            try:
                await asyncio.wait_for(self._try(message, queue), RECONNECT_FOR)
                return
            except _FAILURES as error:
                if isinstance(error, exceptions.DeliveryError):
                    self._declared.discard(queue)  # it was deleted
                if isinstance(error, _FINAL) or time.monotonic() > give_up:
                    raise NotSent(f"task {message.task_id} was not confirmed by RabbitMQ: {error!r}") from error
            await asyncio.sleep(next(pauses, PAUSES[-1]))

    async def _try(self, message: Message, queue: str) -> None:
        await self.connect()
        await self._publish(message, queue)

    async def _publish(self, message: Message, queue: str) -> None:
        channel = self._channel
        if queue not in self._declared:
            async with self._opening:
                if queue not in self._declared:
                    await self._find_or_make(queue)
        outgoing = aio_pika.Message(
            message.body,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            content_type="application/json",
            content_encoding=message.encoding,
            message_id=message.task_id,
            priority=message.priority,
        )
        await channel.default_exchange.publish(outgoing, queue, mandatory=True, timeout=_CONFIRM)

    async def _find_or_make(self, queue: str) -> None:
        """An existing queue is as it is; asking on a channel of its own costs no other one."""
        if not await self._exists(queue):
            try:
                await self._declare(queue, durable=True, arguments=queue_arguments(self._variables))
            except exceptions.ChannelPreconditionFailed:
                if not await self._exists(queue):  # else somebody made it meanwhile, in their own way
                    raise
        self._declared.add(queue)

    async def _exists(self, queue: str) -> bool:
        try:
            await self._declare(queue, passive=True)
        except exceptions.ChannelNotFoundEntity:
            return False
        return True

    async def _declare(self, queue: str, **how: Any) -> None:
        channel = await self._connection.channel(publisher_confirms=False)
        try:
            await channel.declare_queue(queue, timeout=_CONFIRM, **how)
        finally:
            with contextlib.suppress(*_FAILURES):
                await channel.close()

    async def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._declared.clear()
        if connection is not None:
            with contextlib.suppress(*_FAILURES):
                await asyncio.wait_for(connection.close(), _CONFIRM)
