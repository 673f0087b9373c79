"""A handler that is a server, where it is tried: each run is a request. Loads an HTTP client."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

from gridsidecar.clock import system_random
from gridsidecar.conformance.bench import Bench
from gridsidecar.conformance.handler_under_test import HandlerLine
from gridsidecar.conformance.run import Run
from gridsidecar.handler import Stop, StopReason
from gridsidecar.handler.command import NotStartable
from gridsidecar.handler.http import HttpHandler
from gridsidecar.handler.http_attempt import HttpAttempt
from gridsidecar.handler.lines import LineSplitter
from gridsidecar.rules.task import Cancelled, CannotStart, Claim, ErrorType, Failed
from gridsidecar.wire import LineSource, decode_event

AT_ONCE = 4  # tasks
HANGS_UP_AFTER = 0.3  # seconds


class WatchedAttempt(HttpAttempt):
    """Keeps the lines of its answer, with their times."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lines: list[HandlerLine] = []
        self.bytes = 0
        self._splitter = LineSplitter()

    def _take(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        self._note(self._splitter.feed(chunk))
        super()._take(chunk)

    def last_line(self) -> None:
        self._note(self._splitter.finish())

    @property
    def media_type(self) -> str:
        return "" if self._head is None else self._head.kind

    def _note(self, lines: list[bytes]) -> None:
        claim = self._output.claim
        for raw in lines:
            heard = decode_event(raw, LineSource.STDOUT, task_id=claim.task_id, attempt=claim.attempt)
            self.lines.append(HandlerLine(self._loop.time() - self._started, LineSource.STDOUT, raw, heard))


class ServerBench(Bench):
    """NotStartable where the server is not there, or says so."""

    media_type = ""  # of the latest answer

    def run(self, claim: Claim, **_: bool) -> Run:
        """One task."""
        return asyncio.run(self._answered(claim))

    @cached_property
    def at_once(self) -> list[Run]:
        """Several tasks at the same time."""
        return asyncio.run(self._several())

    def hang_up(self) -> bool:
        """Close the connection of a task that runs; False where it ended before."""
        return isinstance(asyncio.run(self._answered(self.claim(), Stop())).outcome, Cancelled)

    async def _several(self) -> list[Run]:
        return await asyncio.gather(*(self._answered(self.claim(number=n + 1)) for n in range(AT_ONCE)))

    async def _answered(self, claim: Claim, stop: Stop | None = None) -> Run:
        attempts: list[WatchedAttempt] = []
        handler = HttpHandler("check", self.settings, self._clock, system_random())

        def attempt(*args: Any) -> WatchedAttempt:
            attempts.append(WatchedAttempt(*args))
            return attempts[0]

        handler.make_attempt = attempt
        if stop is not None:
            asyncio.get_running_loop().call_later(HANGS_UP_AFTER, stop.request, StopReason.CANCEL)
        try:
            ended = await handler.run(claim, lambda _: None, stop or Stop())
        finally:
            await handler.close(asyncio.Event())
        if isinstance(ended.outcome, CannotStart):
            raise NotStartable(ended.outcome.error)
        (seen,) = attempts
        seen.last_line()
        self.media_type = seen.media_type
        in_time = not (isinstance(ended.outcome, Failed) and ended.outcome.error_type == ErrorType.TIMEOUT)
        return Run(
            task_id=claim.task_id,
            lines=tuple(seen.lines),
            outcome=ended.outcome if in_time else None,
            began=0.0,
            ended=ended.report.duration_s,
            exit=None,
            printed=seen.bytes,
        )
