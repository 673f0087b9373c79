"""Cancelling and retrying tasks, as commands, workers and programs do it: the rows first, then the broker is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable

from msgspec.structs import replace

from gridsidecar import failpoints, wire
from gridsidecar.broker import Broker
from gridsidecar.errors import AccessRefused, BrokerUnavailable, PublishRefused
from gridsidecar.rules import steering
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Status
from gridsidecar.store import OperationKind, Store

WAITING = (Status.PENDING, Status.RETRYING, Status.RUNNING)
MEANT = {OperationKind.CANCEL: WAITING, OperationKind.RETRY: (Status.FAILED,)}  # by a filter that names no status
POSSIBLE = {OperationKind.CANCEL: WAITING, OperationKind.RETRY: (Status.FAILED, Status.CANCELLED)}
RULES = {OperationKind.CANCEL: steering.cancel, OperationKind.RETRY: steering.retry}
LONGEST_SPREAD = 7 * 86400.0  # seconds

Outcomes = dict[str, Steered]


def possible(ids: Collection[str]) -> tuple[list[str], Outcomes]:
    """Those that a task can have, and what comes of the others, which no operation can hold."""
    wrong = {task_id: Steered.NOT_FOUND for task_id in ids if wire.task_id_problem(task_id) is not None}
    return [task_id for task_id in ids if task_id not in wrong], wrong


class Driver:
    """Does what an operation asks. `unsent` says why tasks that are to run again were not sent to the queue: then
    workers bring them back by and by."""

    def __init__(self, store: Store, broker: Broker | None, unsent: str | None = None) -> None:
        """Without a broker nothing is sent, and `unsent` says why."""
        self._store = store
        self._broker = broker
        self.unsent = unsent

    async def steer(self, kind: OperationKind, ids: Iterable[str]) -> Outcomes:
        """A few tasks, at once and in one transaction."""
        if kind is OperationKind.CANCEL:
            return await self._store.steering.cancel(ids)
        outcomes = await self._store.steering.retry(ids)
        await self._send(outcomes)
        return outcomes

    async def drive(self, operation: str) -> AsyncIterator[Outcomes]:
        """Go on with a stored operation to its end; what came of the tasks, some at a time.

        Raises `NotDriven` where somebody else drives it. What is broken off can be gone on with by anybody.
        """
        if self._broker is not None:
            self.unsent = None
        known = await self._store.operations.take(operation)
        if not known.collected:
            await self._store.operations.collect(known)
        while True:
            known = await self._store.operations.take(operation)
            outcomes = await self._store.operations.step(known)
            if not outcomes:
                return
            await failpoints.reached("operation_stepped")
            if known.kind is OperationKind.RETRY:
                await self._send(outcomes)
            yield outcomes

    async def _send(self, outcomes: Outcomes) -> None:
        if self._broker is None or self.unsent is not None:  # nobody waits for it once more with each batch
            return
        again = [task_id for task_id, outcome in outcomes.items() if outcome is Steered.RETRIED]
        try:
            async for _, message, wait in self._store.steering.wake_ups(again):
                if wait > 0:  # as the delayed message of a retry: a wake-up that comes too early is nothing
                    await self._broker.publish_delayed(replace(message, wake_up=False), wait)
                else:
                    await self._broker.publish(message)
        except (BrokerUnavailable, AccessRefused, PublishRefused) as error:
            self.unsent = str(error)
