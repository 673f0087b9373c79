"""Notices to people whom tasks name: each gets a digest of what is theirs, and of nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.flow import BreakerChange
from gridsidecar.notify.courier import Courier
from gridsidecar.notify.receivers import Receivers, Seldom
from gridsidecar.notify.wording import Facts, Origin
from gridsidecar.task import TaskUpdate


class Personal:
    """One channel's couriers to them: one for each receiver, from a notice until its interval is over."""

    def __init__(
        self,
        name: str,
        receivers: Receivers,
        courier_to: Callable[[str], Courier],
        *,
        fixed: Container[str],
        origin: Origin,
        most: int,
        clock: Clock,
    ) -> None:
        self._name = name
        self._receivers = receivers
        self._courier_to = courier_to
        self._fixed = fixed  # who gets all of the channel's notices anyway
        self._origin = origin
        self._most = most  # couriers at a time
        self._clock = clock
        self._couriers: dict[str, Courier] = {}
        self._left_out = Seldom(clock)

    def hear(self, update: TaskUpdate) -> None:
        """Something that the channel tells of happened to a task. Never waits."""
        for address in self._receivers.named_by(Facts(update, self._origin, self._clock.now())):
            if address in self._fixed:
                continue
            courier = self._courier(address)
            if courier is None:
                self._leave_out()
            else:
                courier.hear(update)

    def hear_breaker(self, change: BreakerChange) -> None:
        """It is of no task, so it names nobody."""

    def _courier(self, address: str) -> Courier | None:
        """None: there are too many others."""
        courier = self._couriers.get(address)
        if courier is not None and not courier.over:
            return courier
        if len(self._couriers) >= self._most:
            self._couriers = {to: one for to, one in self._couriers.items() if not one.over}
            if len(self._couriers) >= self._most:
                return None
        courier = self._couriers[address] = self._courier_to(address)
        return courier

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
        await asyncio.gather(*(courier.close(limit) for courier in self._couriers.values()))
