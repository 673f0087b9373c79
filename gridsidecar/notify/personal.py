"""Notices to people whom tasks name: each gets a digest of what is theirs, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.notify.dispatcher import Dispatcher
from gridsidecar.notify.receivers import Receivers, Seldom
from gridsidecar.notify.rendering import Facts, NoticeOrigin
from gridsidecar.rules.flow import BreakerChange
from gridsidecar.rules.task import TaskUpdate


class Personal:
    """One channel's dispatchers to them: one for each receiver, from a notice until its interval is over."""

    def __init__(
        self,
        name: str,
        receivers: Receivers,
        dispatcher_to: Callable[[str], Dispatcher],
        *,
        fixed: Container[str],
        origin: NoticeOrigin,
        most: int,
        clock: Clock,
    ) -> None:
        self._name = name
        self._receivers = receivers
        self._dispatcher_to = dispatcher_to
        self._fixed = fixed  # who gets all of the channel's notices anyway
        self._origin = origin
        self._most = most  # dispatchers at a time
        self._clock = clock
        self._dispatchers: dict[str, Dispatcher] = {}
        self._left_out = Seldom(clock)

    def hear(self, update: TaskUpdate) -> None:
        """Something that the channel tells of happened to a task. Never waits."""
        for address in self._receivers.named_by(Facts(update, self._origin, self._clock.now())):
            if address in self._fixed:
                continue
            dispatcher = self._dispatcher(address)
            if dispatcher is None:
                self._leave_out()
            else:
                dispatcher.hear(update)

    def hear_breaker(self, change: BreakerChange) -> None:
        """It is of no task, so it names nobody."""

    def _dispatcher(self, address: str) -> Dispatcher | None:
        """None: there are too many others."""
        dispatcher = self._dispatchers.get(address)
        if dispatcher is not None and not dispatcher.over:
            return dispatcher
        if len(self._dispatchers) >= self._most:
            self._dispatchers = {to: one for to, one in self._dispatchers.items() if not one.over}
            if len(self._dispatchers) >= self._most:
                return None
        dispatcher = self._dispatchers[address] = self._dispatcher_to(address)
        return dispatcher

    def _leave_out(self) -> None:
        if count := self._left_out.happened():
            self._tell_left_out(count)

    def _tell_left_out(self, count: int) -> None:
        telemetry.warning(
            "too many receivers of notices, some get none", channel=self._name, limit=self._most, count=count
        )

    async def close(self, limit: float) -> None:
        """Send what waits, for `limit` seconds at most, then stop."""
        if count := self._left_out.rest():
            self._tell_left_out(count)
        await asyncio.gather(*(dispatcher.close(limit) for dispatcher in self._dispatchers.values()))
