"""The broker seam: where task messages come from, and wait. RabbitMQ (`amqp`) or an SQLite file (`embedded`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from gridsidecar.rules.task import Message

if TYPE_CHECKING:
    from gridsidecar.config.settings import BrokerSettings
    from gridsidecar.telemetry import Readiness


class Delivery(Protocol):
    """One message in our hands. At most one of `ack` and `requeue` is called on it, once; without, it comes again."""

    @property
    def message(self) -> Message: ...

    def forget(self) -> None:
        """Let go of the message's body; from now on it can only be requeued."""
        ...

    @property
    def redelivered(self) -> bool:
        """The broker says that it handed this message out before."""
        ...

    @property
    def returns(self) -> int:
        """How often it came back, by the count of a broker that throws a message away once it is too high; else 0."""
        ...

    @property
    def alive(self) -> bool:
        """Still ours: the channel it came on is open (amqp), its lease is held (embedded)."""
        ...

    async def ack(self) -> None:
        """The broker may forget it. On a dead delivery this does nothing: the broker hands it out again anyway."""
        ...

    async def requeue(self) -> None:
        """Back to the queue, to be handed out again at once. On a dead delivery this does nothing."""
        ...


Receive = Callable[[Delivery], None]


class QueueInfo(Struct, frozen=True, kw_only=True):
    """What waits where, right now. None is what this broker cannot tell."""

    queue: str
    exists: bool
    ready: int = 0
    consumers: int | None = None
    delayed: Mapping[int, int] = field(default_factory=dict)  # seconds of a delay: messages that come back within them
    dead: int = 0
    unsettled: int | None = None  # in somebody's hands


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message that was put away, and what is known of why; its own headers, without ours."""

    message: Message
    reason: str | None
    queue: str | None  # the work queue it was refused on
    time: datetime | None  # aware, UTC
    attempt_count: int | None = None  # of a task that failed for good; None: its message was refused
    remove: Callable[[], Awaitable[None]]  # for good; call it last of all


class Broker(Protocol):
    """One work queue, with its delayed messages and dead letters.

    Every method that talks to a server raises `BrokerUnavailable` when it is away and `AccessRefused` when it says no;
    publishing also raises `PublishRefused` when the broker will not take the message: that one queue is refused for
    good, whereas `AccessRefused` is about all of them. A method that returns normally
    has done its work: what was published is confirmed and routed.
    """

    async def open(self) -> None:
        """Connect, and find or create the work queue. Raises instead of retrying, and `AccessRefused` for a queue that
        no task can be taken from."""
        ...

    async def ensure_dead_letters(self) -> None:
        """Find or create the dead-letter queue. Raises `PublishRefused` where that will not be."""
        ...

    async def consume(self, receive: Receive, prefetch: int) -> None:
        """Hand deliveries to `receive`, at most `prefetch` unsettled at a time, until `stop_consuming`.

        Outages are waited out inside: it reconnects with back-off and reports to telemetry's readiness. It raises
        `AccessRefused` only when the queue turns out to be one that no task can be taken from. Deliveries
        that were in hand when a connection died are no longer `alive`; the broker hands them out again.
        """
        ...

    def set_prefetch(self, prefetch: int) -> None:
        """From now on hand over so many at a time; soon, and more than that while those before are in hand."""
        ...

    async def stop_consuming(self) -> None:
        """No delivery arrives after this returns; what was handed out stays ours to settle."""
        ...

    @property
    def consuming(self) -> bool:
        """Deliveries may arrive: there is a consumer, or another one is just taking over."""
        ...

    @property
    def stuck(self) -> str | None:
        """Why there is still no consumer after several tries, although the server answers and lets us; else None. Only
        a new process may help."""
        ...

    async def publish(self, message: Message) -> None:
        """Put a message on the work queue. It gets a fresh message id when it has none."""
        ...

    async def send(self, queue: str, message: Message, *, create: bool = True) -> None:
        """Put a message, with its own id, on any queue by name, found as it is; where it is missing, `create` makes it,
        durable.

        Raises `PublishRefused` also for a name that no queue can have, for a missing queue that is not to be made or
        may not be made by us, and for one that we may not write to. In an SQLite file no queue is missing.
        """
        ...

    async def publish_delayed(self, message: Message, delay: float) -> None:
        """Bring a message back to the work queue in about `delay` seconds, maybe in several steps, never later than
        needed by more than a second; raises `PublishRefused` where the broker will not let us delay."""
        ...

    async def dead_letter(self, message: Message, reason: str, attempt_count: int | None = None) -> None:
        """Put the body, untouched, on the dead-letter queue with headers that say why; `attempt_count` is that of a
        task that failed for good."""
        ...

    async def ready_count(self) -> int:
        """Messages waiting on the work queue right now (neither delayed nor in somebody's hands)."""
        ...

    async def info(self, *, anew: bool = True) -> QueueInfo:
        """How many messages wait where. Creates nothing, and needs no `open`. Whoever asks every few seconds does so
        without `anew`: a queue that is made meanwhile may be counted half a minute later."""
        ...

    async def purge(self) -> int:
        """Remove the messages that wait on the work queue, not what is delayed, dead or in somebody's hands; their
        number. Raises `BrokerUnavailable` for a queue that does not exist. Needs no `open`."""
        ...

    def dead_letters(self) -> AbstractAsyncContextManager[AsyncIterator[DeadLetter]]:
        """The dead letters that are there at the start, oldest first, one in memory at a time.

        Looking takes none away: what was not removed is in its place again when the context ends, however it ends.
        Meanwhile RabbitMQ shows the letters looked at to nobody else. Where the dead-letter queue is a quorum queue
        with a delivery limit, each look counts. A missing queue has no letters. Needs no `open`.
        """
        ...

    async def close(self) -> None:
        """Let go of everything within a few seconds. Closing twice is harmless."""
        ...


def make_broker(settings: BrokerSettings, readiness: Readiness) -> Broker:
    """The implementation that `broker.url` names, not yet connected."""
    if settings.embedded:
        from gridsidecar.broker.embedded import EmbeddedBroker

        return EmbeddedBroker(settings, readiness)
    from gridsidecar.broker.amqp import AmqpBroker

    return AmqpBroker(settings, readiness)
