"""What a delivery of a task comes to: an attempt that is claimed and in memory, or the reason why there is none."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar import failpoints, telemetry
from gridsidecar.broker import Delivery
from gridsidecar.delivery.keyed_lock import KeyedLock
from gridsidecar.delivery.preconditions import Preconditions
from gridsidecar.delivery.routes import Route
from gridsidecar.delivery.slots import SlotRequest, Slots
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.handler import StopReason
from gridsidecar.rules.reception import AckOnly, AwaitOwnProcess, AwaitSlot, Begin, Insert, NeedsNoClaim, Reattach
from gridsidecar.rules.retry import pass_on_delay, passed_enough
from gridsidecar.rules.task import Task
from gridsidecar.runtime.shutdown import Phase
from gridsidecar.store import Answer, RowRejected, TaskStore
from gridsidecar.waiting import retry_until_available

# Thousands may have waited too long at the same moment. Each asks both servers for something: behind all of them nobody
# could claim.
LATE_AT_ONCE = 4
LATE_PAUSE = 1 / 32  # seconds before each
OTHERS_FIRST = 0.05  # seconds that a task of others is held when it comes round again


class Admitted(Struct, frozen=True):
    """An attempt is claimed; it is in memory until it is dismissed."""

    held: HeldAttempt


class NoAttempt(Struct, frozen=True):
    """The delivery starts no attempt, and by this answer it is to be settled."""

    answer: Answer


class Reattached(Struct, frozen=True):
    """The delivery took the place of one that was lost; it is settled when its attempt is."""


class WaitedTooLong(Struct, frozen=True):
    """The broker's patience with this delivery ends before its turn comes."""

    attempt: int  # of the row


class Requeue(Struct, frozen=True):
    """It is not to be started here: others may have it at once."""


class PassOn(Struct, frozen=True):
    """Other workers may have a handler for it."""

    attempt: int  # of the row
    delay: float  # seconds


class NobodysTask(Struct, frozen=True):
    """It was passed on for long enough."""


class Suspect(Struct, frozen=True):
    """It needs a process to itself (`rules.isolation`), and is not claimed before."""


class Arrival(Struct, frozen=True):
    """A delivery on its way to a claim."""

    task: Task
    delivery: Delivery
    route: Route
    received_at: float  # monotonic seconds
    until: float  # monotonic seconds; then it has waited too long
    own_process: bool  # it would share its handler's process with no other task


Admission = Admitted | NoAttempt | Reattached | WaitedTooLong | Requeue
Passing = PassOn | NobodysTask | NoAttempt | Reattached | Requeue


class Admissions:
    """Decides on deliveries, and settles none. One delivery of a task at a time, so that what memory and row say of
    it cannot disagree."""

    def __init__(
        self,
        worker: Worker,
        store: TaskStore,
        slots: Slots,
        max_wait: float,
        lent: int = 0,
        suspect_max_wait: float = 0.0,
    ) -> None:
        """`max_wait`: seconds that a delivery may wait for its turn. Up to `lent` suspects at a time, for
        which `prefetch` takes others, may wait for `suspect_max_wait` instead."""
        self._worker = worker
        self._env = worker.env
        self._store = store
        self._slots = slots
        self.max_wait = max_wait
        self._lent = lent
        self._suspect_max_wait = suspect_max_wait
        self.suspects: set[str] = set()  # tasks that wait, without a slot, until they may have a process to themselves
        self._turns = KeyedLock()
        self._preconditions = Preconditions(self._env)
        # By route: who waits for one handler is not to wait here behind those that wait for another.
        self._late = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(LATE_AT_ONCE))

    async def admit(self, task: Task, delivery: Delivery, route: Route) -> Admission:
        """Claim an attempt for this delivery, or say why there is none. Raises `StoreUnavailable` when nothing starts
        any more, `AccessRefused`, `RowRejected`."""
        received_at = self._env.clock.monotonic()
        arrival = Arrival(
            task, delivery, route, received_at, received_at + self.max_wait, own_process=route.own_processes is None
        )
        if task.message.wake_up and task.task_id in self.suspects:
            return NoAttempt(Answer(AckOnly("waits here")))
        if not await self._turns.acquire(task.task_id, self.max_wait):
            return await self._too_late(arrival)
        try:
            if task.task_id in self._worker.attempts:  # it must not wait behind the attempt that it repeats
                known = await self._preview(task, delivery)
                if isinstance(known.reception, NeedsNoClaim):
                    return await self._without_attempt(task, delivery, known)
            parked = await self._park_if_paused(task, delivery, route)
            if parked is not None:
                return await self._without_attempt(task, delivery, parked)
            admission = await self._admit_in_slot(arrival)
            return admission if not isinstance(admission, Suspect) else await self._admit_in_own_process(arrival)
        finally:
            self._turns.release(task.task_id)

    async def _admit_in_slot(self, arrival: Arrival) -> Admission | Suspect:
        slot = await self._wait_to_claim(arrival)
        if slot is None:
            return await self._too_late(arrival)
        admission: Admission | Suspect = Requeue()
        try:
            if not slot.shed:
                admission = await self._claim(arrival, slot)
        finally:
            if not isinstance(admission, Admitted):
                slot.release()
        return admission

    async def _admit_in_own_process(self, shared: Arrival) -> Admission:
        """For a suspect: wait for a process, the longest waiting first, and only then for a slot, which others have
        meanwhile."""
        own_processes = shared.route.own_processes
        assert own_processes is not None
        max_wait = self._suspect_max_wait if len(self.suspects) < self._lent else self.max_wait
        arrival = replace(shared, until=shared.received_at + max_wait, own_process=True)
        self.suspects.add(arrival.task.task_id)
        try:
            if not await self._preconditions.within(own_processes.acquire(), arrival.until):
                return await self._too_late(arrival)
        finally:
            self.suspects.discard(arrival.task.task_id)
        admission: Admission | Suspect = Requeue()
        try:
            admission = await self._admit_in_slot(arrival)
        finally:
            if isinstance(admission, Admitted):
                admission.held.slot.release_with_it(own_processes)
            else:
                own_processes.release()
        assert not isinstance(admission, Suspect)
        return admission

    async def _wait_to_claim(self, arrival: Arrival) -> SlotRequest | None:
        """Until the task may be claimed, in a slot or ahead of one, or (`shed`) others had better have it. None when
        that takes too long, or nothing starts any more."""
        route, until = arrival.route, arrival.until
        if not await self._preconditions.startable(route, until):
            return None
        shared = route.shared_slots
        if shared is not None and not await self._preconditions.within(shared.acquire(), until):
            return None
        slot = self._slots.request(route.capacity)
        if shared is not None:
            slot.release_with_it(shared)
        admitted = False
        try:
            admitted = await slot.claimable(self._preconditions.left(until)) or slot.shed
        finally:
            if not admitted:
                slot.release()
        return slot if admitted else None

    async def _claim(self, arrival: Arrival, slot: SlotRequest) -> Admission | Suspect:
        """Claim the row, and take the attempt in hand."""
        task = arrival.task
        claiming = self._worker.identity.claiming
        claimed_at = self._env.clock.monotonic()
        claiming[task.task_id] = self._worker.lease_for(task.task_id)
        try:
            answer = await self._store_claim(arrival, ahead=slot.ahead)
            if isinstance(answer.reception, AwaitSlot):
                if not await slot.granted():
                    return await self._too_late(arrival)
                answer = await self._store_claim(arrival, ahead=False)
            if isinstance(answer.reception, AwaitOwnProcess):
                return Suspect()
            if task.task_id in self._worker.attempts.giving_back:
                return Requeue()
            if answer.claim is None:
                return await self._without_attempt(task, arrival.delivery, answer)
            _tell_rescued(task, answer)
            await failpoints.reached("claimed")
            await self._end_superseded(task.task_id)
            held = HeldAttempt(answer.claim, arrival.delivery, arrival.received_at, claimed_at, slot)
            self._worker.hold(held)
            return Admitted(held)
        finally:
            claiming.pop(task.task_id, None)

    async def _store_claim(self, arrival: Arrival, *, ahead: bool) -> Answer:
        """The store's answer, under a lease of ours that is alive."""

        async def claim() -> Answer:
            task, route = arrival.task, arrival.route
            lease = self._worker.lease_for(task.task_id)
            if not lease.live:  # judged dead, we could be rescued in the middle of our own claim
                await lease.renew()
            claimant = self._worker.claimant(
                task.task_id, redelivered=arrival.delivery.redelivered, ahead=ahead, own_process=arrival.own_process
            )
            flow = route.flow(paused=task.task_type in self._env.paused)
            return await self._store.claim(task, claimant, route.retries(task), flow)

        return await retry_until_available(self._env, claim, before_start=True, locks=0)

    async def _park_if_paused(self, task: Task, delivery: Delivery, route: Route) -> Answer | None:
        """A task of a paused type needs no slot to be parked; None: it may start."""
        if task.task_type not in self._env.paused:
            return None
        claimant = self._worker.claimant(task.task_id, redelivered=delivery.redelivered)
        try:
            return await retry_until_available(
                self._env, lambda: self._store.park(task, claimant, route.retries(task)), before_start=True
            )
        except RowRejected:  # the claim says what becomes of it
            return None

    async def _end_superseded(self, task_id: str) -> None:
        """An older attempt of this task may still run here, if others took the task from us meanwhile: end it first."""
        older = self._worker.attempts.get(task_id)
        if older is not None:
            older.stop.request(StopReason.DISOWNED)
            await older.gone.wait()

    # -- what starts nothing ------------------------------------------------------------------------------------------

    async def never_started(self, task: Task, delivery: Delivery) -> bool:
        """A quorum queue throws away what came back too often, with whatever took its worker down. A task that ever
        started has a row, and maintenance to bring it back; of any other, nothing but its message is known."""
        match (await self._preview(task, delivery)).reception:
            case Insert() | Begin(attempt=1, rescues=False):
                return True
            case _:
                return False

    async def leave_to_others(self, task: Task, delivery: Delivery) -> Passing:
        """This worker cannot run it, others may. It was passed on for long enough only while nobody runs such a task:
        a worker that does may be too busy for this one."""
        if task.message.passed:  # whoever passes on is quicker than whoever works, and must not take all there is
            await self._env.clock.sleep(OTHERS_FIRST)
        answer = await self._preview(task, delivery)
        if isinstance(answer.reception, NeedsNoClaim):
            return await self._without_attempt(task, delivery, answer)
        if passed_enough(task.message.passed) and not await retry_until_available(
            self._env, lambda: self._store.is_running_one(task.task_type), before_start=True, reading=True
        ):
            return NobodysTask()
        return PassOn(answer.attempt, pass_on_delay(task.message.passed, self._env.rng))

    async def _too_late(self, arrival: Arrival) -> NoAttempt | Reattached | WaitedTooLong | Requeue:
        """Its turn did not come."""
        async with self._late[arrival.route.name]:
            if self._env.shutdown.phase < Phase.LEAVING:
                await self._env.clock.sleep(LATE_PAUSE)
            if self._env.shutdown.phase >= Phase.LEAVING:
                return Requeue()
            answer = await self._preview(arrival.task, arrival.delivery)
        if isinstance(answer.reception, NeedsNoClaim):
            return await self._without_attempt(arrival.task, arrival.delivery, answer)
        return WaitedTooLong(answer.attempt)

    async def _preview(self, task: Task, delivery: Delivery) -> Answer:
        """What this delivery would mean right now."""
        claimant = self._worker.claimant(task.task_id, redelivered=delivery.redelivered)
        return await retry_until_available(
            self._env, lambda: self._store.preview(task, claimant), before_start=True, reading=True
        )

    async def _without_attempt(
        self, task: Task, delivery: Delivery, answer: Answer
    ) -> NoAttempt | Reattached | Requeue:
        """A second copy of the message of what runs here takes the place of the first, where that is lost."""
        if not isinstance(answer.reception, Reattach):
            _tell_rescued(task, answer)
            return NoAttempt(answer)
        held = self._worker.attempts.get(task.task_id)
        if held is None or held.settled:  # it ended while we read the row: let the row say what this copy is for
            return Requeue()
        held.delivery = delivery
        held.received_at = self._env.clock.monotonic()
        await failpoints.reached("reattached")
        telemetry.reattached(task_id=task.task_id, attempt=held.claim.attempt)
        return Reattached()

    def freeze(self) -> None:
        """Nothing starts any more; what waits is kept until we take nothing more, or it would come back at once."""
        self._slots.freeze()

    def stop_waiting(self) -> None:
        """Nothing starts any more: whatever waits to be claimed, for its slot or for a command is let go."""
        self._slots.close()
        self._preconditions.cancel()


def _tell_rescued(task: Task, answer: Answer) -> None:
    """Once, by the worker that wrote it."""
    if (rescued := answer.rescued) is not None:
        telemetry.rescued(
            task_id=task.task_id, attempt=rescued.attempt, worker=rescued.worker, silent_for=rescued.silent_for
        )
