"""Hooks: commands of the user at the start and end of the worker and of each attempt."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from msgspec.structs import replace

from gridsidecar import telemetry, wire
from gridsidecar.config.hooks import HookSettings
from gridsidecar.delivery.routes import Route
from gridsidecar.delivery.worker import HeldAttempt, HeldAttempts
from gridsidecar.environment import Environment
from gridsidecar.errors import EX_CONFIG, GridSidecarError
from gridsidecar.handler import CommandEnd, Stop, StopReason, run_command, timeout_of
from gridsidecar.handler.command import Command
from gridsidecar.handler.env_variables import attempt_environment, hook_environment
from gridsidecar.rules.task import Claim, Message, Report, Task, TaskUpdate

LONGEST_LINE = 256  # ends of tasks that wait for their hook; what comes on top gets none

Name = Literal["on_startup", "on_shutdown", "on_task_start", "on_task_end"]


class HookFailed(GridSidecarError):
    """on_startup did not succeed, so nothing was started."""

    def __init__(self, end: CommandEnd, problem: str) -> None:
        super().__init__(problem if end.cannot_start else f"the hook on_startup failed, nothing was started: {problem}")
        if end.cannot_start:
            self.exit_code = EX_CONFIG


class Hooks:
    """Runs the configured hooks. Only a failure of on_startup has a consequence; any other is a warning."""

    def __init__(self, settings: HookSettings, env: Environment, attempts: HeldAttempts, queue: str) -> None:
        self._settings = settings
        self._env = env
        self._attempts = attempts
        self._queue = queue
        self._started = False
        self._ends = EndLine(self._task_ended, env.settings.concurrency)

    # -- the worker's own ---------------------------------------------------------------------------------------------

    async def start(self, leave: asyncio.Event) -> None:
        """on_startup; ended when `leave` is set. Raises `HookFailed`."""
        with _stopped_by(leave) as stop:
            end = await self._run_for_worker("on_startup", self._settings.on_startup, "startup", stop)
        if (problem := self._problem(end)) is not None:
            raise HookFailed(end, problem)
        self._started = not end.stopped

    async def finish_tasks(self, cut_short: asyncio.Event) -> None:
        """No task is left: wait for the hooks of those that ended, but no longer than one of them may take."""
        await self._ends.finish(self._settings.timeout, cut_short)

    async def shut_down(self, cut_short: asyncio.Event) -> None:
        """on_shutdown, where the start had come as far as on_startup."""
        if not self._started:
            return
        with _stopped_by(cut_short) as stop:
            end = await self._run_for_worker("on_shutdown", self._settings.on_shutdown, "shutdown", stop)
        self._warn("on_shutdown", end)

    async def _run_for_worker(
        self, name: Name, argv: list[str] | None, kind: Literal["startup", "shutdown"], stop: Stop
    ) -> CommandEnd:
        if argv is None:
            return CommandEnd(exit_code=0)
        telemetry.info("running a hook", hook=name)
        line = wire.encode_worker_event(kind, worker=self._env.name, queue=self._queue)
        return await self._run(name, argv, line, {}, stop)

    # -- a task's -----------------------------------------------------------------------------------------------------

    @property
    def before_attempt(self) -> Callable[[HeldAttempt, Route], Awaitable[None]] | None:
        """on_task_start, for whoever runs attempts; None where there is none."""
        return None if self._settings.on_task_start is None else self._task_starts

    async def _task_starts(self, held: HeldAttempt, route: Route) -> None:
        argv, claim = self._settings.on_task_start, held.claim
        assert argv is not None
        try:
            line = wire.encode_input(
                claim,
                mode="task",
                timeout_s=timeout_of(claim, route.settings) or None,
                grace_s=route.settings.kill_grace,
                deadline_ms=None,  # its time begins after the hook
                trace=claim.trace,
            )
            await self._run_for_task("on_task_start", argv, claim, line, held.stop)
        except Exception as error:  # no task may suffer from its hook
            telemetry.unexpected_error(error)

    def hear(self, update: TaskUpdate) -> None:
        """Something happened to a task; at its end its hook is due."""
        if not self._settings.on_task_end or not update.task_id:  # without a usable id there is no task
            return
        held = self._attempts.get(update.task_id)
        if update.report is not None:  # the texts may be large, and are not told
            update = replace(update, report=replace(update.report, log_head="", log_tail="", stderr_tail=""))
        self._ends.take(update, None if held is None else held.gone)

    async def _task_ended(self, update: TaskUpdate, stop: Stop) -> None:
        argv, claim = self._settings.on_task_end, _claim_of(update)
        assert argv is not None
        line = wire.encode_task_end(claim, _end_of(update))
        await self._run_for_task("on_task_end", argv, claim, line, stop)

    async def _run_for_task(
        self, name: Name, argv: list[str], claim: Claim, line: bytes | wire.Spliced, stop: Stop
    ) -> None:
        variables = attempt_environment(claim, None, claim.trace)
        self._warn(name, await self._run(name, argv, line, variables, stop), claim)

    # -- any ----------------------------------------------------------------------------------------------------------

    async def _run(
        self, name: Name, argv: list[str], line: bytes | wire.Spliced, variables: Mapping[str, str], stop: Stop
    ) -> CommandEnd:
        environment = {**hook_environment(name, os.environ), **variables}
        command = Command(name, tuple(argv), None, environment, kind="hook")
        return await run_command(command, line, self._settings.timeout, stop)

    def _problem(self, end: CommandEnd) -> str | None:
        """What is wrong with how it ended; None when nothing is, or when it was us who ended it early."""
        if end.cannot_start is not None or end.stopped or (end.exit_code == 0 and not end.timed_out):
            return end.cannot_start
        if end.timed_out:
            what = f"not done within {self._settings.timeout:g} s, and ended"
        else:
            what = f"exit code {end.exit_code}" if end.signal is None else f"ended by signal {end.signal}"
        return f"{what}: {end.stderr_line}" if end.stderr_line else what

    def _warn(self, name: Name, end: CommandEnd, claim: Claim | None = None) -> None:
        if (problem := self._problem(end)) is not None:
            task = {"task_id": claim.task_id, "attempt": claim.attempt} if claim is not None else {}
            telemetry.warning("a hook failed", hook=name, **task, reason=problem)


class EndLine:
    """Ends of tasks in line for their hook: so many at once, beside the slots. A task never waits for this line."""

    def __init__(self, run: Callable[[TaskUpdate, Stop], Awaitable[None]], at_once: int) -> None:
        self._run = run
        self._at_once = at_once
        self._turns = asyncio.Semaphore(at_once)
        self._jobs: dict[asyncio.Task[None], Stop] = {}
        self._left_out = 0  # since the line was last empty

    def take(self, update: TaskUpdate, settled: asyncio.Event | None) -> None:
        """Into the line; its turn does not come before the task's delivery is settled."""
        if len(self._jobs) >= self._at_once + LONGEST_LINE:
            if not self._left_out:
                telemetry.warning("on_task_end is slower than the tasks, some ends get none", waiting=len(self._jobs))
            self._left_out += 1
            return
        stop = Stop()
        job = asyncio.create_task(self._job(update, settled, stop))
        self._jobs[job] = stop
        job.add_done_callback(self._done)

    async def _job(self, update: TaskUpdate, settled: asyncio.Event | None, stop: Stop) -> None:
        if settled is not None:
            await settled.wait()
        async with self._turns:
            try:
                await self._run(update, stop)
            except Exception as error:
                telemetry.unexpected_error(error)

    def _done(self, job: asyncio.Task[None]) -> None:
        del self._jobs[job]
        if self._left_out and not self._jobs:
            telemetry.warning("ends of tasks had no on_task_end", left_out=self._left_out)
            self._left_out = 0

    async def finish(self, seconds: float, cut_short: asyncio.Event) -> None:
        """Wait so long for the line to get empty, then end what runs and forget what waits."""
        if not self._jobs:
            return
        telemetry.info("waiting for on_task_end", waiting=len(self._jobs))
        finished = asyncio.create_task(_all(set(self._jobs)))
        cutting = asyncio.create_task(cut_short.wait())
        await asyncio.wait({finished, cutting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        cutting.cancel()
        self._left_out += len(self._jobs)
        for stop in self._jobs.values():
            stop.request(StopReason.SHUTDOWN)
        await finished


async def _all(jobs: set[asyncio.Task[None]]) -> None:
    await asyncio.wait(jobs)


@contextmanager
def _stopped_by(event: asyncio.Event) -> Iterator[Stop]:
    """A stop that is requested once the event is set."""
    stop = Stop()
    waiting = asyncio.create_task(event.wait())
    waiting.add_done_callback(lambda _: stop.request(StopReason.SHUTDOWN))
    try:
        yield stop
    finally:
        waiting.cancel()


def _claim_of(update: TaskUpdate) -> Claim:
    """The attempt that an update tells of, as far as it is known."""
    unread = Task(task_id=update.task_id, task_type=update.task_type, message=Message(body=b""))
    return Claim(
        task=update.task or unread, attempt=update.attempt, worker_id="", max_retry_count=update.max_retry_count
    )


def _end_of(update: TaskUpdate) -> dict[str, object]:
    report = update.report or Report()
    return {
        "status": update.status.value,
        "result": update.result,
        "error": update.error,
        "error_type": update.error_type and str(update.error_type),
        "last_error_type": update.last_error_type and str(update.last_error_type),
        "retry_in_s": update.retry_in,
        "duration_s": None if update.report is None else round(report.duration_s, 3),
        "exit_code": report.exit_code,
    }
