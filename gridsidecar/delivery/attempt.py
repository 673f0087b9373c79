"""One attempt, from its claim to the told end: have a slot, run the handler, decide, commit, tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from gridsidecar import failpoints, telemetry
from gridsidecar.clock import Clock
from gridsidecar.delivery.routes import Route
from gridsidecar.delivery.worker import HeldAttempt, Worker
from gridsidecar.errors import GridSidecarError, StoreUnavailable
from gridsidecar.handler import StopReason, stopped_before_start
from gridsidecar.handler.capture import LogText
from gridsidecar.rules import lifecycle
from gridsidecar.rules.task import CannotStart, Claim, Ended, NotStarted, Outcome, Progress, TaskUpdate, Transition
from gridsidecar.store import RowLocked, RowRejected, TaskStore
from gridsidecar.telemetry.output_log import OutputLog
from gridsidecar.waiting import retry_until_available

if TYPE_CHECKING:
    from gridsidecar.telemetry.spans import Spans  # it loads OpenTelemetry

BeforeAttempt = Callable[[HeldAttempt, Route], Awaitable[None]]  # must not raise, and obeys the attempt's stop


class Stored(Struct, frozen=True):
    """The end stands in the row, and was told; None: the task belongs to somebody else by now."""

    transition: Transition | None


class EndRejected(Struct, frozen=True):
    """The database is there, and will not store even the end's status."""

    error: RowRejected


class OutOfReach(Struct, frozen=True):
    """We leave and the database stays away: the row becomes a rescue."""


AttemptEnd = Stored | EndRejected | OutOfReach


class AttemptRunner:
    """Runs attempts that are claimed. It settles no delivery."""

    def __init__(
        self,
        worker: Worker,
        store: TaskStore,
        progress_interval: float,
        before: BeforeAttempt | None = None,
        lines: OutputLog | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._worker = worker
        self._env = worker.env
        self._before = before
        self._store = store
        self._progress_interval = progress_interval
        self._lines = lines
        self._spans = spans

    async def run(self, held: HeldAttempt, route: Route) -> AttemptEnd:
        ended = await self._until_ended(held, route)
        await failpoints.reached("exited")
        transition = lifecycle.decide(
            held.claim, ended.outcome, route.policy, self._env.rng, max_crashes=self._env.settings.max_crashes
        )
        if transition is not None:
            decided = transition
            try:
                transition = await retry_until_available(
                    self._env,
                    lambda: self._store.ends.commit(
                        held.claim, decided, ended.report, held.progress, output_stored=held.output_stored
                    ),
                )
            except StoreUnavailable:
                return OutOfReach()
            except RowRejected as error:
                return EndRejected(error)
            await failpoints.reached("committed")
        self._tell(held, route, ended, transition)
        return Stored(transition)

    async def _until_ended(self, held: HeldAttempt, route: Route) -> Ended:
        """What was claimed ahead waits for its slot. The slot is free when the handler has ended."""
        ended: Ended | None = None
        try:
            held.stop.listen(held.slot.give_up)
            if not await held.slot.granted() or not self._worker.may_start(held):
                return Ended(_without_a_slot(held.stop.reason))
            held.waited = self._env.clock.monotonic() - held.received_at
            if self._spans is not None:
                held.claim = self._spans.begin(held.claim)
            if self._before is not None:
                await self._before(held, route)
            ended = await self._handled(held, route)
            route.capacity.record(held.slot.held_for)
            return ended
        finally:
            if self._spans is not None:
                self._spans.end(held.claim, None if ended is None else ended.outcome)
            held.handler_ended = True
            held.stop.close()
            held.slot.release()

    async def _handled(self, held: HeldAttempt, route: Route) -> Ended:
        note = ProgressNote(self._store, held, self._progress_interval, self._env.clock)
        lines = None if self._lines is None else self._lines.of(held.claim)
        held.log = LogText(on_text=None if lines is None else lines.hear)
        try:
            return await route.handler.run(held.claim, note.update, held.stop, held.log)
        finally:
            held.log = held.live = None
            if lines is not None:
                lines.close()
            await note.close()

    def _tell(self, held: HeldAttempt, route: Route, ended: Ended, transition: Transition | None) -> None:
        self._tell_of_start(route, ended)
        if transition is None:
            self._worker.identity.lost(held.claim)
            telemetry.superseded(held.claim, ended.report)
            return
        update = TaskUpdate.of_attempt(held.claim, transition, ended.report, held.waited)
        self._env.tell(update)

    def _tell_of_start(self, route: Route, ended: Ended) -> None:
        part = f"handler {route.name} start"
        match ended.outcome:
            case CannotStart(error):
                self._env.readiness.blocked(part, error)
                route.start_backoff.failed(self._env.clock.monotonic(), self._env.rng)
                route.capacity.reset_ahead()
            case NotStarted():
                pass
            case _:
                self._env.readiness.clear(part)
                route.start_backoff.over()


def _without_a_slot(reason: StopReason | None) -> Outcome:
    """The outcome of an attempt whose turn did not come."""
    return NotStarted() if reason in (None, StopReason.SHUTDOWN) else stopped_before_start(reason)


class ProgressNote:
    """Coalesces progress: the last value wins, at most one write per `interval` seconds, none while one is under way.

    A write that fails is dropped: the next one, or the attempt's end, carries the newer value.
    """

    def __init__(self, store: TaskStore, held: HeldAttempt, interval: float, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._held = held
        self._interval = interval
        self._writer: asyncio.Task[None] | None = None
        self._told = False  # that the database refuses some of it

    def update(self, progress: Progress) -> None:
        """Take note; never blocks."""
        old = self._held.progress
        percent = old.percent if progress.percent is None else progress.percent
        message = old.message if progress.message is None else progress.message
        if progress.checkpoint is None and (percent, message) == (old.percent, old.message):
            return
        self._held.progress = Progress(percent, message, progress.checkpoint or old.checkpoint)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(self._held.claim))

    async def _write(self, claim: Claim) -> None:
        written: Progress | None = None
        while written is not self._held.progress:
            written = self._held.progress
            try:
                await self._store.progress(claim, written)
            except GridSidecarError as error:
                if isinstance(error, RowRejected) and not isinstance(error, RowLocked):
                    await self._rejected(claim, written, error)
                else:
                    telemetry.debug("progress not stored", task_id=claim.task_id, reason=str(error))
            await self._clock.sleep(self._interval)
        self._writer = None

    async def _rejected(self, claim: Claim, progress: Progress, error: RowRejected) -> None:
        """Told once for each attempt; the figure alone may still be stored."""
        if not self._told:
            telemetry.warning("progress cannot be stored", task_id=claim.task_id, reason=str(error))
        self._told = True
        with suppress(GridSidecarError):
            await self._store.progress(claim, Progress(progress.percent))

    async def close(self) -> None:
        """Start no further write. One that is on its way may still arrive: the fence keeps it out of an ended row."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
