"""Whether the broker still answers on the channel that tasks come on."""

from __future__ import annotations

import asyncio
from typing import Any

from gridsidecar.broker.direct import DirectChannel
from gridsidecar.telemetry import Readiness

EVERY = 10.0  # seconds between an answer and the next question
ANSWER_LIMIT = 20.0  # seconds for an answer; so the last one is never older than 30 while we count as ready
PART = "consumer"


async def keep_asking(channel: DirectChannel, prefetch: int, where: str, readiness: Readiness) -> None:
    """One question after the other, until the channel is closed. A question that was asked is never taken back: the
    client would close the channel for that, and everything in hand would go back to the queue."""
    while True:
        await asyncio.sleep(EVERY)
        # What is asked for holds already, and only for consumers to come.
        asked: asyncio.Future[Any] = asyncio.ensure_future(channel.client.set_qos(prefetch_count=prefetch))
        asked.add_done_callback(_looked_at)
        await asyncio.wait({asked}, timeout=ANSWER_LIMIT)
        if not asked.done():
            seconds = round(EVERY + ANSWER_LIMIT)
            readiness.blocked(PART, f"RabbitMQ at {where} has not answered where tasks come from for {seconds} seconds")
            await asyncio.wait({asked})
        if asked.cancelled() or asked.exception() is not None:
            return  # whoever consumes here hears of that as well
        readiness.clear(PART)


def _looked_at(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()
