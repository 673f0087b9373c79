"""The end of a delivery: delay and ack, give back, or dead-letter. Nothing is acked before what follows it is safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never
from uuid import uuid4

from msgspec.structs import replace

from gridsidecar import failpoints, telemetry, wire
from gridsidecar.broker import Broker, Delivery
from gridsidecar.clock import backoff
from gridsidecar.delivery.requeued import GAP, Requeued
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.errors import AccessRefused, BrokerUnavailable, PublishRefused
from gridsidecar.rules.flow import Park, Reserve
from gridsidecar.rules.reception import AwaitSlot, Begin, Close, Drop, Insert, Reattach, Resume, Wait
from gridsidecar.rules.retry import LONGEST_SETBACK
from gridsidecar.rules.task import ErrorType, Message, Settle, Status, Task, TaskUpdate, Transition
from gridsidecar.shutdown import Phase
from gridsidecar.store import Received, RowRejected, Store
from gridsidecar.waiting import retry_until_available

GOES_ROUND = 60.0  # seconds
SOON = 0.25  # seconds that are waited for in hand: no delay queue of RabbitMQ is shorter than a second
KEPT = "refused-"  # how the ids of rows begin that keep what no dead-letter queue takes


class Settlement:
    """Settles deliveries. Rides out a broker that is away, until this worker's patience runs out."""

    def __init__(self, worker: Worker, broker: Broker, store: Store) -> None:
        self._worker = worker
        self._env = worker.env
        self._broker = broker
        self._store = store
        self._requeued = Requeued(self._env.clock)
        self._told_duplicate = ("", "")  # task and reason, of the last that a producer sent

    async def ended(self, held: HeldAttempt, transition: Transition | None) -> None:
        """An attempt's end is stored; None: the task belongs to somebody else by now."""
        if transition is None:
            await _ack(held)
            return
        match transition.settle:
            case Settle.ACK:
                await _ack(held)
            case Settle.DELAY:
                message = held.claim.task.message.counted_anew(held.claim.attempt)
                await self._delay_then_ack(held.claim.task_id, message, transition.delay or 0.0, held)
            case Settle.GIVE_BACK:
                await self.give_back(held)
            case _:
                assert_never(transition.settle)

    async def unstarted(self, task: Task, delivery: Delivery, received: Received) -> None:
        """A delivery that starts no attempt."""
        match received.reception:
            case Drop(why):
                self._tell_duplicate(task, why)
                await delivery.ack()
            case Wait(delay=delay, busy=busy, leaseless=leaseless):
                if leaseless:
                    telemetry.leaseless(task_id=task.task_id, looks_again_in=delay)
                seen = task.message.busy + 1 if busy else 0
                message = replace(task.message, attempt=received.attempt, busy=seen)
                await self._delay_then_ack(task.task_id, message, delay, delivery)
            case Park():
                await failpoints.reached("parked")
                telemetry.debug("task parked, its type is paused", task_id=task.task_id, type=task.task_type)
                await delivery.ack()
            case Reserve(delay=delay):
                message = replace(task.message, attempt=received.attempt)
                await self._delay_then_ack(task.task_id, message, delay, delivery)
            case Close() as close:
                self._tell_closed(task, close, received.attempt)
                await delivery.ack()
            case Insert() | Begin() | Resume() | Reattach() | AwaitSlot():
                raise AssertionError("this one is not to be settled now")
            case _:
                assert_never(received.reception)

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
        telemetry.task_update(update)
        self._env.tell(update)

    async def give_back(self, held: HeldAttempt) -> None:
        """To be handed out again at once; a wake-up where the delivery was handed off."""
        held.settled = True
        if held.delivery is not None:
            await held.delivery.give_back()
            await failpoints.reached("given_back")
            return
        wake_up = replace(held.claim.task.message.counted_anew(held.claim.attempt), message_id=None, wake_up=True)
        try:
            await self._broker.publish(wake_up)
        except (BrokerUnavailable, AccessRefused, PublishRefused) as error:  # handed off: maintenance finds the row
            telemetry.warning("nudge not sent", task_id=held.claim.task_id, reason=str(error))

    async def send_anew(self, task: Task, delivery: Delivery, attempt: int) -> None:
        """To the end of the queue, then ack: given back too often, a quorum queue would throw the message away.

        Not as a delayed message: a task without a row has nobody to miss it, should a delay queue lose it.
        """
        telemetry.debug("waited too long for its turn, sent anew", task_id=task.task_id)
        message = replace(task.message, message_id=None, attempt=attempt, wake_up=False)
        try:
            await self._until_sent(lambda: self._broker.publish(message))
        except (PublishRefused, BrokerUnavailable):
            await delivery.give_back()
        else:
            await failpoints.reached("sent_anew")
            await delivery.ack()

    async def renew(self, task: Task, delivery: Delivery) -> bool:
        """Put a message that came back in the place of itself, at the end of the queue and with no returns counted.
        False when the broker does not take it now."""
        try:
            await self._broker.publish(task.message)
        except (PublishRefused, BrokerUnavailable, AccessRefused):
            return False
        telemetry.debug("came back without a start, sent anew", task_id=task.task_id, returns=delivery.returns)
        await delivery.ack()
        return True

    async def pass_on(self, task: Task, delivery: Delivery, attempt: int, delay: float) -> None:
        """To the workers that have a handler for it, after a while; what they know of it by its row stays as it is."""
        telemetry.debug("sent on to workers that have a handler for it", task_id=task.task_id, delay=delay)
        before = task.message.passed
        away = replace(task.message, attempt=attempt, passed=before + round(delay))
        last_round = round(GAP) if task.message.body in self._requeued else 0
        await self.send_round(delivery, away, delay, at_once=replace(away, passed=before + last_round))

    async def give_up(self, task: Task, delivery: Delivery, refused: wire.Refused) -> None:
        """Nobody took what was passed on: a dead letter, and the end of a task that waits for another attempt."""
        ended = await retry_until_available(
            self._env, lambda: self._store.end_waiting(task, refused.error), starting=True
        )
        if ended:
            self._tell_refused(refused, task)
        await self.refuse(delivery, refused, task)

    async def send_round(
        self, of: HeldAttempt | Delivery, message: Message, delay: float, at_once: Message | None = None
    ) -> None:
        """Back after `delay` seconds, or (as `at_once`) to the end of the queue where nothing can be delayed: for what
        no row brings back. Never by giving it back, which a quorum queue counts, while the broker takes anything."""
        later, now = (replace(each, message_id=None, wake_up=False) for each in (message, at_once or message))
        try:
            try:
                await self._until_sent(lambda: self._broker.publish_delayed(later, delay))
            except PublishRefused:
                await self._env.clock.sleep(self._requeued.rest(now.body))
                await self._until_sent(lambda: self._broker.publish(now))
                self._requeued.sent(now.body)
        except (PublishRefused, BrokerUnavailable):
            await (self.give_back(of) if isinstance(of, HeldAttempt) else of.give_back())
        else:
            await failpoints.reached("sent_anew")
            await _ack(of)

    async def refuse(self, delivery: Delivery, refused: wire.Refused, task: Task | None = None) -> None:
        """Dead-letter with the reason, note it where the id is usable and free, ack. What cannot be dead-lettered is
        kept by the store, which sends it again and again until it can."""
        message = delivery.message
        buried = await self._bury(message, refused)
        try:
            await (self._note if buried else self._keep)(message, refused, task)
        except RowRejected as error:
            telemetry.debug("a refused message has no place, it goes round", reason=str(error))
            await self.send_round(delivery, message, GOES_ROUND)
        else:
            await delivery.ack()

    async def _bury(self, message: Message, refused: wire.Refused) -> bool:
        """Whether the dead-letter queue took it. A refusal of that one queue is no outage: nobody waits for its end."""
        letter = replace(message, passed=0, kept=None)
        try:
            await self._until_sent(lambda: self._broker.dead_letter(letter, f"{refused.reason}: {refused.error}"))
        except PublishRefused as error:
            self._env.readiness.blocked("dead letters", str(error))
            return False
        self._env.readiness.clear("dead letters")
        await failpoints.reached("dead_lettered")
        return True

    async def _keep(self, message: Message, refused: wire.Refused, task: Task | None) -> None:
        """Raises `RowRejected`."""
        row_id = message.kept or f"{KEPT}{uuid4().hex}"
        kept = await retry_until_available(
            self._env, lambda: self._store.refusals.keep(message, row_id, refused.error), starting=True
        )
        telemetry.kept(row=row_id, reason=refused.reason, news=kept)
        if kept:
            await self._note(replace(message, kept=None), refused, task)

    async def _note(self, message: Message, refused: wire.Refused, task: Task | None) -> None:
        """Record and tell a refusal, once: what a row kept was told of when it got there."""
        kept = message.kept
        if kept is not None:
            await retry_until_available(self._env, lambda: self._store.refusals.forget(kept), starting=True)
            return
        noted = refused.task_id is None
        if refused.task_id is not None:
            noted = await retry_until_available(
                self._env,
                lambda: self._store.refusals.record(message, str(refused.task_id), refused.error, task),
                starting=True,
            )
            await failpoints.reached("refusal_recorded")
        telemetry.refused(task_id=refused.task_id, reason=refused.reason, error=refused.error)
        if noted:
            self._tell_refused(refused, task)

    async def bury(self, task: Task, message: Message, of: HeldAttempt | Delivery, reason: str) -> bool:
        """A task that no database takes goes to the dead letters, as its producer sent it; it is not acked yet. False
        where they do not take it: then it comes back later, as often as that."""
        refused = wire.Refused("not-storable", None, reason)
        if not await self._bury(replace(task.message.counted_anew(0), wake_up=False), refused):
            await self.send_round(of, message, LONGEST_SETBACK)
            return False
        telemetry.refused(task_id=task.task_id, reason=refused.reason, error=reason)
        self._tell_refused(refused, task)
        return True

    async def settled(self, of: HeldAttempt | Delivery) -> None:
        """All that follows is safe: the broker may forget the message."""
        await _ack(of)

    def _tell_refused(self, refused: wire.Refused, task: Task | None) -> None:
        self._env.tell(
            TaskUpdate(
                task_id=refused.task_id or (task.task_id if task else ""),
                task_type=task.task_type if task else "default",
                status=Status.FAILED,
                attempt=0,
                task=task,
                error=refused.error,
                error_type=ErrorType.VALIDATION,
            )
        )

    async def _delay_then_ack(self, task_id: str, message: Message, delay: float, of: HeldAttempt | Delivery) -> None:
        """The delayed message is confirmed before the ack: a crash between gives a duplicate, never a loss."""
        delayed = replace(message, message_id=None, wake_up=False)
        try:
            await self._until_sent(lambda: self._sent_for(delayed, delay))
            await failpoints.reached("delay_published")
        except PublishRefused as error:
            telemetry.warning("alarm refused; the store brings it back", task_id=task_id, reason=str(error))
            scheduled = await retry_until_available(self._env, lambda: self._store.schedule(task_id, message.attempt))
            await failpoints.reached("scheduled")
            if not scheduled and not isinstance(of, HeldAttempt):
                await of.give_back()  # the row has moved on, so this message may mean something else by now
                return
        except BrokerUnavailable:  # out of patience: never acked, so the message comes back by itself
            return
        await _ack(of)

    async def _sent_for(self, delayed: Message, delay: float) -> None:
        if 0 < delay <= SOON:
            await self._env.clock.sleep(delay)
            await self._broker.publish(delayed)
        else:
            await self._broker.publish_delayed(delayed, delay)

    async def _until_sent(self, send: Callable[[], Awaitable[None]]) -> None:
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


async def _ack(of: HeldAttempt | Delivery) -> None:
    delivery: Delivery | None
    if isinstance(of, HeldAttempt):
        of.settled = True
        delivery = of.delivery
    else:
        delivery = of
    if delivery is not None:
        await delivery.ack()
        await failpoints.reached("acked")
