"""Sends tasks to RabbitMQ, through pika."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Optional

try:
    import pika
    from pika import exceptions
except ImportError as error:
    raise ImportError("TaskProducer needs pika: pip install 'gridsidecar-sdk[producer]'") from error

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

_FAILURES = (exceptions.AMQPError, OSError)
_FINAL = (
    exceptions.AuthenticationError,
    exceptions.ProbableAuthenticationError,
    exceptions.ProbableAccessDeniedError,
)
_SILENCE = 20  # seconds between heartbeats; after about twice as long a broker that says nothing counts as away
_REFUSALS = (403, 406)  # reply codes: no right to, and not in this way (as for a message that is too large)


class TaskProducer:
    """A connection that is opened with the first task, and again when it is lost. For many threads, not for forks."""

    def __init__(
        self, default_queue: Optional[str] = None, *, url: Optional[str] = None, compress: bool = False
    ) -> None:
        """Without arguments, what the variables say. `compress`: bodies go as gzip where that is smaller."""
        self._variables = read_variables()
        self._queue = default_queue or queue_name(self._variables)
        self._url = url or amqp_url(self._variables)
        self._compress = compress
        self._lock = threading.RLock()
        self._connection: Any = None
        self._channel: Any = None
        self._declared: set[str] = set()  # on this connection

    def send_task(
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
        self._insist(message, queue_name or self._queue)
        return message.task_id

    def send_task_to_queue(
        self, task_data: Mapping[str, Any], queue_name: str, task_id: Optional[str] = None, **wishes: Any
    ) -> str:
        return self.send_task(task_data, task_id, queue_name, **wishes)

    def batch_send_tasks(
        self, tasks: Iterable[Mapping[str, Any]], queue_name: Optional[str] = None, **wishes: Any
    ) -> list[str]:
        """Their ids in order, once the broker has all of them. Each is a task, or has one under `task_data`."""
        messages = [make_message(unwrapped(each), None, Wishes(**wishes), self._compress) for each in tasks]
        for message in messages:
            self._insist(message, queue_name or self._queue)
        return [message.task_id for message in messages]

    def get_declared_queues(self) -> list[str]:
        """Those that this producer has found or made."""
        with self._lock:
            return sorted(self._declared)

    def is_queue_declared(self, queue_name: str) -> bool:
        with self._lock:
            return queue_name in self._declared

    def close(self) -> None:
        with self._lock:
            self._drop()

    def __enter__(self) -> TaskProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _insist(self, message: Message, queue: str) -> None:
        """Send it on a connection that lives; its id makes doing it twice harmless."""
        with self._lock:
            give_up = time.monotonic() + RECONNECT_FOR
            pauses = iter(PAUSES)
            while True:
                try:
                    self._connect()
                    self._publish(message, queue)
                    return
                except _FAILURES as error:
                    self._drop()
                    if _is_final(error) or time.monotonic() > give_up:
                        raise NotSent(f"task {message.task_id} was not confirmed by RabbitMQ: {error!r}") from error
                time.sleep(next(pauses, PAUSES[-1]))

    def _connect(self) -> None:
        if self._channel is not None and self._channel.is_open:
            return
        self._drop()
        self._connection = pika.BlockingConnection(_parameters(self._url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        self._declared.clear()
        if connection is not None and connection.is_open:
            with contextlib.suppress(*_FAILURES):  # then it was gone already
                connection.close()

    def _publish(self, message: Message, queue: str) -> None:
        if queue not in self._declared:
            self._find_or_make(queue)
        properties = pika.BasicProperties(
            delivery_mode=2,
            content_type="application/json",
            content_encoding=message.encoding,
            message_id=message.task_id,
            priority=message.priority,
        )
        self._channel.basic_publish("", queue, message.body, properties, mandatory=True)

    def _find_or_make(self, queue: str) -> None:
        """An existing queue is as it is; asking on a channel of its own costs no other one."""
        if not self._exists(queue):
            channel = self._connection.channel()
            try:
                channel.queue_declare(queue, durable=True, arguments=queue_arguments(self._variables))
                channel.close()
            except exceptions.ChannelClosedByBroker as error:
                if error.reply_code != 406 or not self._exists(queue):  # somebody made it meanwhile, in their own way
                    raise
        self._declared.add(queue)

    def _exists(self, queue: str) -> bool:
        channel = self._connection.channel()
        try:
            channel.queue_declare(queue, passive=True)
        except exceptions.ChannelClosedByBroker as error:
            if error.reply_code == 404:
                return False
            raise
        channel.close()
        return True


def _parameters(url: str) -> Any:
    """Those of the URL, with an end to every wait: pika has none for a confirm but the heartbeat."""
    parameters = pika.URLParameters(url)
    if parameters.heartbeat is None:
        parameters.heartbeat = _SILENCE
    if parameters.blocked_connection_timeout is None:
        parameters.blocked_connection_timeout = RECONNECT_FOR
    return parameters


def _is_final(error: BaseException) -> bool:
    """Whether trying again would end in the same way."""
    refused = isinstance(error, exceptions.ChannelClosedByBroker) and error.reply_code in _REFUSALS
    return refused or isinstance(error, _FINAL)
