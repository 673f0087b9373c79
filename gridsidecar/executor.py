"""One attempt: run the handler, note its progress and checkpoints, decide what its end means."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gridsidecar import failpoints, lifecycle, telemetry
from gridsidecar.clock import Clock
from gridsidecar.errors import GridSidecarError
from gridsidecar.store import RowRejected, Store
from gridsidecar.task import Claim, Ended, Progress, Transition
from gridsidecar.worker import HeldAttempt, Lane, Worker

BeforeAttempt = Callable[[HeldAttempt, Lane], Awaitable[None]]  # must not raise, and obeys the attempt's stop


class Executor:
    """Runs attempts. What comes of one is a value; nothing is written here but progress."""

    def __init__(
        self, worker: Worker, store: Store, progress_interval: float, before: BeforeAttempt | None = None
    ) -> None:
        self._worker = worker
        self._before = before
        self._store = store
        self._progress_interval = progress_interval

    async def execute(self, held: HeldAttempt, lane: Lane) -> tuple[Ended, Transition | None]:
        """How the attempt ended, and what that does to its row (None: it is not ours any more)."""
        if self._before is not None:
            await self._before(held, lane)
        note = ProgressNote(self._store, held, self._progress_interval, self._worker.clock)
        try:
            ended = await lane.handler.run(held.claim, note.update, held.stop)
        finally:
            held.ended = True
            await note.close()
        await failpoints.reached("exited")
        transition = lifecycle.decide(
            held.claim,
            ended.outcome,
            lane.policy,
            self._worker.rng,
            max_crashes=self._worker.settings.max_crashes,
        )
        return ended, transition


class ProgressNote:
    """Coalesces progress: the last value wins, at most one write per `interval` seconds, none while one is under way.

    A write that fails is dropped: the next one, or the attempt's end, carries the newer value.
    """

    def __init__(self, store: Store, held: HeldAttempt, interval: float, clock: Clock) -> None:
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
            except RowRejected as error:
                await self._refused(claim, written, error)
            except GridSidecarError as error:
                telemetry.debug("progress not stored", task_id=claim.task_id, reason=str(error))
            await self._clock.sleep(self._interval)
        self._writer = None

    async def _refused(self, claim: Claim, progress: Progress, error: RowRejected) -> None:
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
