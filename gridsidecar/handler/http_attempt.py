"""One attempt on a server: a request, its answer as it comes, and why we closed the connection, if we did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from gridsidecar import failpoints
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Stop, timeout_of
from gridsidecar.handler.attempt_output import OnProgress
from gridsidecar.handler.capture import LogText
from gridsidecar.handler.deadlines import Deadlines
from gridsidecar.handler.http_end import broken_off, by_answer
from gridsidecar.handler.http_output import HttpOutput
from gridsidecar.handler.outcome import Cause, Classified, ProcessEnd, classify
from gridsidecar.outbound.http_exchange import Body, Head, HttpExchange
from gridsidecar.outbound.reply import NotSent
from gridsidecar.outbound.request import Request
from gridsidecar.rules.task import Claim, Ended, ErrorType, Failed, Report
from gridsidecar.wire import ErrorEvent

ENDS_WITHIN = 2.0  # seconds that an answer may go on after its result

Posted = tuple[Request, Body]


class HttpAttempt:
    def __init__(
        self, settings: HandlerSettings, claim: Claim, on_progress: OnProgress, log: LogText | None = None
    ) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._output = HttpOutput(settings, claim, on_progress, log)
        self._deadlines = Deadlines(timeout_of(claim, settings), settings.stall_timeout)
        self._started = self._loop.time()
        self._head: Head | None = None
        self._cause: Cause | None = None
        self._talk: asyncio.Task[None] | None = None
        self._closing = False
        self._patience: asyncio.TimerHandle | None = None  # with an answer that says more than its result
        self.began = False  # the server has a connection, and may have the task
        self.failure: NotSent | None = None  # of the connection

    @property
    def decided(self) -> bool:
        """By us or by a message, however the connection ended."""
        terminal = self._output.terminal
        return self._cause is not None or (terminal is not None and not terminal.unread)

    async def until_end(
        self, stop: Stop, opened: Callable[[], Awaitable[HttpExchange]], posted: Callable[[], Awaitable[Posted]]
    ) -> None:
        self._talk = asyncio.create_task(self._converse(opened, posted))
        stop.listen(partial(self._obey, stop))
        try:
            await asyncio.wait({self._talk})
        finally:
            self._deadlines.clear()
            if self._patience is not None:
                self._patience.cancel()
            self._close()
            await asyncio.gather(self._talk, return_exceptions=True)
        self._output.finish()
        error = None if self._talk.cancelled() else self._talk.exception()
        if isinstance(error, NotSent):
            self.failure = error
        elif error is not None:
            raise error

    async def _converse(
        self, opened: Callable[[], Awaitable[HttpExchange]], posted: Callable[[], Awaitable[Posted]]
    ) -> None:
        exchange = await opened()
        try:
            self.began = True
            await failpoints.reached("spawned")
            self._started = self._loop.time()
            self._deadlines.start(self._end_for)
            self._head = await exchange.post(*await posted())
            async for chunk in exchange.chunks():
                self._take(chunk)
        finally:
            await exchange.close()

    def _take(self, chunk: bytes) -> None:
        self._deadlines.heard()
        self._output.take(chunk)
        if self._output.terminal is not None and self._patience is None:
            self._patience = self._loop.call_later(ENDS_WITHIN, self._close)

    # -- ending it ----------------------------------------------------------------------------------------------------

    def _obey(self, stop: Stop) -> None:
        assert stop.reason is not None
        self._end_for(Cause.of(stop.reason))

    def _end_for(self, cause: Cause) -> None:
        """A closed connection is the one way to ask a server to give up; there is no grace, as nothing can be heard."""
        if self._talk is None or self._talk.done():
            return  # it ended by itself
        if self._cause is None or cause is Cause.DISOWNED:
            self._cause = cause
        self._output.stopping = True
        self._close()

    def _close(self) -> None:
        if not self._closing and self._talk is not None:
            self._closing = True
            self._talk.cancel()

    # -- what it came to ----------------------------------------------------------------------------------------------

    def judged(self, where: str) -> Ended:
        """`where`: whose answer it is, for people."""
        classified = self._classified(where)
        return Ended(classified.outcome, self._report(classified.notes))

    def broken(self, together: int) -> Ended:
        """The connection ended before it was time, and those of so many tasks with it."""
        terminal = self._output.terminal
        words = str(self.failure)
        if terminal is not None and isinstance(terminal.event, ErrorEvent):
            words += f"; {terminal.event.error}"
        return Ended(broken_off(words, together), self._report(()))

    def _classified(self, where: str) -> Classified:
        terminal = self._output.terminal
        if self._cause is not None or terminal is not None:
            return classify(
                ProcessEnd(cause=self._cause, terminal=terminal, timeout=self._deadlines.timeout), self._settings
            )
        if self.failure is not None:
            return Classified(Failed(error=str(self.failure), error_type=ErrorType.HANDLER_ERROR))
        assert self._head is not None
        return by_answer(self._head, self._output, self._settings, where)

    def _report(self, notes: tuple[str, ...]) -> Report:
        log = self._output.log
        return Report(
            duration_s=self._loop.time() - self._started,
            log_head=log.head,
            log_tail=log.tail,
            log_dropped_bytes=log.dropped_bytes,
            ignored_events=self._output.ignored,
            notes=notes,
        )
