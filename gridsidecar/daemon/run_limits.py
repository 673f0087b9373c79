"""When a run is over by its own rules: one task was taken, nothing came for a while, the queue is empty."""

from __future__ import annotations

from collections.abc import Callable

from gridsidecar.broker import Broker
from gridsidecar.delivery.consumer import Consumer
from gridsidecar.environment import Environment
from gridsidecar.errors import GridSidecarError
from gridsidecar.waiting import sleep_unless


class RunLimits:
    """Once, burst and idle. `busy` says whether anything is in hand, callbacks included."""

    def __init__(
        self, env: Environment, broker: Broker, consumer: Consumer, busy: Callable[[], bool], *, once: bool
    ) -> None:
        self._settings = env.settings
        self._clock = env.clock
        self._shutdown = env.shutdown
        self._broker = broker
        self._consumer = consumer
        self._busy = busy
        self._once = once

    async def reached(self) -> None:
        """Return when this run is over, and has been asked to leave for it."""
        settings = self._settings
        started = self._clock.monotonic()
        while True:
            if await self._one_was_taken(min(settings.burst_check_interval, 1.0)):
                await self._broker.stop_consuming()  # at prefetch 1 nothing else is in hand
                return self._shutdown.request("one task was taken", finishes_work=True)
            idle = self._clock.monotonic() - max(started, self._consumer.active_at) if not self._busy() else 0.0
            if settings.idle_timeout and idle >= settings.idle_timeout:
                return self._shutdown.request(f"idle for {settings.idle_timeout:g} s", finishes_work=True)
            if settings.burst and await self._burst_is_over(started):
                return None

    async def _one_was_taken(self, seconds: float) -> bool:
        """Pause; with --once True as soon as an attempt starts, which cannot wait for the pause's end."""
        if self._once:
            return await sleep_unless(self._consumer.first_attempt, seconds)
        await self._clock.sleep(seconds)
        return False

    async def _burst_is_over(self, started: float) -> bool:
        settings = self._settings
        if settings.burst_timeout and self._clock.monotonic() - started >= settings.burst_timeout:
            self._shutdown.request(f"burst_timeout of {settings.burst_timeout:g} s is over")
        elif (not self._busy() or not settings.burst_wait) and await self._queue_is_empty():
            self._shutdown.request("the queue is empty", finishes_work=settings.burst_wait)
        return self._shutdown.requested.is_set()

    async def _queue_is_empty(self) -> bool:
        try:
            if await self._broker.ready_count():
                return False
        except GridSidecarError:  # the broker is away: nobody knows
            return False
        # A message may have left the queue for our hands in between; then this run goes on.
        return not self._busy() or not self._settings.burst_wait
