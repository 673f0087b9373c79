"""Tasks whose rows the database will not write: each comes back later, counted, and is set aside in the end."""

from __future__ import annotations

from msgspec.structs import replace

from gridsidecar import telemetry, wire
from gridsidecar.broker import Delivery
from gridsidecar.delivery.dead_lettering import DeadLettering
from gridsidecar.delivery.settlement import Settlement, ack
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.errors import StoreUnavailable
from gridsidecar.rules.retry import LONGEST_REJECTION_DELAY, rejection_delay
from gridsidecar.rules.task import Message, Task
from gridsidecar.store import RowLocked, RowRejected, TaskStore, TransientRejection
from gridsidecar.waiting import LOCKS, retry_until_available

DELAY_GRACE = 60.0  # seconds


class RowRejections:
    """The database is there and rejects the row of one task. The others go on: nothing waits here, and no slot is kept.

    The count travels with the message, as the row cannot keep it, and whoever gets the message next goes on with it.
    """

    def __init__(self, worker: Worker, store: TaskStore, settlement: Settlement, dead_lettering: DeadLettering) -> None:
        self._worker = worker
        self._env = worker.env
        self._store = store
        self._settlement = settlement
        self._dead_lettering = dead_lettering

    async def claim_rejected(self, task: Task, delivery: Delivery, error: RowRejected) -> None:
        """Nothing has begun. Values that cannot be stored never can; any other reason may pass."""
        message = _rejected_again(task.message, task.message.attempt)
        delay = self._delay(message, error)
        if delay is None or not isinstance(error, TransientRejection):
            await self._dead_letter(task, message, delivery, f"the database cannot store this task: {error}")
            return
        self._tell(task, 0, delay, error)
        await self._settlement.delay_without_row(delivery, message, delay)

    async def end_rejected(self, held: HeldAttempt, error: RowRejected) -> None:
        """An attempt came to its end, and not even its status can be stored."""
        claim = held.claim
        message = _rejected_again(claim.task.message, claim.attempt)
        delay = self._delay(message, error)
        try:
            ours = await self._put_back(held, str(error), delay or 0.0)
        except StoreUnavailable:  # we leave and the database stays away: its row becomes a rescue
            await self._settlement.requeue(held)
            return
        if not ours:
            self._worker.identity.lost(claim)
            await self._settlement.after_attempt(held, None)
            return
        if delay is None:
            reason = f"the database cannot store the end of attempt {claim.attempt}: {error}"
            await self._dead_letter(claim.task, message, held, reason)
            return
        self._tell(claim.task, claim.attempt, delay, error)
        await self._settlement.delay_without_row(held, message, delay)

    def _delay(self, message: Message, error: RowRejected) -> float | None:
        """A lock passes, and is waited for the longer: for more than an hour in all."""
        allowed = self._env.settings.max_crashes
        return rejection_delay(message.rejections, max(allowed, LOCKS) if isinstance(error, RowLocked) else allowed)

    async def _put_back(self, held: HeldAttempt, problem: str, delay: float) -> bool:
        """Whether the task is still ours to send on. A row that takes not even this is left as it is."""
        try:
            return await retry_until_available(
                self._env, lambda: self._store.ends.put_back(held.claim, problem, delay), locks=0
            )
        except RowRejected:
            # Its delayed message brings it back. Should that get lost, the heartbeat gives the row back, once it may.
            self._worker.attempts.unwritable.add(held.claim.task_id, delay + DELAY_GRACE)
            return True

    async def _dead_letter(self, task: Task, message: Message, of: HeldAttempt | Delivery, reason: str) -> None:
        """Its message, and then its row, if it has one, is set aside. Where the dead letters do not take it, it comes
        back later, as often as that."""
        refused = wire.Refused("not-storable", None, reason)
        letter = replace(task.message.counted_anew(0), wake_up=False)  # as its producer sent it
        if not await self._dead_lettering.publish(letter, refused):
            await self._settlement.delay_without_row(of, message, LONGEST_REJECTION_DELAY)
            return
        telemetry.refused(task_id=task.task_id, reason=refused.reason, error=reason)
        self._dead_lettering.tell(refused, task)
        try:
            await retry_until_available(
                self._env, lambda: self._store.ends.set_aside(task.task_id, message.attempt), locks=0
            )
        except (RowRejected, StoreUnavailable) as error:
            telemetry.debug("a row was not set aside", task_id=task.task_id, reason=str(error))
        await ack(of)

    def _tell(self, task: Task, attempt: int, delay: float, error: RowRejected) -> None:
        told = {"task_id": task.task_id, "attempt": attempt or None, "retry_in": delay, "reason": str(error)}
        telemetry.warning("the database refuses a task, it comes back later", **told)


def _rejected_again(message: Message, attempt: int) -> Message:
    return replace(message.counted_anew(attempt), rejections=message.rejections + 1)
