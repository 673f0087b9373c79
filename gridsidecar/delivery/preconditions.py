"""What a claim waits for beside a slot here: a command that is missing, a slot that processes share, a process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from gridsidecar.clock import backoff
from gridsidecar.delivery.routes import Route
from gridsidecar.environment import Environment
from gridsidecar.runtime.shutdown import Phase

COMMAND_CHECK_LIMIT = 5.0  # seconds between two checks for a command that is missing


class Preconditions:
    """Each ends in time, or as soon as nothing starts any more. `until` is in monotonic seconds."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._waiting: set[asyncio.Task[bool]] = set()
        self._watches: dict[str, asyncio.Task[None]] = {}  # for commands that are missing, by route

    def left(self, until: float) -> float:
        """Seconds."""
        return max(0.0, until - self._env.clock.monotonic())

    async def startable(self, route: Route, until: float) -> bool:
        """No attempt is spent on a command that is not there: wait until it appears. False when that takes too long, or
        nothing starts any more."""
        if route.start_backoff.until <= self._env.clock.monotonic() and route.handler.cannot_start() is None:
            return self._env.shutdown.phase < Phase.LEAVING
        return await self.within(self._until_startable(route), until)

    async def within(self, waiting: Coroutine[Any, Any, bool], until: float) -> bool:
        """What is waited for; False when that takes too long, or nothing starts any more."""
        wait = asyncio.create_task(waiting)
        self._waiting.add(wait)
        try:
            async with asyncio.timeout(self.left(until)):
                return await wait
        except TimeoutError:
            return wait.done() and not wait.cancelled() and wait.result()  # it came at the same moment
        except asyncio.CancelledError:
            if wait.cancelled() and self._env.shutdown.phase >= Phase.LEAVING:
                return False
            raise
        finally:
            self._waiting.discard(wait)

    async def _until_startable(self, route: Route) -> bool:
        while (rest := route.start_backoff.until - self._env.clock.monotonic()) > 0:
            await self._env.clock.sleep(rest)
        if route.handler.cannot_start() is None:
            return True
        watch = self._watches.get(route.name)
        if watch is None or watch.done():
            watch = self._watches[route.name] = asyncio.create_task(self._watch_command(route))
        await asyncio.shield(watch)
        return True

    async def _watch_command(self, route: Route) -> None:
        """Until the command is there. Others may take the task that waits for it: ours is still missing then."""
        part = f"handler {route.name}"
        checks = 0
        while (problem := route.handler.cannot_start()) is not None:
            self._env.readiness.blocked(part, problem)
            checks += 1
            await self._env.clock.sleep(backoff(checks, base=0.25, limit=COMMAND_CHECK_LIMIT, rng=self._env.rng))
        self._env.readiness.clear(part)

    def cancel(self) -> None:
        """Nothing starts any more."""
        for wait in (*self._waiting, *self._watches.values()):
            wait.cancel()
