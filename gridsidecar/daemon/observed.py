"""What a daemon shows of itself: how it is, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gridsidecar.broker import Broker
from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import Settings
from gridsidecar.delivery.consumer import Consumer
from gridsidecar.delivery.worker import Worker
from gridsidecar.metrics.statistics import Statistics
from gridsidecar.metrics.tally import Series, SeriesKey, Value
from gridsidecar.metrics.worker import WorkerFigures
from gridsidecar.rules.task import TaskUpdate
from gridsidecar.runtime.health import Health
from gridsidecar.runtime.pulse import Pulse
from gridsidecar.supervisor_link import ProcessFigures

if TYPE_CHECKING:
    from gridsidecar.http import ApiServer
    from gridsidecar.http.api import HealthSource


def make_api(settings: Settings, shown: HealthSource) -> ApiServer | None:
    """Loaded only where it is asked for."""
    if settings.http.listen is None:
        return None
    from gridsidecar.http import ApiServer

    return ApiServer(settings, SystemClock(), shown)


class Observed:
    """Answers at once, from memory. Nothing is counted for Prometheus unless somebody can ask for it."""

    def __init__(
        self,
        settings: Settings,
        worker: Worker,
        broker: Broker,
        consumer: Consumer,
        statistics: Statistics,
        busy: Callable[[], bool],
    ) -> None:
        self._worker = worker
        self._env = worker.env
        self._broker = broker
        self._consumer = consumer
        self._statistics = statistics
        self._busy = busy
        self._serving_since: float | None = None  # monotonic seconds
        self.pulse = Pulse(self.health, settings.worker.heartbeat_file)
        self._metrics: WorkerFigures | None = None
        if settings.http.listen is not None:
            self._metrics = WorkerFigures(
                settings.broker.queue,
                settings.handlers,
                slots=settings.worker.concurrency,
                running=lambda: consumer.running,
                lag=lambda: self.pulse.lag,
                health=self.health,
            )

    def hear(self, update: TaskUpdate) -> None:
        if self._metrics is not None:
            self._metrics.hear(update)

    def serves(self) -> None:
        """From now on a time without work counts as idle."""
        self._serving_since = self._env.clock.monotonic()

    def health(self) -> Health:
        broken, not_ready = dict(self._env.vitals.broken), dict(self._env.readiness.reasons)
        if self._broker.stuck is not None:
            broken["broker"] = f"RabbitMQ answers, but there is no consumer: {self._broker.stuck}"
        if not self._broker.consuming and not not_ready:
            not_ready["worker"] = "no task is asked for yet"
        return Health(broken, not_ready)

    def figures(self) -> ProcessFigures:
        """For the supervisor."""
        since = max(self._serving_since or 0.0, self._consumer.active_at)
        serving = self._serving_since is not None and not self._busy()
        idle = self._env.clock.monotonic() - since if serving else 0.0
        health = self.health().brief()
        counts = dict(self._statistics.counts)
        return ProcessFigures(idle, self._worker.attempts.running, counts, health.broken, health.not_ready)

    async def metrics(self) -> Series:
        """Of this process."""
        return {} if self._metrics is None else self._metrics.series()

    def changes(self) -> Iterable[tuple[SeriesKey, Value]]:
        """For the supervisor."""
        if self._metrics is None:
            return ()
        self._metrics.sample()
        return self._metrics.tally.changes()
