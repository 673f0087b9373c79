"""What a server shows that has no worker beside it: that it answers, and the fleet."""

from __future__ import annotations

from gridsidecar.metrics.fleet import FleetFigures
from gridsidecar.metrics.tally import Series, total
from gridsidecar.metrics.worker import OwnFigures
from gridsidecar.runtime.health import Health


class Overview:
    """It takes no tasks, so nothing keeps it from that: a server that is away is told to whoever asks for its data."""

    def __init__(self, fleet: FleetFigures, queue: str) -> None:
        self._fleet = fleet
        self._own = OwnFigures(queue, lambda: 0.0)

    def health(self) -> Health:
        return Health()

    async def metrics(self) -> Series:
        return total([self._own.series(), await self._fleet.series()])
