"""The http handler: each attempt is one request to a server that runs already, its answer the attempt's messages."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from gridsidecar import wire
from gridsidecar.clock import Clock, backoff
from gridsidecar.config.handler_url import read_handler_url
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Stop, stopped_before_start, timeout_of
from gridsidecar.handler.attempt_output import OnProgress
from gridsidecar.handler.capture import LogText
from gridsidecar.handler.env_variables import attempt_environment
from gridsidecar.handler.http_attempt import HttpAttempt, Posted
from gridsidecar.outbound.http_exchange import BrokenOff, HttpExchange, NotReached
from gridsidecar.outbound.request import Request, read_request
from gridsidecar.outbound.resolver import Resolver, system_resolve
from gridsidecar.rules.task import CannotStart, Claim, Ended

ACCEPTED_WITHIN = 10.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two checks for a server that is not there
TOGETHER = 0.25  # seconds within which the connections of a server end that ends

_HEADERS = {
    "content-type": "application/json",
    "accept": "application/x-ndjson, application/json, */*",
    "connection": "close",  # it has one request: closing it ends no other
}


class HttpHandler:
    """A connection for each attempt: to end an attempt is to close it, and one that is refused has cost nothing."""

    def __init__(self, name: str, settings: HandlerSettings, clock: Clock, rng: random.Random) -> None:
        assert settings.url is not None  # checked
        self._name = name
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._url = read_handler_url(settings.url)
        self._where = self._url.socket or read_request(self._url.http, None, {}).where
        self._resolver = Resolver(system_resolve)
        self._missing: str | None = None  # why the server cannot be reached, since somebody tried
        self._watch: asyncio.Task[None] | None = None
        self.make_attempt: Callable[..., HttpAttempt] = HttpAttempt
        self._in_hand: set[HttpAttempt] = set()
        self._broken: deque[float] = deque()  # loop times at which connections broke off lately

    def cannot_start(self) -> str | None:
        """See the seam. Known where the server was missing when it was tried last."""
        return self._missing

    def start(self) -> None:
        """See the seam: the first task need not find out that the server is not there yet."""
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._until_reached())

    async def close(self, cut_short: asyncio.Event) -> None:
        """See the seam."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def run(self, claim: Claim, on_progress: OnProgress, stop: Stop, log: LogText | None = None) -> Ended:
        """See the seam."""
        if stop.reason is not None:
            return Ended(stopped_before_start(stop.reason))
        attempt = self.make_attempt(self._settings, claim, on_progress, log)
        self._in_hand.add(attempt)
        try:
            await attempt.until_end(stop, self._opened, lambda: self._posted(claim))
            return await self._ended(attempt, claim, stop)
        finally:
            self._in_hand.discard(attempt)

    async def _ended(self, attempt: HttpAttempt, claim: Claim, stop: Stop) -> Ended:
        match attempt.failure:
            case NotReached() as problem:
                self._missing = self._cannot(problem)
                self.start()
                return Ended(CannotStart(self._missing))
            case BrokenOff() if not attempt.decided:
                self.start()  # if the server ended, nothing is to be claimed before it is there again
                together = await self._broken_together()
                return attempt.broken(0 if claim.crashes else together)
            case _ if not attempt.began and stop.reason is not None:
                return Ended(stopped_before_start(stop.reason))
            case _:
                return attempt.judged(f"handler {self._name}: {self._where}")

    async def _broken_together(self) -> int:
        """How many connections broke off at about this time: those of a server that ends do so at once, whichever of
        its tasks ended it."""
        if len(self._in_hand) == 1:
            return 1  # nobody else's doing
        broke_at = asyncio.get_running_loop().time()
        self._broken.append(broke_at)
        await self._clock.sleep(TOGETHER)
        while self._broken and self._broken[0] < broke_at - TOGETHER:
            self._broken.popleft()
        return sum(abs(each - broke_at) < TOGETHER for each in self._broken)

    # -- the server ---------------------------------------------------------------------------------------------------

    async def _until_reached(self) -> None:
        checks = 0
        while True:
            try:
                exchange = await self._opened()
            except NotReached as problem:
                self._missing = self._cannot(problem)
            else:
                self._missing = None
                await exchange.close()
                return
            checks += 1
            await self._clock.sleep(backoff(checks, base=FIRST_PAUSE, limit=LONGEST_PAUSE, rng=self._rng))

    async def _opened(self) -> HttpExchange:
        return await HttpExchange.opened(self._request({}), self._url.socket, ACCEPTED_WITHIN, self._resolver)

    async def _posted(self, claim: Claim) -> Posted:
        """What is sent, made when it is: the time until which the task must be done begins then."""
        timeout = timeout_of(claim, self._settings)
        line = wire.encode_input(
            claim,
            mode=self._settings.input,
            timeout_s=timeout or None,
            grace_s=0,
            deadline_ms=int((self._clock.now().timestamp() + timeout) * 1000) if timeout else None,
            trace=claim.trace,
        )
        variables = attempt_environment(claim, None, claim.trace)
        trace = {name.lower(): variables[name] for name in ("TRACEPARENT", "TRACESTATE") if name in variables}
        if isinstance(line, bytes):
            return self._request({"content-length": str(len(line)), **trace}), line
        size = 0
        async for chunk in _in_turns(line):
            size += len(chunk)
        return self._request({"content-length": str(size), **trace}), _in_turns(line)

    def _request(self, headers: Mapping[str, str]) -> Request:
        return read_request(self._url.http, b"", {**_HEADERS, **headers})

    def _cannot(self, problem: NotReached) -> str:
        return f"handler {self._name}: {problem}; start it, or correct `url`"


async def not_reached(url: str, limit: float) -> str | None:
    """Why nobody accepts a connection there within so many seconds; None where somebody does."""
    read = read_handler_url(url)
    try:
        exchange = await HttpExchange.opened(
            read_request(read.http, None, {}), read.socket, limit, Resolver(system_resolve)
        )
    except NotReached as problem:
        return str(problem)
    await exchange.close()
    return None


async def _in_turns(line: wire.Spliced) -> AsyncIterator[bytes]:
    """Piece by piece, and others have their turn between two: it may be large, and is unpacked on the way."""
    for chunk in line.chunks():
        await asyncio.sleep(0)
        yield chunk
