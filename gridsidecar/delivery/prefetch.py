"""How many deliveries are held beyond those that run: as set, or more while tasks are short."""

from __future__ import annotations

import asyncio

from gridsidecar import telemetry
from gridsidecar.broker import Broker
from gridsidecar.clock import Clock
from gridsidecar.delivery.ahead_limit import MOST_AHEAD
from gridsidecar.delivery.consumer import Consumer
from gridsidecar.delivery.slots import Slots
from gridsidecar.runtime.health import Vitals

FEW = 8
ADJUST_EVERY = 0.25  # seconds


class Prefetch:
    """While tasks are long, none is held beyond those that run: another pod could run it. While they are short, waiting
    for the next one is what takes the time, so a few or many are held. Each change asks the broker for another
    consumer; what the one before it brought beyond the new number goes back to the queue when it waits for long.

    A suspect waits, without a slot, until it gets a process of its own. For each of these one more delivery is taken
    (lent), so that others go on; no more than run at a time: a worker that loses process after process is not to take
    the whole queue.
    """

    def __init__(
        self,
        broker: Broker,
        slots: Slots,
        consumer: Consumer,
        clock: Clock,
        concurrency: int,
        extra: int | None,
        *,
        lends: bool,
    ) -> None:
        """`extra`: beyond those that run; None = by how long tasks take. `lends`: tasks may share processes."""
        self._broker = broker
        self._slots = slots
        self._consumer = consumer
        self._clock = clock
        self._concurrency = concurrency
        self._automatic = extra is None
        self._extra = extra or 0
        self._lends = lends
        self._lent = 0
        self._loop: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """Deliveries that the broker may leave with us unsettled."""
        return min(65_535, self._concurrency + self._extra + self._lent)

    def start(self, vitals: Vitals) -> None:
        if self._automatic or self._lends:
            self._loop = vitals.start("prefetch", self._keep_adjusting())

    async def stop(self) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None

    async def _keep_adjusting(self) -> None:
        while True:
            await self._clock.sleep(ADJUST_EVERY)
            self._slots.shed(self._consumer.in_hand - self.count)
            before = self.count
            if self._automatic:
                self._extra = self._wanted(self._slots.most_ahead)
            self._lent = self._to_lend(self._consumer.suspects)
            if self.count != before:
                telemetry.debug(
                    "holding another number of deliveries beyond those that run", held=self._extra + self._lent
                )
                self._broker.set_prefetch(self.count)

    def _to_lend(self, waiting: int) -> int:
        """By powers of two, and what is lent stays until a quarter of it would do: each change costs a consumer."""
        if self._lent // 4 < waiting <= self._lent:
            return self._lent
        return min(1 << (waiting - 1).bit_length(), self._concurrency) if waiting else 0

    def _wanted(self, most: int) -> int:
        """`most`: tasks that may be claimed ahead of their slots. What is held stays until that is below half."""
        for extra in (MOST_AHEAD, FEW):
            if most >= (extra // 2 if self._extra >= extra else extra):
                return extra
        return 0
