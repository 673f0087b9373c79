"""One delivery, start to settled: decode, admit, run, commit, settle."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gridsidecar import failpoints, telemetry, wire
from gridsidecar.admission import Admission
from gridsidecar.broker import Broker, Delivery
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.executor import Executor
from gridsidecar.setbacks import Setbacks
from gridsidecar.settlement import Settlement
from gridsidecar.store import RowRejected, Store
from gridsidecar.task import CannotStart, Ended, Message, Task, TaskUpdate, Transition
from gridsidecar.worker import GiveBack, HeldAttempt, Lane, Worker

PATIENCE_BESIDE_OTHERS = 5.0  # seconds
MOST_WARNINGS = 100  # of a kind, each told once
STUMBLE_PAUSE = 1.0  # seconds before a delivery that no rule covers is given back


class Consumer:
    """Carries deliveries. Each has a job (an asyncio task) of its own from arrival to settlement."""

    def __init__(
        self,
        worker: Worker,
        lanes: dict[str, Lane],
        broker: Broker,
        store: Store,
        executor: Executor,
        settings: BrokerSettings,
        once: bool = False,
    ) -> None:
        self._worker = worker
        self._once = once  # nothing is taken after the first attempt has begun
        self._lanes = lanes
        self._store = store
        self._executor = executor
        self._settings = settings
        self._settlement = Settlement(worker, broker, store)
        self._setbacks = Setbacks(worker, store, self._settlement)
        self._patience = settings.longest_hold
        if len(lanes) > 1:  # what waits for one handler must not keep the others from their work
            self._patience = min(self._patience, PATIENCE_BESIDE_OTHERS)
        self._admission = Admission(worker, store, self._settlement, patience=self._patience)
        self._jobs: set[asyncio.Task[None]] = set()
        self._of_others: set[asyncio.Task[None] | None] = set()  # jobs that passed a task on: no work of this worker
        self._bodiless: set[asyncio.Task[None]] = set()  # jobs that wait for the memory to hold their message
        self._warned: set[str] = set()
        self.first_attempt = asyncio.Event()  # one was started
        self.active_at = worker.clock.monotonic()

    def receive(self, delivery: Delivery) -> None:
        """A delivery arrived; returns at once."""
        size = len(delivery.message.body)
        if size <= wire.SMALL:
            job = asyncio.create_task(self._job(delivery))
        elif self._worker.memory.hold(size):
            job = asyncio.create_task(self._job(delivery))
            job.add_done_callback(lambda _: self._worker.memory.let_go(size))
        else:
            delivery.forget()
            job = asyncio.create_task(self._until_room(delivery))
            self._bodiless.add(job)
            job.add_done_callback(self._bodiless.discard)
        self._jobs.add(job)
        job.add_done_callback(self._job_done)

    async def _until_room(self, delivery: Delivery) -> None:
        """What is in hand takes all the memory there is for it: keep only the place of this one, and have its body
        sent again when there is room. Given back at once it would come again at once."""
        telemetry.debug("no memory for another large message now, it is fetched again later")
        try:
            async with asyncio.timeout(self._patience):
                await self._worker.memory.freed()
        except (TimeoutError, asyncio.CancelledError):
            pass
        await delivery.give_back()

    async def _job(self, delivery: Delivery) -> None:
        try:
            match await self._read(delivery.message):
                case wire.Refused() as refused:
                    await self._settlement.refuse(delivery, refused, refused.task)
                case Task() as task:
                    await self._carry(task, delivery)
        except (GiveBack, asyncio.CancelledError):
            await delivery.give_back()
        except Exception as error:
            await self._stumble(delivery, error)

    async def _read(self, message: Message) -> Task | wire.Refused:
        """Small messages at once, large ones one after the other: what waits for that is packed as it came."""
        limit = self._settings.max_message_bytes
        if wire.is_small(message, limit):
            return wire.decode_task(message, limit)
        async with self._worker.memory.turn:
            return wire.read_large(message, limit, self._worker.memory.room)

    async def _carry(self, task: Task, delivery: Delivery) -> None:
        lane = self._lanes.get(task.task_type) or self._lanes.get("default")
        if lane is None or task.message.kept is not None:  # what was refused before runs only when it is replayed
            await self._without_a_handler(task, delivery)
            return
        if self._once and self.first_attempt.is_set() and task.task_id not in self._worker.attempts:
            raise GiveBack  # it was on its way while we said that we want no more
        self._warn_of_unmet_wishes(task)
        try:
            held = await self._admission.admit(task, delivery, lane)
        except RowRejected as error:
            await self._setbacks.claim_refused(task, delivery, error)
            return
        if held is None:
            return
        try:
            self.first_attempt.set()
            ended, transition = await self._executor.execute(held, lane)
            await self._commit_and_settle(held, lane, ended, transition)
        except BaseException:
            if held.delivery is not None and held.delivery is not delivery:  # it adopted this one meanwhile
                await held.delivery.give_back()
            raise
        finally:
            self._admission.dismiss(held, lane)

    async def _commit_and_settle(
        self, held: HeldAttempt, lane: Lane, ended: Ended, transition: Transition | None
    ) -> None:
        if transition is not None:
            decided = transition
            try:
                transition = await self._worker.ride_out(
                    lambda: self._store.commit(held.claim, decided, ended.report, held.progress)
                )
            except StoreUnavailable:  # we leave and the database stays away: its row becomes a rescue
                await self._settlement.give_back(held)
                return
            except RowRejected as error:
                await self._setbacks.end_refused(held, error)
                return
            await failpoints.reached("committed")
        self._tell(held, lane, ended, transition)
        await self._settlement.ended(held, transition)

    def _tell(self, held: HeldAttempt, lane: Lane, ended: Ended, transition: Transition | None) -> None:
        part = f"handler {lane.name} start"
        if isinstance(ended.outcome, CannotStart):
            self._worker.readiness.blocked(part, ended.outcome.error)
            lane.rest.failed(self._worker.clock.monotonic(), self._worker.rng)
        else:
            self._worker.readiness.clear(part)
            lane.rest.over()
        if transition is None:
            self._worker.lost(held.claim)
            telemetry.superseded(held.claim, ended.report)
            return
        update = TaskUpdate.of_attempt(held.claim, transition, ended.report)
        telemetry.task_update(update)
        self._worker.tell(update)

    async def _without_a_handler(self, task: Task, delivery: Delivery) -> None:
        refused = self._no_handler(task)
        if self._worker.settings.unknown_types == "pass_on" and task.message.kept is None:
            await self._pass_on(task, delivery, refused)
        else:
            await self._settlement.refuse(delivery, refused, task)

    async def _pass_on(self, task: Task, delivery: Delivery, refused: wire.Refused) -> None:
        if len(self._warned) < MOST_WARNINGS and self._is_new(f"type {task.task_type}"):
            hint = "it is passed on to other workers, for an hour"
            telemetry.warning("a task's type has no handler here", type=task.task_type, hint=hint)
        self._of_others.add(asyncio.current_task())
        if not await self._admission.pass_on(task, delivery):
            error = f"{refused.error}; passed on for {task.message.passed} seconds, and no worker took it"
            await self._settlement.give_up(task, delivery, replace(refused, error=error))

    def _no_handler(self, task: Task) -> wire.Refused:
        known = ", ".join(sorted(self._lanes))
        error = f"no handler for task_type {task.task_type!r} and no default; configured are: {known}"
        return wire.Refused("unknown-task-type", task.task_id, error)

    def _warn_of_unmet_wishes(self, task: Task) -> None:
        """Once each: what a message asks for and will not get."""
        plain = self._settings.queue_type == "classic" and not self._settings.max_priority
        if task.priority and plain and self._is_new("priority"):
            hint = "create the queue with x-max-priority and set broker.max_priority"
            telemetry.warning("a task asks for a priority, but the queue has none", task_id=task.task_id, hint=hint)

    def _is_new(self, wish: str) -> bool:
        known = wish in self._warned
        self._warned.add(wish)
        return not known

    async def _stumble(self, delivery: Delivery, error: Exception) -> None:
        """Something that no rule covers: nothing is acked, so nothing is lost; the pause keeps it from spinning."""
        if isinstance(error, AccessRefused):  # told when the run ends for it
            self._worker.end_for(error)
        else:
            telemetry.stumbled(error)
            await self._worker.clock.sleep(STUMBLE_PAUSE)
        await delivery.give_back()

    # -- leaving ------------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> int:
        """Deliveries in hand."""
        return len(self._jobs)

    def _job_done(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if job in self._of_others:
            self._of_others.discard(job)
        else:
            self.active_at = self._worker.clock.monotonic()
        if not job.cancelled() and (error := job.exception()) is not None:
            telemetry.stumbled(error)

    def leave(self) -> None:
        """Start nothing new; what waits for a slot goes back to the queue."""
        self._worker.leaving = True
        self._admission.stop_waiting()
        for job in self._bodiless:
            job.cancel()

    async def drained(self) -> None:
        """Wait until every delivery in hand is settled."""
        while self._jobs:
            await asyncio.wait(list(self._jobs))

    async def abandon(self) -> None:
        """Let go of whatever is left; the broker hands it out again."""
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
