"""Which task types are paused, as this worker knows it; and bringing back what was parked when a pause is over."""

from __future__ import annotations

import asyncio

from gridsidecar import failpoints, telemetry
from gridsidecar.broker import Broker
from gridsidecar.delivery.worker import Worker
from gridsidecar.errors import AccessRefused, BrokerUnavailable, GridSidecarError, PublishRefused
from gridsidecar.language.failures import tripped
from gridsidecar.language.quoting import theirs
from gridsidecar.rules.flow import Pause
from gridsidecar.rules.task import Message
from gridsidecar.store import Pauses

POLL_INTERVAL = 1.0  # seconds
ROOM = 500  # messages in the queue from which on nothing is brought back: what others send is not to wait behind it
MAX_WAIT = 15.0  # seconds for which a queue that is never short keeps parked tasks back
BATCHES_PER_CHECK = 20
AT_ONCE = 50  # wake-ups on their way to the broker


class Pausing:
    """Looks at the pauses now and then: one small query, whatever runs."""

    def __init__(self, worker: Worker, broker: Broker, pauses: Pauses) -> None:
        self._worker = worker
        self._env = worker.env
        self._broker = broker
        self._pauses = pauses
        self._released_at = 0.0  # monotonic seconds

    async def check(self) -> None:
        """Know what is paused, try what breakers hold back, release what is lifted. Raises `StoreUnavailable`."""
        found = await self.read()
        for pause in found:
            if pause.wants_probe and (wake_up := await self._pauses.probe(pause.task_type)) is not None:
                telemetry.info("a task of a paused type is tried", type=pause.task_type)
                await failpoints.reached("probe_taken")
                await self._publish([wake_up])
        lifted = [pause.task_type for pause in found if pause.lifted]
        self._env.rng.shuffle(lifted)  # what comes first may fill the queue each time
        for task_type in lifted:
            await self._release(task_type)

    async def read(self) -> list[Pause]:
        """Know what is paused. Raises `StoreUnavailable`."""
        found = await self._pauses.read()
        before = self._env.paused
        now = {pause.task_type: pause for pause in found if not pause.lifted}
        self._env.paused = now
        moment = self._env.clock.monotonic()
        self._env.paused_at = {task_type: self._env.paused_at.get(task_type, moment) for task_type in now}
        for task_type in now.keys() - before.keys():
            self._begins(now[task_type])
        for task_type in before.keys() - now.keys():
            telemetry.info("task type resumed", type=task_type)
        return found

    def _begins(self, pause: Pause) -> None:
        reason = pause.reason and (tripped if pause.cool_down is not None else theirs)(pause.reason)
        telemetry.warning("task type paused", type=pause.task_type, until=pause.until, reason=reason)
        for held in self._worker.attempts:
            if held.claim.task.task_type == pause.task_type and held.slot.ahead:
                held.slot.give_up()  # it has not started: back to the queue, and parked from there

    async def _release(self, task_type: str) -> None:
        """A bounded share while the queue is short; now and then a little, however long it is."""
        for _ in range(BATCHES_PER_CHECK):
            now = self._env.clock.monotonic()
            if now - self._released_at < MAX_WAIT and await self._crowded():
                return
            self._released_at = now
            released = await self._pauses.release(task_type)
            await failpoints.reached("released")
            if released.forgotten or not released.rows:  # what the database does not change stays
                return
            telemetry.debug("parked tasks come back", type=task_type, tasks=released.rows)
            if not await self._publish(released.wake_ups):
                return

    async def _crowded(self) -> bool:
        try:
            return await self._broker.ready_count() >= ROOM
        except GridSidecarError:  # it will take no wake-ups either
            return True

    async def _publish(self, wake_ups: list[Message]) -> bool:
        """False where the broker is away. What did not get there is found by maintenance, a minute later."""
        for start in range(0, len(wake_ups), AT_ONCE):
            sent = await asyncio.gather(
                *map(self._broker.publish, wake_ups[start : start + AT_ONCE]), return_exceptions=True
            )
            for problem in sent:
                if isinstance(problem, BrokerUnavailable | AccessRefused):
                    telemetry.warning("nudges not sent; they are tried again at a doubled gap", reason=str(problem))
                    return False
                if isinstance(problem, PublishRefused):
                    telemetry.warning("nudge refused; it is tried again at a doubled gap", reason=str(problem))
                elif isinstance(problem, BaseException):
                    telemetry.unexpected_error(problem)
        return True
