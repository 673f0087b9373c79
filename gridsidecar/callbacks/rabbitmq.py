"""Callbacks by RabbitMQ: a persistent message to the queue that the task names, confirmed by the broker."""

from __future__ import annotations

from fnmatch import fnmatchcase

from gridsidecar import wire
from gridsidecar.broker import Broker
from gridsidecar.broker.names import check_queue_name, is_ours
from gridsidecar.callbacks import Delivered, Hopeless, NotDelivered, SenderUnavailable, SendResult
from gridsidecar.config.settings import BrokerSettings, CallbackSettings
from gridsidecar.errors import AccessRefused, BrokerUnavailable, OperationRefused, PublishRefused
from gridsidecar.rules.task import Message
from gridsidecar.store import OwedCallback


class RabbitSender:
    """Sends the body to `callback_data.queue_name`, else to `callbacks.queue`, with a mark: it is never a task.

    The name comes from whoever may publish a task, and the sidecar may have more rights than they: `callbacks.queues`
    and `callbacks.declare` say what it does for them.
    """

    def __init__(self, settings: CallbackSettings, broker: Broker, broker_settings: BrokerSettings) -> None:
        self._settings = settings
        self._broker = broker
        self._broker_settings = broker_settings

    async def prepare(self) -> None:
        """The broker is connected already, or connects when there is something to send."""

    async def send(self, callback: OwedCallback) -> SendResult:
        try:
            queue = wire.callback_queue(callback.body) or self._settings.queue
        except ValueError as error:
            return Hopeless(f"what is stored of it cannot be read: {error}")
        if (refusal := self._refusal(queue)) is not None:
            return Hopeless(refusal)
        message = Message(
            body=wire.sent_callback(callback.body),
            message_id=callback.id,
            content_type="application/json",
            callback=True,
            headers={} if callback.trace is None else callback.trace.headers(),
        )
        try:
            await self._broker.send(queue, message, create=self._settings.declare_queues)
        except (PublishRefused, OperationRefused) as error:
            hint = "" if self._settings.declare_queues else "; callbacks.declare is false: no queue is created"
            return NotDelivered(f"{error}{hint}")
        except (BrokerUnavailable, AccessRefused) as error:
            return SenderUnavailable(str(error))
        return Delivered()

    def _refusal(self, queue: str) -> str | None:
        """Why nothing is ever sent there; None where it may be."""
        if is_ours(queue, self._broker_settings):
            return f"{queue!r} is a queue of this sidecar, for tasks and dead letters: a callback is neither"
        try:
            check_queue_name(queue)
        except PublishRefused as error:
            return str(error)
        allowed = queue == self._settings.queue or any(fnmatchcase(queue, one) for one in self._settings.queues)
        return None if allowed else f"{queue!r} is no queue for callbacks: no pattern of callbacks.queues fits it"

    async def close(self) -> None:
        """The broker is not ours to close."""
