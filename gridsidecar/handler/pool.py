"""The persistent handler: a pool of processes that stay, each with one task at a time."""

from __future__ import annotations

import asyncio
import os
import random
from collections import deque
from contextlib import suppress
from pathlib import Path

from gridsidecar import telemetry, wire
from gridsidecar.clock import Clock, backoff
from gridsidecar.config.settings import HandlerSettings
from gridsidecar.handler import Stop, unstarted
from gridsidecar.handler.capture import LogText
from gridsidecar.handler.command import Command, NotStartable
from gridsidecar.handler.environment import handler_environment
from gridsidecar.handler.hearing import OnProgress
from gridsidecar.handler.launch import Start
from gridsidecar.handler.persistent import WarmProcess
from gridsidecar.handler.turn import Turn
from gridsidecar.task import CannotStart, Claim, Ended

FIRST_PAUSE = 0.1  # seconds before a start, after two crashes in a row without a finished task between them
LONGEST_PAUSE = 5.0
LAST_GRACE = 1.0  # seconds from SIGTERM to SIGKILL when the worker leaves: no task can be lost any more
_MEBIBYTE = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")

_Got = WarmProcess | CannotStart | None  # None: the attempt was stopped while it waited


class PersistentHandler:
    """Each process has a seat. A seat holds one process after the other, so there are never more than seats.

    Seats are taken when a task finds no free process, and kept. One (or `persistent.processes`) is taken ahead of the
    first task, so that this finds a process that is ready.
    """

    def __init__(
        self,
        name: str,
        settings: HandlerSettings,
        clock: Clock,
        rng: random.Random,
        width: int,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._width = width  # most processes
        self._command = Command(name, tuple(settings.command), settings.cwd, handler_environment(settings, os.environ))
        self._seats: set[asyncio.Task[None]] = set()
        self._coming = 0  # seats that will have a process to offer, or fail
        self._processes: set[WarmProcess] = set()
        self._free: list[WarmProcess] = []
        self._resting: set[asyncio.Task[None]] = set()  # seats that let time pass after crashes
        self._waiting: deque[asyncio.Future[_Got]] = deque()
        self._crashes = 0  # in a row, without a finished task between them
        self._closing = False

    def cannot_start(self) -> str | None:
        """See the seam. While a process lives, nobody asks whether another could be started."""
        if self._processes:
            return None
        try:
            self._command.locate()
        except NotStartable as problem:
            return str(problem)
        return None

    def start(self) -> None:
        """See the seam."""
        for _ in range(min(self._width, self._settings.persistent.processes or 1)):
            self._open_seat()

    # -- an attempt ---------------------------------------------------------------------------------------------------

    async def run(self, claim: Claim, on_progress: OnProgress, stop: Stop, log: LogText | None = None) -> Ended:
        """See the seam."""
        untouched = 0
        while stop.reason is None:
            got = await self._get(stop)
            if got is None:
                break
            if isinstance(got, CannotStart):
                return Ended(got)
            turn = Turn(self._settings, claim, on_progress, log)
            try:
                await got.take(turn, self._line(claim, turn.timeout), stop)
            finally:
                self._give(got)
            if not turn.untouched:
                self._count_crash(turn)
                return turn.ended(got.notes)
            untouched += not got.tasks
            if untouched > 1 and stop.reason is None:
                return Ended(CannotStart(self._says("it ended after it was ready, without reading a task")))
        assert stop.reason is not None
        return Ended(unstarted(stop.reason))

    def _count_crash(self, turn: Turn) -> None:
        if turn.said is not None and turn.exit is None:
            self._crashes = 0
        elif turn.cause is None:
            self._crashes += 1

    def _line(self, claim: Claim, timeout: float) -> bytes | wire.Spliced:
        return wire.encode_input(
            claim,
            mode="task",
            timeout_s=timeout or None,
            grace_s=self._settings.kill_grace,
            deadline_ms=int((self._clock.now().timestamp() + timeout) * 1000) if timeout else None,
            trace=claim.trace,
        )

    async def _get(self, stop: Stop) -> _Got:
        while self._free:
            process = self._free.pop()
            if not process.spent:
                return process
        if self._coming <= len(self._waiting) and len(self._seats) < self._width:
            self._open_seat()
        waiter: asyncio.Future[_Got] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        stop.listen(lambda: None if waiter.done() else waiter.set_result(None))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and isinstance(got := waiter.result(), WarmProcess):
                self._give(got)
            raise
        finally:
            with suppress(ValueError):
                self._waiting.remove(waiter)

    def _tell(self, got: WarmProcess | CannotStart) -> bool:
        """To the one that waits longest; False when nobody does."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(got)
                return True
        return False

    def _give(self, process: WarmProcess) -> None:
        """It has no task."""
        if not process.spent and (why := self._worn_out(process)) is not None:
            self._replace(process, why)
        if not process.spent and not self._tell(process):
            self._free.append(process)

    # -- wear ---------------------------------------------------------------------------------------------------------

    def _worn_out(self, process: WarmProcess) -> str | None:
        limits = self._settings.persistent
        if self._closing:
            return "the worker leaves"
        if limits.max_tasks and process.tasks >= limits.max_tasks:
            return "max_tasks"
        if limits.max_age and asyncio.get_running_loop().time() - process.started_at >= limits.max_age:
            return "max_age"
        if limits.max_rss_mb and _resident_bytes(process.pid) > limits.max_rss_mb * _MEBIBYTE:
            return "max_rss_mb"
        return None

    def _replace(self, process: WarmProcess, why: str) -> None:
        telemetry.debug("handler process is replaced", handler=self._command.name, pid=process.pid, reason=why)
        process.retire(LAST_GRACE if self._closing else self._settings.kill_grace)

    def _grow_old(self, process: WarmProcess) -> None:
        """Its time is up: at once where it has nothing to do, else when its task has ended."""
        if process in self._free and not process.spent:
            self._free.remove(process)
            self._replace(process, "max_age")

    # -- seats --------------------------------------------------------------------------------------------------------

    def _open_seat(self) -> None:
        self._coming += 1
        seat = asyncio.create_task(self._fill())
        self._seats.add(seat)
        seat.add_done_callback(self._close_seat)

    def _close_seat(self, seat: asyncio.Task[None]) -> None:
        self._seats.discard(seat)
        if not self._closing and self._coming < sum(not waiter.done() for waiter in self._waiting):
            self._open_seat()

    async def _fill(self) -> None:
        """One process after the other, until one cannot start, or leaves by itself without having a task."""
        while (process := await self._started()) is not None:
            self._coming -= 1
            self._give(process)
            if self._settings.persistent.max_age:
                asyncio.get_running_loop().call_later(self._settings.persistent.max_age, self._grow_old, process)
            await self._until_gone(process)
            if self._closing or process.deserted:
                return
            self._coming += 1

    async def _started(self) -> WarmProcess | None:
        """A process that is ready; None when there is none, and somebody knows why."""
        await self._rest()
        if self._closing:
            self._coming -= 1
            return None
        try:
            process = WarmProcess(self._prepared(), self._settings)
        except NotStartable as problem:
            self._failed(str(problem))
            return None
        except (OSError, ValueError) as error:
            self._failed(self._command.explain(error))
            return None
        self._processes.add(process)
        trouble = await process.ready
        if trouble is None:
            return process
        self._failed(self._says(trouble))
        await self._until_gone(process)
        return None

    async def _rest(self) -> None:
        if self._crashes < 2:
            return
        seat = asyncio.current_task()
        assert seat is not None
        self._resting.add(seat)
        try:
            pause = backoff(self._crashes - 1, base=FIRST_PAUSE, limit=LONGEST_PAUSE, rng=self._rng)
            await self._clock.sleep(pause)
        finally:
            self._resting.discard(seat)

    def _prepared(self) -> Start:
        return Start(
            program=self._command.locate(),
            argv=self._command.argv,
            cwd=self._command.cwd,
            env=self._command.env,
            stdin=None,
            limits=self._settings.limits,
        )

    def _failed(self, problem: str) -> None:
        self._coming -= 1
        if not self._tell(CannotStart(problem)) and not self._closing:
            telemetry.warning("handler process cannot start", handler=self._command.name, reason=problem)

    def _says(self, problem: str) -> str:
        return f"handler {self._command.name}: {self._command.argv[0]}: {problem}"

    async def _until_gone(self, process: WarmProcess) -> None:
        await asyncio.wait({process.gone})
        self._processes.discard(process)
        if process.deserted and process.ready.result() is None:
            telemetry.warning(
                "handler process ended while it had no task",
                handler=self._command.name,
                pid=process.pid,
                reason=process.farewell,
            )

    # -- the end ------------------------------------------------------------------------------------------------------

    async def close(self, cut_short: asyncio.Event) -> None:
        """See the seam."""
        self._closing = True
        for seat in self._resting:
            seat.cancel()
        for process in self._processes:
            process.retire(LAST_GRACE)
        if not self._seats:
            return
        cutting = asyncio.create_task(cut_short.wait())
        left = asyncio.create_task(_until_done(set(self._seats)))
        await asyncio.wait({left, cutting}, return_when=asyncio.FIRST_COMPLETED)
        cutting.cancel()
        for process in list(self._processes):
            process.kill()
        await left


async def _until_done(seats: set[asyncio.Task[None]]) -> None:
    await asyncio.wait(seats)


def _resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0
