"""The clock's part of the rules: renew leases, compare rows with memory, hand off, bring back, delete, count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gridsidecar import failpoints, telemetry
from gridsidecar.broker import Broker
from gridsidecar.delivery.identity import Lease
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.errors import AccessRefused, BrokerUnavailable, GridSidecarError, PublishRefused
from gridsidecar.handler import StopReason, reaper
from gridsidecar.maintenance.live_output import STORE_EVERY, LiveOutput
from gridsidecar.maintenance.minutes import WRITE_EVERY, MinuteCounters
from gridsidecar.maintenance.pausing import POLL_INTERVAL, Pausing
from gridsidecar.operations.steering import Driver
from gridsidecar.rules.task import TaskUpdate
from gridsidecar.store import HeldRow, NotDriven, RowRejected, Store
from gridsidecar.store.retention import BATCH

RENEWALS_PER_LEASE = 3
LONGEST_POLL_INTERVAL = 15.0  # seconds between two checks for overdue tasks, and for old ones
PRUNES_PER_CHECK = 20  # batches
PRUNE_PAUSE = 0.2  # seconds, about, between two batches: others want to use the database, too
REJECTED_REST = 60.0  # seconds until a row is tried again that the database refused to write
MARK_AFTER = 1.0  # seconds that a handler runs until its row says so, where it was claimed ahead
TICK = 1.0  # seconds between two checks whether something that runs is to be cancelled, or marked
FAILED_PAUSE = 2.0  # seconds, at most, after which a failed try is made again: a lease does not wait


class Maintenance:
    """Loops, safe with many sidecars on one database. It never claims a task: it sends wake-ups."""

    def __init__(self, worker: Worker, broker: Broker, store: Store, pausing: Pausing, longest_hold: float) -> None:
        self._worker = worker
        self._env = worker.env
        self._broker = broker
        self._store = store.tasks
        self._leases = store.leases
        self._retention = store.retention
        self._output = LiveOutput(worker, store.output)
        self._pausing = pausing
        self._steering = store.steering
        self._operations = store.operations
        self._minutes = store.minutes
        self._counters = MinuteCounters(store.minutes, self._env.clock)
        self._driver = Driver(store, broker)
        self._longest_hold = longest_hold  # seconds
        self._loops: list[asyncio.Task[None]] = []

    def hear(self, update: TaskUpdate) -> None:
        self._counters.hear(update)

    def start(self) -> None:
        lease = self._worker.identity.lease.seconds
        beat = min(lease / RENEWALS_PER_LEASE, self._longest_hold / 4)
        interval = min(lease, LONGEST_POLL_INTERVAL)
        self._loops = [
            self._env.vitals.start(part, self._every(seconds, work, part))
            for seconds, work, part in (
                (beat, self.beat, "lease"),
                (STORE_EVERY, self._output.store_news, "output"),
                (POLL_INTERVAL, self._pausing.check, "pauses"),
                (TICK, self.tick, "marks"),
                (interval, self.interval, "maintenance"),
                (interval, self.go_on_with_operations, "operations"),
                (interval, self.prune, "retention"),
                (WRITE_EVERY, self._counters.write, "minute counters"),
            )
        ]

    async def stop(self) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops = []
        await self._counters.close()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]], part: str) -> None:
        pause = seconds
        while True:
            await failpoints.reached("maintained")
            await self._env.clock.sleep(pause * self._env.rng.uniform(0.9, 1.0))
            pause = seconds
            try:
                await work()
            except GridSidecarError as error:
                self._env.readiness.blocked(part, str(error))
                pause = min(seconds, FAILED_PAUSE)
            except Exception as error:
                telemetry.unexpected_error(error)
            else:
                self._env.readiness.clear(part)

    async def beat(self) -> None:
        """One heartbeat. Raises `StoreUnavailable`."""
        reaper.sweep(asyncio.get_running_loop())  # as PID 1 we inherit zombies even while idle
        for lease in list(self._worker.identity.leases):
            await lease.renew()
        await failpoints.reached("lease_renewed")
        for lease in list(self._worker.identity.leases):
            await self._reconcile(lease)
        await self._take_new_identity()
        for held in self._worker.attempts:
            if self._env.clock.monotonic() - held.received_at > self._longest_hold:
                await self._write_row(held.claim.task_id, self._hand_off(held))

    async def tick(self) -> None:
        """What cannot wait for the next heartbeat. Raises `StoreUnavailable`."""
        await self.hear_cancels()
        await self.mark_started()

    async def hear_cancels(self) -> None:
        """Have what runs here cancelled where somebody asked for that. Raises `StoreUnavailable`."""
        leases = list(self._worker.identity.leases)
        figures = await self._leases.cancels([lease.worker_id for lease in leases])
        for lease in leases:
            figure = figures.get(lease.worker_id, lease.cancels)
            if figure != lease.cancels and await self._reconcile(lease):
                lease.cancels = figure

    async def tell_cancelled(self) -> None:
        """What was cancelled while it waited has had nobody who could tell of it. Raises `StoreUnavailable`."""
        while updates := await self._steering.untold():
            for update in updates:
                self._env.tell(update)

    async def _reconcile(self, lease: Lease) -> bool:
        """Rows and memory must name the same attempts: one that no row names is killed, a row without one goes back.
        False while something is to be cancelled that is not in memory yet: its claim is on the way."""
        before = self._in_memory()
        running = [held for held in self._worker.attempts.of(lease) if not held.handler_ended]
        rows = {row.task_id: row for row in await self._leases.rows_of(lease.worker_id)}
        for held in running:
            if self._worker.attempts.get(held.claim.task_id) is held and not held.handler_ended:
                self._compare(held, rows.get(held.claim.task_id))
        for row in rows.values():
            if row.task_id not in before and row.task_id not in self._worker.attempts.unwritable:
                await self._write_row(row.task_id, self._give_back(lease, row))
        if not rows and self._worker.is_done_with(lease):
            await lease.leave()
            self._worker.identity.leases.remove(lease)
        told = {held.claim.task_id for held in running}
        return all(row.task_id in told for row in rows.values() if row.cancel_requested)

    async def _write_row(self, task_id: str, write: Awaitable[None]) -> None:
        """One row that the database refuses to write does not keep the others from their turn."""
        try:
            await write
        except RowRejected as error:
            if self._worker.attempts.unwritable.add(task_id, REJECTED_REST):
                telemetry.warning("the database refuses to write a row", task_id=task_id, reason=str(error))

    async def _take_new_identity(self) -> None:
        """Whoever counts as dead does not claim under the same name. What others left to us keeps the old one, which
        lives on until all of it has ended."""
        if self._worker.identity.declared_dead:
            former = self._worker.identity.lease.worker_id
            self._worker.identity.begin_anew()
            telemetry.warning(
                "declared dead by another worker; going on under a new identity",
                worker_id=self._worker.identity.lease.worker_id,
                former=former,
            )
            await self._worker.identity.lease.renew()

    async def _give_back(self, lease: Lease, row: HeldRow) -> None:
        """A row that no attempt of ours stands behind. Nobody may resume it while it is on its way back."""
        if row.task_id in self._in_memory():
            return
        self._worker.attempts.giving_back.add(row.task_id)
        try:
            if await self._leases.give_back(lease.worker_id, row):
                await failpoints.reached("row_returned")
                telemetry.warning("a row without an attempt goes back", task_id=row.task_id, attempt=row.attempt)
        finally:
            self._worker.attempts.giving_back.discard(row.task_id)

    def _in_memory(self) -> set[str]:
        return self._worker.attempts.tasks | self._worker.identity.claiming.keys()

    def _compare(self, held: HeldAttempt, row: HeldRow | None) -> None:
        if row is None or row.attempt != held.claim.attempt:
            telemetry.warning("attempt lost to another worker", task_id=held.claim.task_id, attempt=held.claim.attempt)
            held.stop.request(StopReason.DISOWNED)
            self._worker.identity.lost(held.claim)
        elif row.cancel_requested:
            held.stop.request(StopReason.CANCEL)

    async def _hand_off(self, held: HeldAttempt) -> None:
        """The broker would take this delivery back soon: the store owns the task from now on. Mark first, then ack."""
        if held.delivery is None or held.handler_ended or held.claim.task_id in self._worker.attempts.unwritable:
            return
        if not await self._store.hand_off(held.claim) or held.handler_ended:
            return  # what has ended settles its delivery itself
        await failpoints.reached("hand_off_marked")
        delivery, held.delivery = held.delivery, None
        await delivery.ack()
        await failpoints.reached("handed_off")
        telemetry.info("task handed off to the store", task_id=held.claim.task_id, attempt=held.claim.attempt)

    async def mark_started(self) -> None:
        """What takes its worker down shall count as a crash, also where it was claimed before there was a slot for it;
        the end of a short attempt comes before this. Raises `StoreUnavailable`."""
        for held in self._worker.attempts:
            unmarked = held.claim.ahead and held.slot.running and not held.handler_ended and not held.marked
            if unmarked and (seconds := held.slot.held_for) >= MARK_AFTER:
                held.marked = True
                await self._write_row(held.claim.task_id, self._store.mark_started(held.claim, seconds))

    async def interval(self) -> None:
        """What nobody else does. Raises `StoreUnavailable`."""
        await self.wake_overdue()
        await self.tell_cancelled()

    async def wake_overdue(self) -> None:
        """Bring back what nobody brought back. Raises `StoreUnavailable`."""
        for message in await self._leases.overdue(judge_others=self._worker.identity.lease.trusted):
            await failpoints.reached("next_check_moved")
            try:
                await self._broker.publish(message)
                await failpoints.reached("wake_up_published")
            except PublishRefused as error:  # this one; the others have a right to theirs
                telemetry.warning("nudge refused; it is tried again at a doubled gap", reason=str(error))
            except (ValueError, TypeError) as error:  # a message that the broker's client cannot write
                telemetry.unexpected_error(error)
            except (BrokerUnavailable, AccessRefused) as error:
                telemetry.warning("nudges not sent; they are tried again at a doubled gap", reason=str(error))
                return

    async def go_on_with_operations(self) -> None:
        """Finish what a command began whose process is gone. Raises `StoreUnavailable`."""
        while (operation := await self._operations.forsaken()) is not None:
            tasks = 0
            with suppress(NotDriven):  # another worker was quicker
                async for outcomes in self._driver.drive(operation):
                    tasks += len(outcomes)
                telemetry.info("an operation was finished for a process that is gone", operation=operation, tasks=tasks)

    async def prune(self) -> None:
        """Delete a bounded share of what ended long ago. Raises `StoreUnavailable`."""
        await self._leases.forget_gone()
        await self._operations.prune()
        await self._minutes.prune()
        tasks = 0
        for _ in range(PRUNES_PER_CHECK):
            pruned = await self._retention.prune()
            tasks += pruned
            if pruned < BATCH:
                break
            await self._env.clock.sleep(PRUNE_PAUSE * self._env.rng.uniform(0.5, 1.5))
        if tasks:
            telemetry.info("old tasks deleted", tasks=tasks)
