"""A message from RabbitMQ in our hands."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiormq.exceptions import ChannelInvalidStateError

from gridsidecar import telemetry
from gridsidecar.broker.direct import DirectChannel, Properties
from gridsidecar.broker.envelope import decode, returns

SETTLE_TIMEOUT = 5.0  # seconds


class AmqpDelivery:
    """Settled on the channel it came on and on no other."""

    __slots__ = ("_channel", "_settled", "_tag", "message", "redelivered", "returns")

    def __init__(
        self, channel: DirectChannel, tag: int, redelivered: bool, properties: Properties, body: bytes
    ) -> None:
        self._channel = channel
        self._tag = tag
        self._settled = False
        self.message = decode(properties, body)
        self.redelivered = redelivered
        self.returns = returns(properties)

    def forget(self) -> None:
        self.message = replace(self.message, body=b"")

    @property
    def alive(self) -> bool:
        return self._channel.alive

    async def ack(self) -> None:
        if self._may_settle():
            self._channel.ack(self._tag)

    async def give_back(self) -> None:
        if not self._may_settle():
            return
        client = self._channel.client
        # The client's write queue has no reader left once the connection died: putting to it could block.
        limit = SETTLE_TIMEOUT if client.connection.write_queue.full() else None
        try:
            async with asyncio.timeout(limit):
                # nack, not reject: a reject counts against the delivery limit of a quorum queue, a nack only up to 4.2.
                await client.basic_nack(self._tag, requeue=True, wait=False)
        except (ChannelInvalidStateError, TimeoutError):
            self._tell_dead()

    def _may_settle(self) -> bool:
        """Once: RabbitMQ closes the channel on a tag that it knows no more, and all that is on it comes again."""
        if self._settled:
            return False
        self._settled = True
        if not self._channel.alive:
            self._tell_dead()
            return False
        return True

    def _tell_dead(self) -> None:
        telemetry.debug("a delivery outlived its channel; the broker hands it out again", tag=self._tag)
