"""A delivery's whole way, start to settled: read, route, admit, attempt, settle."""

from __future__ import annotations

import asyncio
from typing import assert_never

from msgspec.structs import replace

from gridsidecar import telemetry, wire
from gridsidecar.broker import Broker, Delivery
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.delivery.admission import (
    Admissions,
    Admitted,
    NoAttempt,
    NobodysTask,
    PassOn,
    Reattached,
    Requeue,
    WaitedTooLong,
)
from gridsidecar.delivery.attempt import AttemptRunner, EndRejected, OutOfReach, Stored
from gridsidecar.delivery.dead_lettering import DeadLettering
from gridsidecar.delivery.routes import Route, Routes
from gridsidecar.delivery.row_rejections import RowRejections
from gridsidecar.delivery.settlement import Settlement
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.handler import StopReason
from gridsidecar.rules.task import Message, Task
from gridsidecar.store import RowRejected, TaskStore

MOST_WARNINGS = 100  # of a kind, each told once
UNEXPECTED_PAUSE = 1.0  # seconds before a delivery that no rule covers is requeued


class Consumer:
    """Carries deliveries. Each has a job (an asyncio task) of its own from arrival to settlement."""

    def __init__(
        self,
        worker: Worker,
        routes: Routes,
        admissions: Admissions,
        attempt_runner: AttemptRunner,
        broker: Broker,
        store: TaskStore,
        settings: BrokerSettings,
        once: bool = False,
    ) -> None:
        self._worker = worker
        self._env = worker.env
        self._routes = routes
        self._admissions = admissions
        self._attempt_runner = attempt_runner
        self._settlement = Settlement(worker, broker, store)
        self._dead_lettering = DeadLettering(worker, broker, store, self._settlement)
        self._row_rejections = RowRejections(worker, store, self._settlement, self._dead_lettering)
        self._settings = settings
        self._once = once  # nothing is taken after the first attempt has begun
        self._jobs: set[asyncio.Task[None]] = set()
        self._of_others: set[asyncio.Task[None] | None] = set()  # jobs that passed a task on: no work of this worker
        self._bodiless: set[asyncio.Task[None]] = set()  # jobs that wait for the memory to hold their message
        self._warned: set[str] = set()
        self.first_attempt = asyncio.Event()  # one was started
        self.active_at = self._env.clock.monotonic()  # when this worker last had work

    def receive(self, delivery: Delivery) -> None:
        """A delivery arrived; returns at once."""
        size = len(delivery.message.body)
        if size <= wire.SMALL:
            job = asyncio.create_task(self._job(delivery))
        elif self._env.memory.reserve(size):
            job = asyncio.create_task(self._job(delivery))
            job.add_done_callback(lambda _: self._env.memory.release(size))
        elif delivery.returns and self._env.memory.reserve_to_send_on(size):
            job = asyncio.create_task(self._send_anew(delivery))
            job.add_done_callback(lambda _: self._env.memory.sent_on(size))
        else:
            delivery.forget()
            job = asyncio.create_task(self._until_room(delivery, size))
            self._bodiless.add(job)
            job.add_done_callback(self._bodiless.discard)
        self._jobs.add(job)
        job.add_done_callback(self._job_done)

    async def _job(self, delivery: Delivery) -> None:
        try:
            match await self._read(delivery.message):
                case wire.Refused() as refused:
                    await self._dead_lettering.dead_letter(delivery, refused, refused.task)
                case Task() as task:
                    await self._route_and_admit(task, delivery)
        except (StoreUnavailable, asyncio.CancelledError):  # we leave
            await delivery.requeue()
        except Exception as error:
            await self._unexpected(delivery, error)

    async def _route_and_admit(self, task: Task, delivery: Delivery) -> None:
        route = self._routes.route(task.task_type)
        try:
            if route is None or task.message.kept is not None:  # what was refused before runs only when it is replayed
                await self._without_a_handler(task, delivery)
                return
            if self._once and self.first_attempt.is_set() and task.task_id not in self._worker.attempts:
                await delivery.requeue()  # it was on its way while we said that we want no more
                return
            if delivery.returns and await self._reset_returns(task, delivery):
                return
            self._warn_of_unmet_wishes(task)
            admission = await self._admissions.admit(task, delivery, route)
            match admission:
                case Admitted(held):
                    await self._run_and_settle(held, delivery, route)
                case NoAttempt(answer):
                    await self._settlement.without_attempt(task, delivery, answer)
                case Reattached():
                    pass
                case WaitedTooLong(attempt):
                    await self._settlement.republish(task, delivery, attempt)
                case Requeue():
                    await delivery.requeue()
                case _:
                    assert_never(admission)
        except RowRejected as error:  # its row cannot be read or written, whatever we wanted of it
            await self._row_rejections.claim_rejected(task, delivery, error)

    async def _run_and_settle(self, held: HeldAttempt, delivery: Delivery, route: Route) -> None:
        self.first_attempt.set()
        try:
            end = await self._attempt_runner.run(held, route)
            match end:
                case Stored(transition):
                    await self._settlement.after_attempt(held, transition)
                case EndRejected(error):
                    await self._row_rejections.end_rejected(held, error)
                case OutOfReach():
                    await self._settlement.requeue(held)
                case _:
                    assert_never(end)
        except BaseException:
            if held.delivery is not None and held.delivery is not delivery:  # another copy took its place meanwhile
                await held.delivery.requeue()
            raise
        finally:
            self._worker.attempts.dismiss(held)

    # -- large messages -----------------------------------------------------------------------------------------------

    async def _read(self, message: Message) -> Task | wire.Refused:
        """Small messages at once, large ones one after the other: what waits for that is packed as it came."""
        limit = self._settings.max_message_bytes
        if wire.is_small(message, limit):
            return wire.decode_task(message, limit)
        async with self._env.memory.turn:
            return wire.read_large(message, limit, self._env.memory.room)

    async def _until_room(self, delivery: Delivery, size: int) -> None:
        """What is in hand takes all the memory there is for it: hold this one without its body, and have that sent
        again when there is room. Requeued at once it would come again at once."""
        telemetry.debug("no memory for another large message now, it is fetched again later")
        try:
            # Not all at once, or there would be no room to send them anew either.
            async with asyncio.timeout(self._admissions.max_wait * self._env.rng.uniform(0.5, 1.0)):
                await self._env.memory.freed(size)
        except (TimeoutError, asyncio.CancelledError):
            pass
        await delivery.requeue()

    async def _send_anew(self, delivery: Delivery) -> None:
        """It was requeued for want of memory, and there is none again. A quorum queue counts that, and would throw it
        away in the end."""
        if not await self._settlement.send_anew(delivery):
            await delivery.requeue()

    # -- what has no attempt here -------------------------------------------------------------------------------------

    async def _reset_returns(self, task: Task, delivery: Delivery) -> bool:
        """Whether a delivery that came back without a start was published again, with no returns counted."""
        return await self._admissions.never_started(task, delivery) and await self._settlement.reset_returns(
            task, delivery
        )

    async def _without_a_handler(self, task: Task, delivery: Delivery) -> None:
        known = ", ".join(self._routes.types)
        error = f"no handler for task_type {task.task_type!r} and no default; configured are: {known}"
        refused = wire.Refused("unknown-task-type", task.task_id, error)
        if self._env.settings.unknown_types == "pass_on" and task.message.kept is None:
            await self._pass_on(task, delivery, refused)
        else:
            await self._dead_lettering.dead_letter(delivery, refused, task)

    async def _pass_on(self, task: Task, delivery: Delivery, refused: wire.Refused) -> None:
        if len(self._warned) < MOST_WARNINGS and self._is_new(f"type {task.task_type}"):
            hint = "it is passed on to other workers, for an hour"
            telemetry.warning("a task's type has no handler here", type=task.task_type, hint=hint)
        self._of_others.add(asyncio.current_task())
        passing = await self._admissions.leave_to_others(task, delivery)
        match passing:
            case PassOn(attempt, delay):
                await self._settlement.pass_on(task, delivery, attempt, delay)
            case NobodysTask():
                error = f"{refused.error}; passed on for {task.message.passed} seconds, and no worker took it"
                await self._dead_lettering.end_and_dead_letter(task, delivery, replace(refused, error=error))
            case NoAttempt(answer):
                await self._settlement.without_attempt(task, delivery, answer)
            case Reattached():
                pass
            case Requeue():
                await delivery.requeue()
            case _:
                assert_never(passing)

    def _warn_of_unmet_wishes(self, task: Task) -> None:
        """Once each, but for a callback: what a message asks for and will not get."""
        plain = self._settings.queue_type == "classic" and not self._settings.max_priority
        if task.priority and plain and self._is_new("priority"):
            hint = "create the queue with x-max-priority and set broker.max_priority"
            telemetry.warning("a task asks for a priority, but the queue has none", task_id=task.task_id, hint=hint)
        for name, why in wire.doubtful(task):
            if name == "callback_url" or self._is_new(f"another {name}"):
                telemetry.warning("a field of a task is not taken as it is", task_id=task.task_id, field=name, why=why)

    def _is_new(self, warning: str) -> bool:
        known = warning in self._warned
        self._warned.add(warning)
        return not known

    async def _unexpected(self, delivery: Delivery, error: Exception) -> None:
        """Something that no rule covers: nothing is acked, so nothing is lost; the pause keeps it from spinning."""
        if isinstance(error, AccessRefused):  # told when the run ends for it
            self._env.end_for(error)
        else:
            telemetry.unexpected_error(error)
            await self._env.clock.sleep(UNEXPECTED_PAUSE)
        await delivery.requeue()

    @property
    def running(self) -> dict[str, int]:
        """Attempts by handler."""
        return self._routes.running

    @property
    def suspects(self) -> int:
        """Deliveries in hand that wait, without a slot, until their tasks may have a process to themselves."""
        return len(self._admissions.suspects)

    # -- leaving ------------------------------------------------------------------------------------------------------

    @property
    def in_hand(self) -> int:
        """Deliveries that are not settled yet."""
        return len(self._jobs)

    def _job_done(self, job: asyncio.Task[None]) -> None:
        self._jobs.discard(job)
        if job in self._of_others:
            self._of_others.discard(job)
        else:
            self.active_at = self._env.clock.monotonic()
        if not job.cancelled() and (error := job.exception()) is not None:
            telemetry.unexpected_error(error)

    def freeze(self) -> None:
        """Nothing starts any more. What waits to start is not requeued yet."""
        self._admissions.freeze()

    def requeue_waiting(self) -> None:
        """What waits to start goes back to the queue."""
        self._admissions.stop_waiting()
        for job in self._bodiless:
            job.cancel()

    def interrupt(self) -> None:
        """SIGTERM to whatever runs, and to what is about to."""
        for held in self._worker.attempts:
            held.stop.request(StopReason.SHUTDOWN)

    def kill(self) -> None:
        """SIGKILL to whatever runs."""
        for held in self._worker.attempts:
            held.stop.hurry()

    async def drained(self) -> None:
        """Wait until every delivery in hand is settled."""
        while self._jobs:
            await asyncio.wait(list(self._jobs))

    async def abandon(self) -> None:
        """Let go of whatever is left; the broker hands it out again."""
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
