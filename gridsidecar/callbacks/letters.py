"""Letters: the message of a task that failed for good, sent to the dead letters and confirmed by the broker."""

from __future__ import annotations

from gridsidecar.broker import Broker
from gridsidecar.callbacks import Delivered, Hopeless, NotDelivered, SenderUnavailable, SendResult
from gridsidecar.errors import AccessRefused, BrokerUnavailable, PublishRefused
from gridsidecar.store import FailureCause, OwedCallback

REASON = "task-failed"  # how the reason of such a letter begins


class LetterSender:
    """Sends the message as its producer did, labelled like one that was refused."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def prepare(self) -> None:
        """The broker is connected already, or connects when there is something to send."""

    async def send(self, callback: OwedCallback) -> SendResult:
        if callback.letter is None:
            return Hopeless("the task's row has no message any more that could be read")
        try:
            reason = f"{REASON}: {FailureCause.read(callback.body)}"
        except ValueError as error:
            return Hopeless(f"what is stored of it cannot be read: {error}")
        try:
            await self._broker.dead_letter(callback.letter, reason, callback.attempt)
        except PublishRefused as error:
            return NotDelivered(str(error))
        except (BrokerUnavailable, AccessRefused) as error:
            return SenderUnavailable(str(error))
        return Delivered()

    async def close(self) -> None:
        """The broker is not ours to close."""
