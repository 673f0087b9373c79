"""Where a handler is tried: its command, its tasks, and the runs that several checks look at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct

from gridsidecar import wire
from gridsidecar.clock import Clock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.conformance.handler_under_test import HandlerLine, HandlerUnderTest
from gridsidecar.conformance.run import Run, deciding, error_of, names, terminal_of
from gridsidecar.handler.command import Command
from gridsidecar.handler.env_variables import attempt_environment, handler_environment
from gridsidecar.handler.outcome import ProcessEnd, StdoutResult, classify
from gridsidecar.rules.task import Claim, ErrorType, Failed, Message, Outcome, Task
from gridsidecar.wire import ReadyEvent

HandlerMode = Literal["oneshot", "persistent", "http"]
LARGE = 1024 * 1024  # bytes that a line of a task is padded with
PROBE_S = 10.0  # how long a handler is given to show that it is persistent


class Limits(Struct, frozen=True, kw_only=True):
    """In seconds."""

    timeout: float = 60.0
    grace: float = 10.0
    ready_timeout: float = 30.0


class Bench:
    """Runs are made when they are first asked for, and once."""

    def __init__(
        self,
        handler: HandlerSettings,
        task: Mapping[str, Any],
        limits: Limits,
        clock: Clock,
        mode: HandlerMode | None = None,
    ) -> None:
        """`mode` is None where it is to be found out; that of `handler` is not asked."""
        self._handler = handler
        self._task = task
        self.limits = limits
        self._clock = clock
        self._known_mode = mode

    @cached_property
    def mode(self) -> HandlerMode:
        """As told; else persistent for a handler that says `ready`, although its stdin has ended already."""
        if self._known_mode is not None:
            return self._known_mode
        if not self.reads_task or self.prints_result:
            return "oneshot"  # no other can be configured so
        with self.started("persistent") as child:
            child.close_stdin()
            child.wait_for_exit(min(PROBE_S, self.limits.ready_timeout))
            return "persistent" if any(isinstance(line.heard, ReadyEvent) for line in child.lines) else "oneshot"

    @property
    def guessed(self) -> bool:
        """Nobody told the mode."""
        return self._known_mode is None and self.reads_task and not self.prints_result

    @property
    def settings(self) -> HandlerSettings:
        return self._settings(self.mode)

    def _settings(self, mode: HandlerMode) -> HandlerSettings:
        changed = {"mode": mode, "timeout": self.limits.timeout, "kill_grace": self.limits.grace}
        return self._handler.model_copy(update=changed)

    @property
    def reads_task(self) -> bool:
        """The whole message, and not only its data."""
        return self._handler.input == "task"

    @property
    def prints_result(self) -> bool:
        return self._handler.result_from == "stdout"

    @property
    def channel(self) -> Literal["auto", "events", "stdout"]:
        return self._handler.channel

    # -- tasks --------------------------------------------------------------------------------------------------------

    def claim(self, *, number: int = 1, checkpoint: Any = None, **fields: Any) -> Claim:
        """The sample task with further fields; `number` tells several tasks apart."""
        task_id = self._task["task_id"] if number == 1 else f"{self._task['task_id'][:240]}-{number}"
        wanted = {**self._task, **fields, "task_id": task_id}
        task = wire.decode_task(Message(body=wire.data_json(wanted).encode()), 64 * 1024 * 1024)
        assert isinstance(task, Task), task  # it was read before
        return Claim(
            task=task,
            attempt=1 if checkpoint is None else 2,
            worker_id="check",
            max_retry_count=task.max_retry_count or 0,
            redelivered=checkpoint is not None,
            checkpoint=checkpoint,
        )

    def line(self, claim: Claim) -> bytes:
        line = wire.encode_input(
            claim,
            mode=self._handler.input,
            timeout_s=self.limits.timeout,
            grace_s=self.limits.grace,
            deadline_ms=self._deadline_ms,
        )
        assert isinstance(line, bytes)  # its tasks are decoded as a whole
        return line

    @property
    def _deadline_ms(self) -> int:
        return int((self._clock.now().timestamp() + self.limits.timeout) * 1000)

    # -- processes ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def started(
        self, mode: HandlerMode, claim: Claim | None = None, *, inherit: bool = False, offer_events: bool = True
    ) -> Iterator[HandlerUnderTest]:
        """A process of the handler; `inherit` gives it our whole environment."""
        env = handler_environment(self._settings(mode), os.environ)
        if inherit:
            env = {**os.environ, **env}
        only = claim if mode == "oneshot" else None
        if only is not None:
            env |= attempt_environment(only, self._deadline_ms, None)
        child = HandlerUnderTest(
            Command("check", tuple(self._handler.command), self._handler.cwd, env),
            env,
            self._clock,
            only=only,
            limits=self._handler.limits,
            offer_events=offer_events and self.channel != "stdout",
            plain_stdout=self.prints_result or self.channel == "events",
        )
        try:
            yield child
        finally:
            child.close()

    def run(self, claim: Claim, **how: bool) -> Run:
        """One task through a process of its own."""
        with self.started(self.mode, claim, **how) as child:
            return self._oneshot(child, claim) if self.mode == "oneshot" else self._persistent(child, claim)

    def _oneshot(self, child: HandlerUnderTest, claim: Claim) -> Run:
        child.send(self.line(claim))
        child.close_stdin()
        timed_out = not child.wait_for_exit(self.limits.timeout)
        return self._seen(child, claim, 0.0, child.now if child.exit is None else child.exit.at, timed_out)

    def _persistent(self, child: HandlerUnderTest, claim: Claim) -> Run:
        ready = wait_for_ready(child, self.limits.ready_timeout)
        began = child.now
        timed_out = False
        if ready is not None:
            child.send(self.line(claim))
            timed_out = not child.wait(lambda: ended(child, claim.task_id) or child.exit, self.limits.timeout)
        done = ended(child, claim.task_id)
        stop = child.now if done is None else done.at
        child.close_stdin()
        child.wait_for_exit(self.limits.grace)
        return self._seen(child, claim, began, stop, timed_out, ready)

    def _seen(
        self,
        child: HandlerUnderTest,
        claim: Claim,
        began: float,
        stop: float,
        timed_out: bool,
        ready: HandlerLine | None = None,
    ) -> Run:
        return Run(
            task_id=claim.task_id,
            lines=tuple(child.lines),
            outcome=None if timed_out else self._outcome(child, claim, ready),
            began=began,
            ended=stop,
            exit=child.exit,
            leftovers=child.leftovers,
            discarded=child.silent_drop,
            stderr=child.stderr.last_line(),
            printed=child.printed,
            ready=ready,
        )

    def _outcome(self, child: HandlerUnderTest, claim: Claim, ready: HandlerLine | None) -> Outcome | None:
        """As the sidecar judges it."""
        if self.mode == "persistent":
            last = ended(child, claim.task_id)
            if last is None:
                return Failed(error=f"no result and no error came ({child.exit})", error_type=ErrorType.HANDLER_EXIT)
        else:
            last = next(iter(deciding(child.lines)), None)
        code, number = (child.exit.code, child.exit.signal) if child.exit is not None else (0, None)
        end = ProcessEnd(
            exit_code=code,
            signal=number,
            cause=None,
            terminal=None if last is None else terminal_of(last),
            output=StdoutResult(None, child.printed) if self.prints_result else None,
            stderr_line=child.stderr.last_line(),
            lost_message=child.silent_drop > 0,
            timeout=self.limits.timeout,
        )
        return classify(end, self.settings).outcome

    # -- runs that several checks look at -----------------------------------------------------------------------------

    @cached_property
    def sample(self) -> Run:
        return self.run(self.claim())

    @cached_property
    def with_unknown_fields(self) -> Run:
        return self.run(self.claim(x_unknown={"nested": [1, None]}, x_check="\u4e2d\u2028"))

    @cached_property
    def with_large_task(self) -> Run:
        return self.run(self.claim(x_padding="x" * LARGE))


def wait_for_ready(child: HandlerUnderTest, seconds: float) -> HandlerLine | None:
    """The `ready` of a persistent handler, if it comes in time, and no error in its place."""

    def first() -> HandlerLine | None:
        return next((line for line in child.lines if isinstance(line.heard, ReadyEvent) or error_of(line)), None)

    child.wait(lambda: first() or child.exit, seconds)
    found = first()
    return found if found is not None and isinstance(found.heard, ReadyEvent) else None


def ended(child: HandlerUnderTest, task_id: str) -> HandlerLine | None:
    """The message that ended this task, which has to name it."""
    return next((line for line in deciding(child.lines) if names(line, task_id)), None)
