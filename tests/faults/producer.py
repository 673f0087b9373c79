"""A producer that goes on whatever happens: it sends a task until the broker has confirmed it."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from typing import Any

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]

from tests.faults.history import History, Sent
from tests.support.place import Place

RETRIES = 3
RETRY_DELAY = 1.0
KINDS = (  # weight, task type, the end
    (45, "default", "success"),
    (22, "short", "success"),
    (5, "long", "success"),
    (15, "flaky", "success"),
    (8, "bad", "failed"),
    (5, "later", "success"),
)
PERSISTENT = pika.BasicProperties(delivery_mode=2)
AGAIN = 0.05  # share of the tasks that are sent twice


class Producer:
    """Sends in a thread of its own, as fast as `rate` (tasks a second) and the broker allow."""

    def __init__(self, place: Place, history: History, callback_url: str, rng: random.Random, rate: float) -> None:
        self._place = place
        self._history = history
        self._callback_url = callback_url
        self._rng = random.Random(rng.random())
        self._rate = rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """What is on its way is sent until it is confirmed, for 30 seconds at most."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 30)

    def _run(self) -> None:
        number = 0
        channel: Any = None
        while not self._stopping.is_set():
            body = self._next(number)
            for _ in range(2 if self._rng.random() < AGAIN else 1):
                channel = self._until_confirmed(channel, body)
            number += 1
            self._stopping.wait(self._rng.expovariate(self._rate))

    def _next(self, number: int) -> bytes:
        _, kind, end = self._rng.choices(KINDS, [weight for weight, *_ in KINDS])[0]
        retries = RETRIES if kind == "flaky" else 0
        sent = Sent(task_id=f"t{number}", end=end, told=True, retries=retries, retry_delay=RETRY_DELAY)
        self._history.sent[sent.task_id] = sent
        message: dict[str, Any] = {
            "task_id": sent.task_id,
            "task_type": "default" if kind == "later" else kind,
            "max_retry_count": retries,
            "callback_url": self._callback_url,
        }
        if kind == "later":
            message["defer_by"] = self._rng.choice((1, 2, 3))
        return json.dumps(message).encode()

    def _until_confirmed(self, channel: Any, body: bytes) -> Any:
        while True:
            try:
                channel = channel or self._channel()
                channel.basic_publish(
                    "", self._place.queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True
                )
            except (pika.exceptions.AMQPError, OSError):
                channel = None
                if self._stopping.is_set():
                    return None  # nobody promised anything for it
                time.sleep(0.5)
            else:
                self._history.confirmed.add(json.loads(body)["task_id"])
                return channel

    def _channel(self) -> Any:
        parameters = pika.URLParameters(self._place.broker_url)
        parameters.heartbeat = 4
        parameters.blocked_connection_timeout = 10
        parameters.socket_timeout = 5
        channel = pika.BlockingConnection(parameters).channel()
        channel.queue_declare(self._place.queue, durable=True)
        channel.confirm_delivery()
        return channel
