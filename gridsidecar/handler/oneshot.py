"""The oneshot handler: one process per attempt, the task on its stdin, its end the end of the attempt."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from gridsidecar import failpoints, wire
from gridsidecar.clock import Clock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Stop, stopped_before_start, timeout_of
from gridsidecar.handler.attempt_output import OnProgress
from gridsidecar.handler.capture import LogText, text_of
from gridsidecar.handler.command import Command, NotStartable
from gridsidecar.handler.deadlines import Deadlines
from gridsidecar.handler.env_variables import attempt_environment, handler_environment
from gridsidecar.handler.launch import Start
from gridsidecar.handler.oneshot_output import OneshotOutput
from gridsidecar.handler.oom import own_oom_counter
from gridsidecar.handler.outcome import Cause, ProcessEnd, classify
from gridsidecar.handler.process import Exit, Process, Sink, Sinks
from gridsidecar.rules.task import CannotStart, Claim, Ended, Report

_FOUND_FOR_S = 1.0  # how long a command that was found counts as found


class OneshotHandler:
    """Runs one configured command, a fresh process for each attempt."""

    def __init__(self, name: str, settings: HandlerSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._command = Command(name, tuple(settings.command), settings.cwd, handler_environment(settings, os.environ))
        self._program: str | None = None
        self._found_at = 0.0  # monotonic

    def cannot_start(self) -> str | None:
        """See the seam. A command that was found is looked up again after a second at the earliest."""
        try:
            self._locate()
        except NotStartable as problem:
            return str(problem)
        return None

    def start(self) -> None:
        """See the seam: nothing waits for a task here."""

    async def close(self, cut_short: asyncio.Event) -> None:
        """See the seam."""

    async def run(self, claim: Claim, on_progress: OnProgress, stop: Stop, log: LogText | None = None) -> Ended:
        """See the seam."""
        if stop.reason is not None:
            return Ended(stopped_before_start(stop.reason))
        attempt = _Attempt(self._settings, claim, on_progress, log)
        try:
            attempt.start(self._prepared(claim, timeout_of(claim, self._settings)))
        except NotStartable as problem:
            return Ended(CannotStart(str(problem)))
        except (OSError, ValueError) as error:
            self._program = None
            return Ended(CannotStart(self._command.explain(error)))
        return await attempt.until_end(stop)

    def _locate(self) -> str:
        now = self._clock.monotonic()
        if self._program is None or now - self._found_at >= _FOUND_FOR_S:
            self._program = None
            self._program = self._command.locate()
            self._found_at = now
        return self._program

    def _prepared(self, claim: Claim, timeout: float) -> Start:
        deadline_ms = None
        if timeout:
            deadline_ms = int((self._clock.now().timestamp() + timeout) * 1000)
        trace = claim.trace
        stdin = wire.encode_input(
            claim,
            mode=self._settings.input,
            timeout_s=timeout or None,
            grace_s=self._settings.kill_grace,
            deadline_ms=deadline_ms,
            trace=trace,
        )
        return Start(
            program=self._locate(),
            argv=self._command.argv,
            cwd=self._command.cwd,
            env={**self._command.env, **attempt_environment(claim, deadline_ms, trace)},
            stdin=stdin,
            limits=self._settings.limits,
        )


class _Attempt:
    """One process with its timers and the reason why we ended it, if we did."""

    def __init__(self, settings: HandlerSettings, claim: Claim, on_progress: OnProgress, log: LogText | None) -> None:
        self._settings = settings
        self._talk = OneshotOutput(settings, claim, on_progress, log)
        self._cause: Cause | None = None
        self._deadlines = Deadlines(timeout_of(claim, settings), settings.stall_timeout)
        self._oom = own_oom_counter()
        self._oom_kills = self._oom.kills()

    def start(self, start: Start) -> None:
        """Raises OSError or ValueError when the command cannot be started."""
        take_events = None if self._settings.channel == "stdout" else self._talk.take_events
        sinks = Sinks(stdout=self._talk.take_stdout, stderr=self._talk.take_stderr, events=take_events)
        if self._settings.stall_timeout:
            sinks = self._timed(sinks)
        self._process = Process(start, sinks)
        self._deadlines.start(self._end_for)

    async def until_end(self, stop: Stop) -> Ended:
        stop.listen(partial(self._obey, stop))
        try:
            await failpoints.reached("spawned")
            end = await self._process.ended
        finally:
            self._deadlines.clear()
            if not self._process.ended.done() or self._process.ended.cancelled():
                self._process.abandon()
        return self._classified(end)

    # -- ending it ----------------------------------------------------------------------------------------------------

    def _obey(self, stop: Stop) -> None:
        assert stop.reason is not None
        self._end_for(Cause.of(stop.reason))
        if stop.hurried:
            self._process.kill()

    def _end_for(self, cause: Cause) -> None:
        if self._process.exited:
            return  # it ended by itself; only its last output is awaited
        if self._cause is None or cause is Cause.DISOWNED:
            self._cause = cause
        self._talk.stopping = True
        self._process.stop(self._settings.kill_grace)

    def _timed(self, sinks: Sinks) -> Sinks:
        def timed(sink: Sink) -> Sink:
            def take(data: bytes) -> None:
                self._deadlines.heard()
                sink(data)

            return take

        return Sinks(
            stdout=timed(sinks.stdout),
            stderr=timed(sinks.stderr),
            events=None if sinks.events is None else timed(sinks.events),
        )

    # -- what it came to ----------------------------------------------------------------------------------------------

    def _classified(self, exit_: Exit) -> Ended:
        self._talk.finish()
        killed = exit_.signal is not None and self._cause is None
        classified = classify(
            ProcessEnd(
                exit_code=exit_.code,
                signal=exit_.signal,
                cause=self._cause,
                terminal=self._talk.terminal,
                output=self._talk.output() if self._settings.result_from == "stdout" else None,
                stderr_line=self._talk.stderr_tail.last_line() if exit_.code != 0 else "",
                lost_message=self._talk.lost_message,
                out_of_memory=killed and self._oom.kills() > self._oom_kills,
                timeout=self._deadlines.timeout,
            ),
            self._settings,
        )
        return Ended(classified.outcome, self._report(exit_, classified.notes))

    def _report(self, exit_: Exit, notes: tuple[str, ...]) -> Report:
        log = self._talk.log
        return Report(
            exit_code=exit_.code,
            signal=exit_.signal,
            duration_s=exit_.duration_s,
            spawn_s=self._process.spawn_s,
            cpu_s=exit_.cpu_s,
            peak_rss_bytes=exit_.peak_rss_bytes,
            log_head=log.head,
            log_tail=log.tail,
            log_dropped_bytes=log.dropped_bytes,
            stderr_tail=text_of(self._talk.stderr_tail.bytes()),
            ignored_events=self._talk.ignored,
            notes=self._process.notes + notes,
        )
