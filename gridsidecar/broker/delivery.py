"""A message from RabbitMQ in our hands."""

from __future__ import annotations

from msgspec.structs import replace

from gridsidecar.broker.direct import DirectChannel, Properties
from gridsidecar.broker.envelope import decode, returns


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

    async def requeue(self) -> None:
        if self._may_settle():
            self._channel.requeue(self._tag)

    def _may_settle(self) -> bool:
        """Once: RabbitMQ closes the channel on a tag that it knows no more, and all that is on it comes again."""
        first, self._settled = not self._settled, True
        return first
