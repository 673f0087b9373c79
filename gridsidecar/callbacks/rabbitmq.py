"""Callbacks by RabbitMQ: a persistent message to the queue that the task names, confirmed by the broker."""

from __future__ import annotations

import json
from typing import Any

from gridsidecar.broker import Broker
from gridsidecar.callbacks import Delivered, NotDelivered, Sent, Unavailable
from gridsidecar.config.settings import CallbackSettings
from gridsidecar.errors import AccessRefused, BrokerUnavailable, PublishRefused
from gridsidecar.store import OwedCallback
from gridsidecar.task import Message


class RabbitSender:
    """Sends the body to `callback_data.queue_name`, else to `callbacks.queue`, which is declared when missing."""

    def __init__(self, settings: CallbackSettings, broker: Broker) -> None:
        self._default = settings.queue
        self._broker = broker

    async def send(self, callback: OwedCallback) -> Sent:
        message = Message(body=callback.body.encode(), message_id=callback.id, content_type="application/json")
        try:
            await self._broker.send(self._queue(callback), message)
        except PublishRefused as error:
            return NotDelivered(str(error))
        except (BrokerUnavailable, AccessRefused) as error:
            return Unavailable(str(error))
        return Delivered()

    def _queue(self, callback: OwedCallback) -> str:
        named: Any = json.loads(callback.body)["callback_data"]
        name = named.get("queue_name") if isinstance(named, dict) else None
        return name if isinstance(name, str) and name else self._default

    async def close(self) -> None:
        """The broker is not ours to close."""
