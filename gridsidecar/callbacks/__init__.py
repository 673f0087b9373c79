"""Callbacks: telling whoever asked that a task has ended, and the dead letters. The outbox is sent apart from the task
slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from gridsidecar.store import LETTER, OwedCallback

if TYPE_CHECKING:
    from gridsidecar.broker import Broker
    from gridsidecar.clock import Clock
    from gridsidecar.config.settings import BrokerSettings, CallbackSettings


class Delivered(Struct, frozen=True):
    """The receiver has it."""


class NotDelivered(Struct, frozen=True):
    """This try failed; `retry_after` is what the receiver asked for, in seconds."""

    error: str
    retry_after: float | None = None


class Hopeless(Struct, frozen=True):
    """No further try can help: a target that may not be contacted, or a receiver that wants no more."""

    error: str


class SenderUnavailable(Struct, frozen=True):
    """Our own way out is closed (the broker is away, there is no room for it); the receiver is not to blame, and no try
    is spent. Tried again after `retry_in` seconds."""

    error: str
    retry_in: float = 15.0


SendResult = Delivered | NotDelivered | Hopeless | SenderUnavailable


class Sender(Protocol):
    """One way to a receiver."""

    async def prepare(self) -> None:
        """What takes its time once, before the first try, and is not the receiver's affair."""
        ...

    async def send(self, callback: OwedCallback) -> SendResult:
        """Try once. Never raises for what the receiver does; every end is a value."""
        ...

    async def close(self) -> None: ...


def make_senders(
    settings: CallbackSettings, broker: Broker, broker_settings: BrokerSettings, clock: Clock
) -> dict[str, Sender]:
    """A sender for each `callback_type`, and one for letters. Nothing is connected yet."""
    from gridsidecar.callbacks.http import HttpSender
    from gridsidecar.callbacks.letters import LetterSender
    from gridsidecar.callbacks.rabbitmq import RabbitSender

    return {
        "http": HttpSender(settings, clock),
        "rabbitmq": RabbitSender(settings, broker, broker_settings),
        LETTER: LetterSender(broker),
    }
