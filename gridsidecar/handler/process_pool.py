"""The persistent handler: a pool of processes that stay, each with so many tasks at a time."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import suppress

from gridsidecar import telemetry, wire
from gridsidecar.clock import Clock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Stop, stopped_before_start
from gridsidecar.handler.assignment import Assignment
from gridsidecar.handler.attempt_output import OnProgress
from gridsidecar.handler.capture import LogText
from gridsidecar.handler.command import Command, NotStartable
from gridsidecar.handler.crash_backoff import CrashBackoff
from gridsidecar.handler.env_variables import handler_environment
from gridsidecar.handler.launch import Start
from gridsidecar.handler.persistent_process import PersistentProcess
from gridsidecar.handler.recycling import recycling_reason
from gridsidecar.handler.wait_queue import Got, WaitQueue
from gridsidecar.rules.task import CannotStart, Claim, Ended

LINGERS_FOR = 0.5  # seconds that a process which is not to stay waits for another task
LAST_GRACE = 1.0  # seconds from SIGTERM to SIGKILL when the worker leaves: no task can be lost any more


class ProcessPool:
    """Each process has a runner. A runner holds one process after the other, so there are never more than runners, but
    for those that still end several tasks, and get no other.

    Runners are taken when a task finds no process with room, and kept. One (or `persistent.processes`) is taken ahead
    of the first task, so that this finds a process that is ready.
    """

    def __init__(
        self,
        name: str,
        settings: HandlerSettings,
        clock: Clock,
        rng: random.Random,
        max_processes: int,
        *,
        concurrency: int = 1,
        stays: bool = True,
    ) -> None:
        """`concurrency`: most tasks in each process; without `stays`, one with nothing to do is ended."""
        self._settings = settings
        self._clock = clock
        self._max_processes = max_processes
        self._concurrency = concurrency
        self._expected_concurrency = concurrency  # of a process that starts: what the last one said
        self._stays = stays
        self._command = Command(name, tuple(settings.command), settings.cwd, handler_environment(settings, os.environ))
        self._runners: set[asyncio.Task[None]] = set()
        self._coming = 0  # runners that will have a process to offer, or fail
        self._processes: set[PersistentProcess] = set()
        self._free: list[PersistentProcess] = []  # those with room; the last is the one that was used last
        self._recycled: set[PersistentProcess] = set()  # to be retired once they have no task
        self._without_runner: set[asyncio.Task[None]] = set()  # wait for the end of one that has tasks yet
        self._waiting = WaitQueue()
        self._backoff = CrashBackoff(clock, rng)
        self._told = False  # that the handler takes fewer
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
        for _ in range(min(self._max_processes, self._settings.persistent.processes or 1)):
            self._start_runner()

    # -- an attempt ---------------------------------------------------------------------------------------------------

    async def run(self, claim: Claim, on_progress: OnProgress, stop: Stop, log: LogText | None = None) -> Ended:
        """See the seam."""
        never_read = 0
        while stop.reason is None:
            got = await self._get(claim.task_id, stop)
            if got is None:
                break
            if isinstance(got, CannotStart):
                return Ended(got)
            assignment = Assignment(self._settings, claim, on_progress, log)
            try:
                await got.take(assignment, self._line(claim, assignment.timeout), stop)
            finally:
                self._task_is_over(got, claim.task_id)
            if not assignment.never_read:
                if assignment.terminal is not None and assignment.exit is None:
                    self._backoff.crashes = 0
                return assignment.ended(got.notes)
            never_read += not got.tasks
            if never_read > 1 and stop.reason is None:
                return Ended(CannotStart(self._says("it ended after it was ready, without reading a task")))
        assert stop.reason is not None
        return Ended(stopped_before_start(stop.reason))

    def _line(self, claim: Claim, timeout: float) -> bytes | wire.Spliced:
        return wire.encode_input(
            claim,
            mode="task",
            timeout_s=timeout or None,
            grace_s=self._settings.kill_grace,
            deadline_ms=int((self._clock.now().timestamp() + timeout) * 1000) if timeout else None,
            trace=claim.trace,
        )

    async def _get(self, task_id: str, stop: Stop) -> Got:
        if (process := self._with_room(task_id)) is not None:
            return self._promise(process, task_id)
        waiter = self._waiting.join(task_id)
        self._start_runners()
        stop.listen(waiter.stop)
        try:
            return await waiter.got
        except asyncio.CancelledError:
            got = waiter.got.result() if waiter.got.done() and not waiter.got.cancelled() else None
            if isinstance(got, PersistentProcess):
                self._task_is_over(got, task_id)
            raise
        finally:
            self._waiting.leave(waiter)

    def _with_room(self, task_id: str) -> PersistentProcess | None:
        """The least loaded, of those that are equal the one that was used last."""
        best: PersistentProcess | None = None
        for process in reversed(self._free):
            if process.draining or task_id in process.promised:
                continue
            if not process.promised:
                return process
            if best is None or len(process.promised) < len(best.promised):
                best = process
        return best

    def _promise(self, process: PersistentProcess, task_id: str) -> PersistentProcess:
        process.promised.add(task_id)
        if len(process.promised) >= process.concurrency:
            self._free.remove(process)
        return process

    def _task_is_over(self, process: PersistentProcess, task_id: str) -> None:
        """This task of its is over."""
        process.promised.discard(task_id)
        self._offer(process)

    def _offer(self, process: PersistentProcess) -> None:
        """To those that wait longest, while it has room; else it is free for others."""
        if not process.draining and (why := self._recycling_reason(process)) is not None:
            self._recycle(process, why)
        if process.draining:
            self._let_go(process)
            return
        if process not in self._free:
            self._free.append(process)
        while process in self._free and (waiter := self._waiting.first(process.promised)) is not None:
            waiter.got.set_result(self._promise(process, waiter.task_id))
        if not self._stays and not process.promised:
            asyncio.get_running_loop().call_later(LINGERS_FOR, self._dismiss, process)

    def _dismiss(self, process: PersistentProcess) -> None:
        """Unless somebody needed it after all."""
        if process in self._processes and not (process.draining or process.promised):
            self._recycle(process, "it is not needed any more")

    def _recycling_reason(self, process: PersistentProcess) -> str | None:
        return "the worker leaves" if self._closing else recycling_reason(process, self._settings.persistent)

    def _recycle(self, process: PersistentProcess, why: str) -> None:
        """It gets no other task, and ends when it has none."""
        telemetry.debug("handler process is replaced", handler=self._command.name, pid=process.pid, reason=why)
        self._recycled.add(process)
        process.drain()
        self._let_go(process)

    def _let_go(self, process: PersistentProcess) -> None:
        with suppress(ValueError):
            self._free.remove(process)
        if process in self._recycled and not process.promised:
            self._recycled.discard(process)
            process.retire(LAST_GRACE if self._closing else self._settings.kill_grace)

    def _grow_old(self, process: PersistentProcess) -> None:
        """Its time is up: at once where it has nothing to do, else when its tasks have ended."""
        if process in self._processes and not process.draining:
            self._recycle(process, "max_age")

    # -- runners ------------------------------------------------------------------------------------------------------

    def _start_runners(self) -> None:
        """For those that wait, and that no process which is about to come has room for."""
        waiting = len(self._waiting)
        while self._coming * self._expected_concurrency < waiting and len(self._runners) < self._max_processes:
            self._start_runner()

    def _start_runner(self) -> None:
        self._coming += 1
        runner = asyncio.create_task(self._fill())
        self._runners.add(runner)
        runner.add_done_callback(self._close_runner)

    def _close_runner(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        if not self._closing:
            self._start_runners()

    async def _fill(self) -> None:
        """One process after the other, until one cannot start, or leaves by itself without having a task."""
        while (process := await self._started()) is not None:
            self._coming -= 1
            self._welcome(process)
            if age := self._settings.persistent.max_age:
                timer = asyncio.get_running_loop().call_later(age, self._grow_old, process)
                process.gone.add_done_callback(lambda _, timer=timer: timer.cancel())  # type: ignore[misc]
            await self._until_runner_is_free(process)
            if self._closing or process.exited_idle or not (self._stays or self._waiting):
                return
            self._coming += 1

    def _welcome(self, process: PersistentProcess) -> None:
        if process.concurrency < self._concurrency and not self._told:
            self._told = True
            telemetry.warning(
                "handler takes fewer tasks at once than persistent.concurrency",
                handler=self._command.name,
                takes=process.concurrency,
                concurrency=self._concurrency,
            )
        process.concurrency = self._expected_concurrency = min(process.concurrency, self._concurrency)
        self._offer(process)
        if process.concurrency < self._concurrency:  # more processes than was thought
            self._start_runners()

    async def _until_runner_is_free(self, process: PersistentProcess) -> None:
        """It is gone; or it will take a while over several tasks, and gets no other."""
        await asyncio.wait({process.leaving})
        if not process.assignments or process.concurrency == 1:
            await self._until_gone(process)
            return
        left = asyncio.create_task(self._until_gone(process))
        self._without_runner.add(left)
        left.add_done_callback(self._without_runner.discard)

    async def _started(self) -> PersistentProcess | None:
        """A process that is ready; None when there is none, and somebody knows why."""
        await self._backoff.wait()
        if self._closing:
            self._coming -= 1
            return None
        try:
            process = PersistentProcess(self._prepared(), self._settings)
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
        if not self._waiting.fail(problem, self._expected_concurrency) and not self._closing:
            telemetry.warning("handler process cannot start", handler=self._command.name, reason=problem)

    def _says(self, problem: str) -> str:
        return f"handler {self._command.name}: {self._command.argv[0]}: {problem}"

    async def _until_gone(self, process: PersistentProcess) -> None:
        await asyncio.wait({process.gone})
        self._processes.discard(process)
        self._recycled.discard(process)
        with suppress(ValueError):
            self._free.remove(process)
        self._backoff.crashes += process.crashed
        if process.exited_idle and process.ready.result() is None:
            telemetry.warning(
                "handler process ended while it had no task",
                handler=self._command.name,
                pid=process.pid,
                reason=process.exit_text,
            )

    # -- the end ------------------------------------------------------------------------------------------------------

    async def close(self, cut_short: asyncio.Event) -> None:
        """See the seam."""
        self._closing = True
        self._backoff.cancel()
        for process in self._processes:
            process.retire(LAST_GRACE)
        if not self._runners | self._without_runner:
            return
        cutting = asyncio.create_task(cut_short.wait())
        left = asyncio.create_task(_until_done(self._runners | self._without_runner))
        await asyncio.wait({left, cutting}, return_when=asyncio.FIRST_COMPLETED)
        cutting.cancel()
        for process in list(self._processes):
            process.kill()
        await left


async def _until_done(runners: set[asyncio.Task[None]]) -> None:
    await asyncio.wait(runners)
