"""The way of a delivery to an attempt: duplicates out, wait for command and slot, claim the row, hold it in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gridsidecar import failpoints
from gridsidecar.broker import Delivery
from gridsidecar.clock import backoff
from gridsidecar.handler import StopReason
from gridsidecar.lifecycle import Begin, Insert, Unstarted
from gridsidecar.retry import pass_on_delay, passed_enough
from gridsidecar.settlement import Settlement
from gridsidecar.store import Received, Store
from gridsidecar.task import Task
from gridsidecar.worker import GiveBack, HeldAttempt, Lane, Worker

OTHERS_FIRST = 0.05  # seconds that a task of others is held when it comes round again
COMMAND_CHECK_LIMIT = 5.0  # seconds between two looks for a command that is missing


@dataclass(slots=True, eq=False)
class _Gate:
    """Deliveries of one task get through one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Admission:
    """Lets a delivery through to an attempt, or settles it. One delivery of a task at a time, so that what memory and
    row say of it cannot disagree."""

    def __init__(self, worker: Worker, store: Store, settlement: Settlement, patience: float) -> None:
        self._worker = worker
        self._store = store
        self._settlement = settlement
        self._patience = patience  # seconds that a delivery may wait for its turn
        self._gates: dict[str, _Gate] = {}
        self._waiting: set[asyncio.Task[None]] = set()  # jobs that hold nothing but a delivery
        self._watches: dict[str, asyncio.Task[None]] = {}  # for commands that are missing, by lane

    async def admit(self, task: Task, delivery: Delivery, lane: Lane) -> HeldAttempt | None:
        """The attempt that this delivery starts, in memory and in a slot until `dismiss`; None when it starts none, and
        is settled. Raises `GiveBack` when it must be given back."""
        received_at = self._worker.clock.monotonic()
        gate = self._gates.setdefault(task.task_id, _Gate())
        gate.users += 1
        try:
            if not await self._got(gate):
                await self._postpone(task, delivery)
                return None
            try:
                if await self._settled_early(task, delivery, lane) or await self._renewed(task, delivery):
                    return None
                return await self._enter(task, delivery, lane, received_at)
            finally:
                gate.lock.release()
        finally:
            gate.users -= 1
            if not gate.users:
                del self._gates[task.task_id]

    async def _got(self, gate: _Gate) -> bool:
        """Wait for the turn, while our patience with the delivery lasts."""
        if gate.users == 1:  # most often: no timer is needed
            return await gate.lock.acquire()
        try:
            async with asyncio.timeout(self._patience):
                return await gate.lock.acquire()
        except TimeoutError:
            return False

    def dismiss(self, held: HeldAttempt, lane: Lane) -> None:
        """The attempt is settled: out of memory, out of its slot."""
        if self._worker.attempts.get(held.claim.task_id) is held:
            del self._worker.attempts[held.claim.task_id]
        held.gone.set()
        self._release_slot(lane)

    def stop_waiting(self) -> None:
        """Whatever waits for a command or a slot is cancelled."""
        for job in (*self._waiting, *self._watches.values()):
            job.cancel()

    async def _settled_early(self, task: Task, delivery: Delivery, lane: Lane) -> bool:
        """A duplicate must not wait for a slot: the attempt that it repeats may be the one that fills it."""
        if not self._must_wait(lane) and task.task_id not in self._worker.attempts:
            return False
        return await self._unless_unstarted(task, delivery) is None

    async def _renewed(self, task: Task, delivery: Delivery) -> bool:
        """A quorum queue throws away what came back too often, with whatever took its worker down. A task that ever
        started has a row, and maintenance to bring it back; of any other, nothing but its message is known."""
        if not delivery.returns:
            return False
        me = self._worker.me(task.task_id, redelivered=delivery.redelivered)
        received = await self._worker.ride_out(lambda: self._store.look(task, me), starting=True, reading=True)
        match received.reception:
            case Insert() | Begin(attempt=1, rescues=False):
                return await self._settlement.renew(task, delivery)
            case _:
                return False

    async def _enter(self, task: Task, delivery: Delivery, lane: Lane, received_at: float) -> HeldAttempt | None:
        try:
            await (self._wait_for_slot(lane) if self._must_wait(lane) else self._take_slot(lane))
        except TimeoutError:
            await self._postpone(task, delivery)
            return None
        held: HeldAttempt | None = None
        self._worker.claiming[task.task_id] = self._worker.lease_for(task.task_id)
        try:
            received = await self._claim(task, delivery, lane)
            if task.task_id in self._worker.returning:
                raise GiveBack
            if received.claim is None:
                await self._settlement.unstarted(task, delivery, received)
                return None
            await failpoints.reached("claimed")
            await self._end_superseded(task.task_id)
            held = HeldAttempt(received.claim, delivery, received_at)
            self._worker.hold(held)
            return held
        finally:
            self._worker.claiming.pop(task.task_id, None)
            if held is None:
                self._release_slot(lane)

    def _must_wait(self, lane: Lane) -> bool:
        return (
            self._worker.slots.locked()
            or lane.slots.locked()
            or lane.rest.until > self._worker.clock.monotonic()
            or lane.handler.cannot_start() is not None
        )

    async def _wait_for_slot(self, lane: Lane) -> None:
        """Raises `TimeoutError` when that takes longer than this worker may hold a delivery, `GiveBack` on leaving."""
        if self._worker.leaving:  # too late for `stop_waiting` to find us
            raise GiveBack
        job = asyncio.current_task()
        assert job is not None
        self._waiting.add(job)
        try:
            async with asyncio.timeout(self._patience):
                await self._until_startable(lane)
                await self._take_slot(lane)
        finally:
            self._waiting.discard(job)

    async def _postpone(self, task: Task, delivery: Delivery) -> None:
        """The broker's patience with this delivery ends before its turn comes."""
        received = await self._unless_unstarted(task, delivery)
        if received is not None:
            await self._settlement.send_anew(task, delivery, received.attempt)

    async def pass_on(self, task: Task, delivery: Delivery) -> bool:
        """This worker cannot run it, others may. False when that was done for long enough: it is still to be settled.

        It counts as long enough only while nobody runs such a task: a worker that does may be too busy for this one.
        """
        if task.message.passed:  # whoever passes on is quicker than whoever works, and must not take all there is
            await self._worker.clock.sleep(OTHERS_FIRST)
        received = await self._unless_unstarted(task, delivery)
        if received is None:
            return True
        if passed_enough(task.message.passed) and not await self._worker.ride_out(
            lambda: self._store.is_running_one(task.task_type), starting=True, reading=True
        ):
            return False
        delay = pass_on_delay(task.message.passed, self._worker.rng)
        await self._settlement.pass_on(task, delivery, received.attempt, delay)
        return True

    async def _unless_unstarted(self, task: Task, delivery: Delivery) -> Received | None:
        """What this delivery would start; None when that is nothing, and it is settled."""
        me = self._worker.me(task.task_id, redelivered=delivery.redelivered)
        received = await self._worker.ride_out(lambda: self._store.look(task, me), starting=True, reading=True)
        if not isinstance(received.reception, Unstarted):
            return received
        await self._settlement.unstarted(task, delivery, received)
        return None

    async def _take_slot(self, lane: Lane) -> None:
        await lane.slots.acquire()
        try:
            await self._worker.slots.acquire()
        except BaseException:
            lane.slots.release()
            raise

    async def _until_startable(self, lane: Lane) -> None:
        """No attempt is spent on a command that is not there; it goes on when the command appears."""
        while (rest := lane.rest.until - self._worker.clock.monotonic()) > 0:
            await self._worker.clock.sleep(rest)
        if lane.handler.cannot_start() is None:
            return
        watch = self._watches.get(lane.name)
        if watch is None or watch.done():
            watch = self._watches[lane.name] = asyncio.create_task(self._watch_command(lane))
        await asyncio.shield(watch)

    async def _watch_command(self, lane: Lane) -> None:
        """Until the command is there. Others may take the task that waits for it: ours is still missing then."""
        part = f"handler {lane.name}"
        looks = 0
        while (problem := lane.handler.cannot_start()) is not None:
            self._worker.readiness.blocked(part, problem)
            looks += 1
            await self._worker.clock.sleep(backoff(looks, base=0.25, limit=COMMAND_CHECK_LIMIT, rng=self._worker.rng))
        self._worker.readiness.clear(part)

    async def _claim(self, task: Task, delivery: Delivery, lane: Lane) -> Received:
        limit = lane.policy.max_retries if task.max_retry_count is None else task.max_retry_count

        async def claim() -> Received:
            lease = self._worker.lease_for(task.task_id)
            if not lease.live:  # judged dead, we could be rescued in the middle of our own claim
                await lease.renew()
            me = self._worker.me(task.task_id, redelivered=delivery.redelivered)
            return await self._store.claim(task, me, limit)

        return await self._worker.ride_out(claim, starting=True)

    async def _end_superseded(self, task_id: str) -> None:
        """An older attempt of this task may still run here, if others took the task from us meanwhile: end it first."""
        older = self._worker.attempts.get(task_id)
        if older is not None:
            older.stop.request(StopReason.DISOWNED)
            await older.gone.wait()

    def _release_slot(self, lane: Lane) -> None:
        self._worker.slots.release()
        lane.slots.release()
