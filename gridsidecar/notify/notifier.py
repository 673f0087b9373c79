"""All channels of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from gridsidecar.rules.flow import BreakerChange
from gridsidecar.rules.task import Status, TaskUpdate

if TYPE_CHECKING:
    from gridsidecar.outbound import HttpClient


class Listener(Protocol):
    """What takes the notices of one channel."""

    def hear(self, update: TaskUpdate) -> None: ...

    def hear_breaker(self, change: BreakerChange) -> None: ...

    async def close(self, limit: float) -> None: ...


class NoticeRoute(Struct, frozen=True):
    """One channel: what it tells of, and who takes that."""

    on: Container[str]
    task_types: Container[str]  # empty: all
    listeners: Sequence[Listener]

    def hear(self, update: TaskUpdate) -> None:
        if self._tells_of(update.status, update.task_type):
            for listener in self.listeners:
                listener.hear(update)

    def hear_breaker(self, change: BreakerChange) -> None:
        """Whoever hears of failed tasks hears of their breakers."""
        if self._tells_of(Status.FAILED, change.task_type):
            for listener in self.listeners:
                listener.hear_breaker(change)

    def _tells_of(self, status: Status, task_type: str) -> bool:
        return status in self.on and (not self.task_types or task_type in self.task_types)


class Notifier:
    """Hears of every task, and tells the channels that want to know. Best effort: a crash loses what waits."""

    def __init__(self, routes: Sequence[NoticeRoute], client: HttpClient | None = None) -> None:
        self._routes = routes
        self._client = client

    def hear(self, update: TaskUpdate) -> None:
        """A listener of the worker: it neither waits nor raises."""
        for route in self._routes:
            route.hear(update)

    def hear_breaker(self, change: BreakerChange) -> None:
        """A type was paused, or goes on."""
        for route in self._routes:
            route.hear_breaker(change)

    async def close(self, limit: float) -> None:
        """Send what waits, one message a receiver, for `limit` seconds at most."""
        await asyncio.gather(*(listener.close(limit) for route in self._routes for listener in route.listeners))
        if self._client is not None:
            await self._client.close()
