"""The fleet as the servers know it, also while no worker runs: asked seldom, however often somebody looks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from gridsidecar.broker import Broker
from gridsidecar.clock import Clock
from gridsidecar.errors import GridSidecarError
from gridsidecar.metrics import families
from gridsidecar.metrics.end_counter import EndCounter
from gridsidecar.metrics.tally import Series, Tally
from gridsidecar.store import Reading

KEPT_FOR = 15.0  # seconds
ANSWER_LIMIT = 5.0  # seconds for a server to answer


class FleetFigures:
    """For `serve` alone: workers that each asked for these would be a load that grows with the fleet."""

    def __init__(
        self,
        broker: Broker,
        reading: Callable[[], Awaitable[Reading]],
        queue: str,
        clock: Clock,
        ended: EndCounter | None = None,
    ) -> None:
        self._broker = broker
        self._reading = reading
        self._queue = queue
        self._clock = clock
        self._ended = ended
        self._turn = asyncio.Lock()
        self._series: Series = {}
        self._asked_at: float | None = None  # monotonic seconds

    async def series(self) -> Series:
        """Not older than KEPT_FOR. A server that does not answer has no figures, and its `reachable` is 0."""
        async with self._turn:
            now = self._clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= KEPT_FOR:
                tally = Tally()
                await asyncio.gather(
                    self._ask("broker", self._messages, tally),
                    self._ask("store", self._rows, tally),
                )
                self._series, self._asked_at = tally.series, self._clock.monotonic()
            return self._series

    async def _ask(self, server: str, question: Callable[[Tally], Awaitable[None]], tally: Tally) -> None:
        heard = Tally()
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                await question(heard)
        except (GridSidecarError, TimeoutError):
            tally.set(families.REACHABLE, server, to=0)
        else:
            tally.series.update(heard.series)
            tally.set(families.REACHABLE, server, to=1)

    async def _messages(self, tally: Tally) -> None:
        info = await self._broker.info(anew=False)
        counts = {"ready": info.ready, "delayed": sum(info.delayed.values()), "dead": info.dead}
        if info.unsettled is not None:
            counts["unsettled"] = info.unsettled
        for state, count in counts.items():
            tally.set(families.MESSAGES, self._queue, state, to=count)

    async def _rows(self, tally: Tally) -> None:
        reading = await self._reading()
        tally.set(families.OLDEST, self._queue, to=await reading.oldest_pending())
        for state, count in (await reading.callbacks_waiting()).items():
            tally.set(families.CALLBACKS, state, to=count)
        alive = Counter(str(worker["queue"]) for worker in await reading.workers() if worker["alive"])
        for queue, count in {self._queue: 0, **alive}.items():
            tally.set(families.WORKERS, queue, to=count)
        for pause in await reading.pauses():
            tally.set(families.PAUSED, str(pause["queue"]), str(pause["task_type"]), to=int(not pause["ended"]))
        if self._ended is not None:
            for outcome, count in (await self._ended.counts()).items():
                tally.set(families.FLEET_ENDED, self._queue, outcome, to=count)
