"""What can never run: to the dead letters with the reason, a row that says so, then the ack."""

from __future__ import annotations

from uuid import uuid4

from msgspec.structs import replace

from gridsidecar import failpoints, telemetry, wire
from gridsidecar.broker import Broker, Delivery
from gridsidecar.delivery.settlement import Settlement
from gridsidecar.delivery.worker import Worker
from gridsidecar.errors import PublishRefused
from gridsidecar.rules.task import ErrorType, Message, Status, Task, TaskUpdate
from gridsidecar.store import RowRejected, TaskStore
from gridsidecar.waiting import retry_until_available

GOES_ROUND = 60.0  # seconds
KEPT = "refused-"  # how the ids of rows begin that keep what no dead-letter queue takes


class DeadLettering:
    """Dead-letters deliveries, and settles them."""

    def __init__(self, worker: Worker, broker: Broker, store: TaskStore, settlement: Settlement) -> None:
        self._env = worker.env
        self._broker = broker
        self._store = store
        self._settlement = settlement

    async def end_and_dead_letter(self, task: Task, delivery: Delivery, refused: wire.Refused) -> None:
        """Nobody took what was passed on: a dead letter, and the end of a task that waits for another attempt."""
        ended = await retry_until_available(
            self._env, lambda: self._store.end_waiting(task, refused.error), before_start=True
        )
        if ended:
            self.tell(refused, task)
        await self.dead_letter(delivery, refused, task)

    async def dead_letter(self, delivery: Delivery, refused: wire.Refused, task: Task | None = None) -> None:
        """Dead-letter with the reason, note it where the id is usable and free, ack. What cannot be dead-lettered is
        kept by the store, which sends it again and again until it can."""
        message = delivery.message
        taken = await self.publish(message, refused)
        try:
            await (self._note if taken else self._keep)(message, refused, task)
        except RowRejected as error:
            telemetry.debug("a refused message has no place, it goes round", reason=str(error))
            await self._settlement.delay_without_row(delivery, message, GOES_ROUND)
        else:
            await delivery.ack()

    async def publish(self, message: Message, refused: wire.Refused) -> bool:
        """Whether the dead-letter queue took it; nothing is noted, and nothing acked. A refusal of that one queue is no
        outage: nobody waits for its end."""
        letter = replace(message, passed=0, kept=None)
        reason = f"{refused.reason}: {refused.error}"
        try:
            await self._settlement.until_sent(lambda: self._broker.dead_letter(letter, reason))
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
            self._env, lambda: self._store.refused_messages.keep(message, row_id, refused.error), before_start=True
        )
        telemetry.kept(row=row_id, reason=refused.reason, news=kept)
        if kept:
            await self._note(replace(message, kept=None), refused, task)

    async def _note(self, message: Message, refused: wire.Refused, task: Task | None) -> None:
        """Record and tell a refusal, once: what a row kept was told of when it got there."""
        kept = message.kept
        if kept is not None:
            await retry_until_available(self._env, lambda: self._store.refused_messages.forget(kept), before_start=True)
            return
        noted = refused.task_id is None
        if refused.task_id is not None:
            noted = await retry_until_available(
                self._env,
                lambda: self._store.refused_messages.record(message, str(refused.task_id), refused.error, task),
                before_start=True,
            )
            await failpoints.reached("refusal_recorded")
        telemetry.refused(task_id=refused.task_id, reason=refused.reason, error=refused.error)
        if noted:
            self.tell(refused, task)

    def tell(self, refused: wire.Refused, task: Task | None) -> None:
        """The task has failed, for whoever listens."""
        self._env.tell_listeners(
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
