"""One attempt on a process that stays: what that says meanwhile, and what it comes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never

from gridsidecar import wire
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import timeout_of
from gridsidecar.handler.attempt_output import AttemptOutput, OnProgress, noted
from gridsidecar.handler.capture import LogText, text_of
from gridsidecar.handler.deadlines import Deadlines
from gridsidecar.handler.oom import own_oom_counter
from gridsidecar.handler.outcome import Cause, ProcessEnd, TerminalMessage, classify
from gridsidecar.handler.process import Exit
from gridsidecar.rules.task import Claim, Displaced, Ended, Report


class Assignment(AttemptOutput):
    """The first terminal message ends it at once; without one, the end of the process does."""

    def __init__(
        self, settings: HandlerSettings, claim: Claim, on_progress: OnProgress, log: LogText | None = None
    ) -> None:
        super().__init__(settings, claim, on_progress, log)
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.timeout = timeout_of(claim, settings)
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.terminal: TerminalMessage | None = None
        self.exit: Exit | None = None  # of the process, when it went before it had said how the task ended
        self.never_read = False  # … and before it had read any of the task
        self.displaced: Displaced | None = None  # … and others with it
        self.sent_at = 0  # bytes that the process had been sent before
        self.hears_from = 0  # bytes that it had said beside its tasks before
        self.hung = False  # it did not end in time when it was asked to
        self.protocol_broken = False  # nobody can tell any more which task this process speaks of
        self.cause: Cause | None = None
        self.asked = False  # by a message, to give up
        self._deadlines = Deadlines(self.timeout, settings.stall_timeout)
        self._patience: asyncio.TimerHandle | None = None  # with which it was asked to end
        self._oom = own_oom_counter()
        self._oom_kills = self._oom.kills()
        self._started = self._loop.time()

    @property
    def overdue(self) -> bool:
        """It was ended because it had taken too long, or had been silent for too long."""
        return self.cause in (Cause.TIMEOUT, Cause.STALL)

    def begin(self, end_for: Callable[[Cause], None], sent_at: int) -> None:
        self.sent_at = sent_at
        self._started = self._loop.time()
        self._deadlines.start(end_for)

    def expect_end(self, seconds: float, otherwise: Callable[[Assignment], None]) -> None:
        """It was asked to end."""
        self.asked = True
        self._patience = self._loop.call_later(seconds, otherwise, self)

    def finish(self) -> None:
        """It is over: nothing is awaited any more."""
        self._deadlines.clear()
        if self._patience is not None:
            self._patience.cancel()
        if not self.over.done():
            self.over.set_result(None)

    # -- what is said -------------------------------------------------------------------------------------------------

    def heard(self) -> None:
        """A sign of life."""
        self._deadlines.heard()

    def hear(self, event: wire.Event | wire.Ignored | wire.Unreadable) -> None:
        match event:
            case wire.Ignored(reason):
                self.ignore(reason)
            case wire.Unreadable():
                self.unreadable(event)
                self._fail(event)
            case wire.ResultEvent() | wire.ErrorEvent():
                self._end(self.trimmed(event))
            case wire.ProgressEvent() | wire.CheckpointEvent():
                self.on_progress(noted(event))
            case wire.LogEvent():
                self.log_event(event)
            case wire.HeartbeatEvent():
                pass
            case wire.ReadyEvent():
                self.ignore("ready, in the middle of a task")
            case _:
                assert_never(event)

    def miss(self, head: bytes, lost: wire.Event | wire.Ignored | wire.Unreadable | None) -> None:
        """A line of its was too long to be read: its beginning, and what can be told of it."""
        self.discarded(head)
        if isinstance(lost, wire.Unreadable):
            self._fail(lost)

    def _fail(self, end: wire.Unreadable) -> None:
        self.protocol_broken = end.task_id is None
        self._end(end.event, unread=not end.own)

    def _end(self, event: wire.ResultEvent | wire.ErrorEvent, *, unread: bool = False) -> None:
        if self.terminal is None:
            self.terminal = TerminalMessage(event, late=self.stopping, unread=unread)

    # -- what it comes to ---------------------------------------------------------------------------------------------

    def ended(self, notes: tuple[str, ...]) -> Ended:
        """`notes` are those on the process."""
        code, number = (self.exit.code, self.exit.signal) if self.exit else (None, None)
        killed = number is not None and self.cause is None
        classified = classify(
            ProcessEnd(
                exit_code=code,
                signal=number,
                cause=self.cause,
                terminal=self.terminal,
                stderr_line=self.stderr_tail.last_line() if self.exit else "",
                out_of_memory=killed and self._oom.kills() > self._oom_kills,
                timeout=self.timeout,
                stays=True,
                asked=self.asked,
            ),
            self._settings,
        )
        report = Report(
            exit_code=code,
            signal=number,
            duration_s=self._loop.time() - self._started,
            log_head=self.log.head,
            log_tail=self.log.tail,
            log_dropped_bytes=self.log.dropped_bytes,
            stderr_tail=text_of(self.stderr_tail.bytes()),
            ignored_events=self.ignored,
            notes=notes + classified.notes,
        )
        return Ended(self.displaced or classified.outcome, report)
