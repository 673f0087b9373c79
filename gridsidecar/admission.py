"""The way of a delivery to an attempt: duplicates out, wait for command and slot, claim the row, hold it in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gridsidecar.broker import Delivery
from gridsidecar.clock import backoff
from gridsidecar.handler import StopReason
from gridsidecar.lifecycle import Adopt, Drop, Wait
from gridsidecar.settlement import Settlement
from gridsidecar.store import Received, Store
from gridsidecar.task import Task
from gridsidecar.worker import HeldAttempt, Lane, Leaving, Worker

COMMAND_CHECK_LIMIT = 5.0  # seconds between two looks for a command that is missing


class Admission:
    """Lets a delivery through to an attempt, or settles it. One delivery of a task at a time, so that what memory and
    row say of it cannot disagree."""

    def __init__(self, worker: Worker, store: Store, settlement: Settlement, patience: float) -> None:
        self._worker = worker
        self._store = store
        self._settlement = settlement
        self._patience = patience  # seconds that a delivery may wait for its turn
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: set[asyncio.Task[None]] = set()  # jobs that hold nothing but a delivery

    @asynccontextmanager
    async def attempt(self, task: Task, delivery: Delivery, lane: Lane) -> AsyncIterator[HeldAttempt | None]:
        """The attempt that this delivery starts, in memory and in a slot while the block runs; None when it starts
        none, and is settled. Raises `Leaving` when it must be given back."""
        async with self._turn(task.task_id):
            held = None if await self._settled_early(task, delivery, lane) else await self._enter(task, delivery, lane)
        try:
            yield held
        finally:
            if held is not None:
                self._leave(held, lane)

    def stop_waiting(self) -> None:
        """Whatever waits for a command or a slot is cancelled."""
        for job in list(self._waiting):
            job.cancel()

    @asynccontextmanager
    async def _turn(self, task_id: str) -> AsyncIterator[None]:
        turn = self._turns.setdefault(task_id, asyncio.Lock())
        try:
            async with turn:
                yield
        finally:
            if not turn.locked() and self._turns.get(task_id) is turn:
                del self._turns[task_id]

    async def _settled_early(self, task: Task, delivery: Delivery, lane: Lane) -> bool:
        """A duplicate must not wait for a slot: the attempt that it repeats may be the one that fills it."""
        must_wait = self._worker.slots.locked() or lane.slots.locked() or lane.handler.cannot_start() is not None
        if not must_wait and task.task_id not in self._worker.attempts:
            return False
        me = self._worker.me(task.task_id)
        received = await self._worker.ride_out(lambda: self._store.look(task, me), starting=True)
        if not isinstance(received.reception, Adopt | Drop | Wait):
            return False
        await self._settlement.unstarted(task, delivery, received)
        return True

    async def _enter(self, task: Task, delivery: Delivery, lane: Lane) -> HeldAttempt | None:
        received_at = self._worker.clock.monotonic()
        await self._take_slot(lane)
        held: HeldAttempt | None = None
        self._worker.claiming.add(task.task_id)
        try:
            received = await self._claim(task, lane)
            if received.claim is None:
                await self._settlement.unstarted(task, delivery, received)
                return None
            await self._end_superseded(task.task_id)
            held = HeldAttempt(received.claim, delivery, received_at)
            self._worker.attempts[task.task_id] = held
            return held
        finally:
            self._worker.claiming.discard(task.task_id)
            if held is None:
                self._release_slot(lane)

    async def _take_slot(self, lane: Lane) -> None:
        job = asyncio.current_task()
        assert job is not None
        self._waiting.add(job)
        try:
            async with asyncio.timeout(self._patience):
                await self._until_startable(lane)
                await lane.slots.acquire()
                try:
                    await self._worker.slots.acquire()
                except BaseException:
                    lane.slots.release()
                    raise
        except TimeoutError:
            raise Leaving from None  # given back, so that the broker's clock for this delivery starts anew
        finally:
            self._waiting.discard(job)

    async def _until_startable(self, lane: Lane) -> None:
        """No attempt is spent on a command that is not there; it goes on when the command appears."""
        part = f"handler {lane.name}"
        looks = 0
        while (problem := lane.handler.cannot_start()) is not None:
            self._worker.readiness.blocked(part, problem)
            looks += 1
            await self._worker.clock.sleep(backoff(looks, base=0.25, limit=COMMAND_CHECK_LIMIT, rng=self._worker.rng))
        self._worker.readiness.clear(part)

    async def _claim(self, task: Task, lane: Lane) -> Received:
        limit = lane.policy.max_retries if task.max_retry_count is None else task.max_retry_count

        async def claim() -> Received:
            if not self._worker.lease.live:  # judged dead, we could be rescued in the middle of our own claim
                await self._worker.lease.renew()
            return await self._store.claim(task, self._worker.me(task.task_id), limit)

        return await self._worker.ride_out(claim, starting=True)

    async def _end_superseded(self, task_id: str) -> None:
        """An older attempt of this task may still run here, if others took the task from us meanwhile: end it first."""
        older = self._worker.attempts.get(task_id)
        if older is not None:
            older.stop.request(StopReason.DISOWNED)
            await older.gone.wait()

    def _leave(self, held: HeldAttempt, lane: Lane) -> None:
        if self._worker.attempts.get(held.claim.task_id) is held:
            del self._worker.attempts[held.claim.task_id]
        held.gone.set()
        self._release_slot(lane)

    def _release_slot(self, lane: Lane) -> None:
        self._worker.slots.release()
        lane.slots.release()
