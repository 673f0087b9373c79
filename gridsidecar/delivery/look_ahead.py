"""How many deliveries are held beyond those that run: as set, or more while tasks are short."""

from __future__ import annotations

import asyncio

from gridsidecar import telemetry
from gridsidecar.broker import Broker
from gridsidecar.clock import Clock
from gridsidecar.delivery.consumer import Consumer
from gridsidecar.delivery.pace import MOST_AHEAD
from gridsidecar.delivery.slots import Slots
from gridsidecar.health import Vitals

FEW = 8
LOOK_GAP = 0.25  # seconds


class LookAhead:
    """Where tasks are long a pod never sits on one that another pod could run; where they are short, waiting for the
    next one is what takes the time. So it is none, a few or many: each change asks the broker for another consumer.
    What those before it brought on top is given back when it waits for long.

    Tasks that may have ended a process under others wait for one to themselves, and others get as many places instead.
    They are lent as many as run at a time at most: whoever loses process after process takes no more of the queue.
    """

    def __init__(
        self,
        broker: Broker,
        slots: Slots,
        consumer: Consumer,
        clock: Clock,
        concurrency: int,
        held: int | None,
        *,
        lends: bool,
    ) -> None:
        """`held`: the fixed number; None = by how long tasks take. `lends`: tasks may share processes."""
        self._broker = broker
        self._slots = slots
        self._consumer = consumer
        self._clock = clock
        self._concurrency = concurrency
        self._automatic = held is None
        self._held = held or 0
        self._lends = lends
        self._lent = 0
        self._loop: asyncio.Task[None] | None = None

    @property
    def prefetch(self) -> int:
        """Deliveries that the broker may leave with us unsettled."""
        return min(65_535, self._concurrency + self._held + self._lent)

    def start(self, vitals: Vitals) -> None:
        if self._automatic or self._lends:
            self._loop = vitals.start("look_ahead", self._follow())

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(LOOK_GAP)
            self._slots.send_away(self._consumer.busy - self.prefetch)
            before = self.prefetch
            if self._automatic:
                self._held = self._wanted(self._slots.most_ahead)
            self._lent = self._to_lend(self._consumer.suspects)
            if self.prefetch != before:
                beyond = self._held + self._lent
                telemetry.debug("holding another number of deliveries beyond those that run", held=beyond)
                self._broker.set_prefetch(self.prefetch)

    def _to_lend(self, waiting: int) -> int:
        """In steps, and what is lent stays until a quarter of it would do."""
        if self._lent // 4 < waiting <= self._lent:
            return self._lent
        return min(1 << (waiting - 1).bit_length(), self._concurrency) if waiting else 0

    def _wanted(self, most: int) -> int:
        """What is held by now stays while half of what it took to come to it is left."""
        for held in (MOST_AHEAD, FEW):
            if most >= (held // 2 if self._held >= held else held):
                return held
        return 0
