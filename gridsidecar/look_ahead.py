"""How many deliveries are held beyond those that run: as set, or more while tasks are short."""

from __future__ import annotations

import asyncio

from gridsidecar import telemetry
from gridsidecar.broker import Broker
from gridsidecar.clock import Clock
from gridsidecar.consumer import Consumer
from gridsidecar.health import Vitals
from gridsidecar.pace import MOST_AHEAD
from gridsidecar.slots import Slots

FEW = 8
LOOK_GAP = 0.25  # seconds


class LookAhead:
    """Where tasks are long a pod never sits on one that another pod could run; where they are short, waiting for the
    next one is what takes the time. So it is none, a few or many: each change asks the broker for another consumer.
    What those before it brought on top is given back when it waits for long."""

    def __init__(
        self, broker: Broker, slots: Slots, consumer: Consumer, clock: Clock, concurrency: int, held: int | None
    ) -> None:
        """`held`: the fixed number; None = by how long tasks take."""
        self._broker = broker
        self._slots = slots
        self._consumer = consumer
        self._clock = clock
        self._concurrency = concurrency
        self._automatic = held is None
        self._held = held or 0
        self._loop: asyncio.Task[None] | None = None

    @property
    def prefetch(self) -> int:
        """Deliveries that the broker may leave with us unsettled."""
        return min(65_535, self._concurrency + self._held)

    def start(self, vitals: Vitals) -> None:
        if self._automatic:
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
            wanted = self._wanted(self._slots.most_ahead)
            if wanted != self._held:
                telemetry.debug("holding another number of deliveries beyond those that run", held=wanted)
                self._held = wanted
                self._broker.set_prefetch(self.prefetch)

    def _wanted(self, most: int) -> int:
        """What is held by now stays while half of what it took to come to it is left."""
        for held in (MOST_AHEAD, FEW):
            if most >= (held // 2 if self._held >= held else held):
                return held
        return 0
