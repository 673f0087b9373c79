"""The end of a delivery: delay and ack, or requeue. Nothing is acked before what follows it is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never

from msgspec.structs import replace

from gridsidecar import failpoints, telemetry
from gridsidecar.broker import Broker, Delivery
from gridsidecar.clock import backoff
from gridsidecar.delivery.republished import GAP, Republished
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.errors import AccessRefused, BrokerUnavailable, PublishRefused
from gridsidecar.rules.flow import Park, Reserve
from gridsidecar.rules.reception import (
    AckOnly,
    AwaitOwnProcess,
    AwaitSlot,
    Begin,
    Close,
    Delay,
    Insert,
    Reattach,
    Resume,
)
from gridsidecar.rules.task import Message, Settle, Task, TaskUpdate, Transition
from gridsidecar.runtime.shutdown import Phase
from gridsidecar.store import Answer, TaskStore
from gridsidecar.waiting import retry_until_available

SOON = 0.25  # seconds that are waited for in hand: no delay queue of RabbitMQ is shorter than a second


class Settlement:
    """Settles deliveries. Waits for a broker that is away, as long as this worker stays."""

    def __init__(self, worker: Worker, broker: Broker, store: TaskStore) -> None:
        self._worker = worker
        self._env = worker.env
        self._broker = broker
        self._store = store
        self._republished = Republished(self._env.clock)
        self._told_duplicate = ("", "")  # task and reason, of the last that a producer sent

    async def after_attempt(self, held: HeldAttempt, transition: Transition | None) -> None:
        """An attempt's end is stored; None: the task belongs to somebody else by now."""
        if transition is None:
            await ack(held)
            return
        match transition.settle:
            case Settle.ACK:
                await ack(held)
            case Settle.DELAY:
                message = held.claim.task.message.counted_anew(held.claim.attempt)
                await self._delay_with_row(held.claim.task_id, message, transition.delay or 0.0, held)
            case Settle.REQUEUE:
                await self.requeue(held)
            case _:
                assert_never(transition.settle)

    async def without_attempt(self, task: Task, delivery: Delivery, answer: Answer) -> None:
        """Of a delivery that starts no attempt, by what the rules or the store made of it."""
        match answer.reception:
            case AckOnly(why):
                self._tell_duplicate(task, why)
                await delivery.ack()
            case Delay(delay=delay, elsewhere=elsewhere, leaseless=leaseless):
                if leaseless:
                    telemetry.leaseless(task_id=task.task_id, looks_again_in=delay)
                seen = task.message.seen_running + 1 if elsewhere else 0
                message = replace(task.message, attempt=answer.attempt, seen_running=seen)
                await self._delay_with_row(task.task_id, message, delay, delivery)
            case Park():
                await failpoints.reached("parked")
                telemetry.debug("task parked, its type is paused", task_id=task.task_id, type=task.task_type)
                await delivery.ack()
            case Reserve(delay=delay):
                message = replace(task.message, attempt=answer.attempt)
                await self._delay_with_row(task.task_id, message, delay, delivery)
            case Close() as close:
                self._tell_closed(task, close, answer.attempt)
                await delivery.ack()
            case Insert() | Begin() | Resume() | Reattach() | AwaitSlot() | AwaitOwnProcess():
                raise AssertionError("this one is not to be settled now")
            case _:
                assert_never(answer.reception)

    def _tell_duplicate(self, task: Task, why: str) -> None:
        """A producer that sends one task over and over is told of it once, not with every copy."""
        from_producer = not (task.message.attempt or task.message.wake_up)
        duplicate = (task.task_id, why)
        news = from_producer and duplicate != self._told_duplicate
        telemetry.duplicate(task_id=task.task_id, why=why, news=news)
        if from_producer:
            self._told_duplicate = duplicate

    def _tell_closed(self, task: Task, close: Close, attempt: int) -> None:
        update = TaskUpdate(
            task_id=task.task_id,
            task_type=task.task_type,
            status=close.status,
            attempt=attempt,
            task=task,
            error=close.error,
            error_type=close.error_type,
        )
        self._env.tell(update)

    async def requeue(self, held: HeldAttempt) -> None:
        """To be handed out again at once; a wake-up where the delivery was handed off."""
        held.settled = True
        if held.delivery is not None:
            await held.delivery.requeue()
            await failpoints.reached("requeued")
            return
        wake_up = replace(held.claim.task.message.counted_anew(held.claim.attempt), message_id=None, wake_up=True)
        try:
            await self._broker.publish(wake_up)
        except (BrokerUnavailable, AccessRefused, PublishRefused) as error:  # handed off: maintenance finds the row
            telemetry.warning("nudge not sent", task_id=held.claim.task_id, reason=str(error))

    async def republish(self, task: Task, delivery: Delivery, attempt: int) -> None:
        """Its turn did not come: to the end of the queue, then ack. Requeued too often, a quorum queue drops it.

        Not as a delayed message: a task without a row has nobody to miss it, should a delay queue lose it.
        """
        telemetry.debug("waited too long for its turn, sent anew", task_id=task.task_id)
        message = replace(task.message, message_id=None, attempt=attempt, wake_up=False)
        try:
            await self.until_sent(lambda: self._broker.publish(message))
        except (PublishRefused, BrokerUnavailable):
            await delivery.requeue()
        else:
            await failpoints.reached("republished")
            await delivery.ack()

    async def reset_returns(self, task: Task, delivery: Delivery) -> bool:
        """Publish a message that came back without a start again, as it is: at the end of the queue, where the broker
        counts its returns from 0. False when the broker does not take it now."""
        if not await self.send_anew(delivery):
            return False
        telemetry.debug("came back without a start, sent anew", task_id=task.task_id, returns=delivery.returns)
        return True

    async def send_anew(self, delivery: Delivery) -> bool:
        """Publish a message again, as it is, then ack. False when the broker does not take it now."""
        try:
            await self._broker.publish(delivery.message)
        except (PublishRefused, BrokerUnavailable, AccessRefused):
            return False
        await delivery.ack()
        return True

    async def pass_on(self, task: Task, delivery: Delivery, attempt: int, delay: float) -> None:
        """To the workers that have a handler for it, after a while; what they know of it by its row stays as it is."""
        telemetry.debug("sent on to workers that have a handler for it", task_id=task.task_id, delay=delay)
        before = task.message.passed
        away = replace(task.message, attempt=attempt, passed=before + round(delay))
        last_round = round(GAP) if task.message.body in self._republished else 0
        await self.delay_without_row(delivery, away, delay, at_once=replace(away, passed=before + last_round))

    async def delay_without_row(
        self, of: HeldAttempt | Delivery, message: Message, delay: float, at_once: Message | None = None
    ) -> None:
        """Back after `delay` seconds, then ack: of what no row brings back. Where nothing can be delayed it goes (as
        `at_once`) to the end of the queue; never by requeuing it, which a quorum queue counts, while the broker takes
        anything."""
        later, now = (replace(each, message_id=None, wake_up=False) for each in (message, at_once or message))
        try:
            try:
                await self.until_sent(lambda: self._broker.publish_delayed(later, delay))
            except PublishRefused:
                await self._env.clock.sleep(self._republished.rest(now.body))
                await self.until_sent(lambda: self._broker.publish(now))
                self._republished.sent(now.body)
        except (PublishRefused, BrokerUnavailable):
            await (self.requeue(of) if isinstance(of, HeldAttempt) else of.requeue())
        else:
            await failpoints.reached("republished")
            await ack(of)

    async def _delay_with_row(self, task_id: str, message: Message, delay: float, of: HeldAttempt | Delivery) -> None:
        """Back after `delay` seconds, then ack: of a task whose row brings it back where nothing can be delayed. The
        delayed message is confirmed before the ack: a crash between gives a duplicate, never a loss."""
        delayed = replace(message, message_id=None, wake_up=False)
        try:
            await self.until_sent(lambda: self._send_delayed(delayed, delay))
            await failpoints.reached("delay_published")
        except PublishRefused as error:
            telemetry.warning("alarm refused; the store brings it back", task_id=task_id, reason=str(error))
            scheduled = await retry_until_available(self._env, lambda: self._store.schedule(task_id, message.attempt))
            await failpoints.reached("scheduled")
            if not scheduled and not isinstance(of, HeldAttempt):
                await of.requeue()  # the row has moved on, so this message may mean something else by now
                return
        except BrokerUnavailable:  # out of patience: never acked, so the message comes back by itself
            return
        await ack(of)

    async def _send_delayed(self, delayed: Message, delay: float) -> None:
        if 0 < delay <= SOON:
            await self._env.clock.sleep(delay)
            await self._broker.publish(delayed)
        else:
            await self._broker.publish_delayed(delayed, delay)

    async def until_sent(self, send: Callable[[], Awaitable[None]]) -> None:
        """A login that is refused is waited out, too: it worked before, and a broker that comes up refuses at first.
        One queue that is refused is `PublishRefused`, and nobody waits for it."""
        failures = 0
        while True:
            try:
                await send()
                return self._env.readiness.clear("publishing")
            except (BrokerUnavailable, AccessRefused) as error:
                if self._env.shutdown.phase >= Phase.KILLING:
                    raise BrokerUnavailable(str(error)) from error
                self._env.readiness.blocked("publishing", str(error))
            failures += 1
            await self._env.clock.sleep(backoff(failures, base=0.2, limit=5.0, rng=self._env.rng))


async def ack(of: HeldAttempt | Delivery) -> None:
    """All that follows is safe: the broker may forget the message."""
    delivery: Delivery | None
    if isinstance(of, HeldAttempt):
        of.settled = True
        delivery = of.delivery
    else:
        delivery = of
    if delivery is not None:
        await delivery.ack()
        await failpoints.reached("acked")
