"""One channel's memory and its sender: the first notice goes at once, what follows comes in a digest."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Container
from contextlib import suppress

from gridsidecar import telemetry
from gridsidecar.clock import Clock, backoff
from gridsidecar.config.secrets import masked_text
from gridsidecar.flow import BreakerChange
from gridsidecar.notify.channel import Channel, Refusal
from gridsidecar.notify.digest import Digest
from gridsidecar.outbound import NotSent, TargetRefused
from gridsidecar.task import Status, TaskUpdate

KEEP_TRYING = 600.0  # seconds for one message
LONGEST_PAUSE = 3600.0  # seconds, whatever Retry-After asks for


class Courier:
    """Takes notices without waiting, and delivers them to one channel, one message at a time."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        *,
        on: Container[str],
        task_types: Container[str],
        interval: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._name = name
        self._channel = channel
        self._on = on
        self._task_types = task_types  # empty: all
        self._interval = interval
        self._clock = clock
        self._rng = rng
        self._waiting = Digest()
        self._sending: Digest | None = None
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._failing = False
        self._running: asyncio.Task[None] | None = None

    def hear(self, update: TaskUpdate) -> None:
        """Something happened to a task. Never waits."""
        if update.status not in self._on or (self._task_types and update.task_type not in self._task_types):
            return
        self._waiting.add(update, self._clock.now())
        self._wake()

    def hear_breaker(self, change: BreakerChange) -> None:
        """Whoever hears of failed tasks hears of their breakers. Never waits."""
        if Status.FAILED not in self._on or (self._task_types and change.task_type not in self._task_types):
            return
        self._waiting.add_breaker(change)
        self._wake()

    def _wake(self) -> None:
        self._arrived.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def close(self, limit: float) -> None:
        """Send what waits, for `limit` seconds at most, then stop."""
        self._closing.set()
        self._arrived.set()
        if self._running is None:
            return
        await asyncio.wait({self._running}, timeout=limit)
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self._give_up()
        if self._waiting.told_or_lost:
            telemetry.warning("notices lost", channel=self._name, count=self._waiting.told_or_lost)
            self._waiting = Digest()

    async def _run(self) -> None:
        while await self._something_waits():
            quiet = self._interval
            try:
                quiet = max(quiet, await self._deliver_waiting())
            except Exception as error:  # a bug of ours costs this message, not the channel
                telemetry.stumbled(error)
                self._give_up()
            await self._pause(quiet)

    async def _something_waits(self) -> bool:
        """False: we close, and nothing is left to try."""
        while not self._waiting.told and not self._closing.is_set():
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.told > 0

    async def _deliver_waiting(self) -> float:
        """Try until it is taken or given up; the seconds for which the other side wants to hear nothing."""
        digest, self._waiting = self._waiting, Digest()
        self._sending = digest
        message_id = f"notice_{uuid.uuid4().hex}"
        give_up_at = self._clock.monotonic() + KEEP_TRYING
        failures = 0
        while (refusal := await self._try(digest, message_id)) is not None:
            failures += 1
            self._fails(refusal.reason)
            pause = max(refusal.retry_after or 0.0, backoff(failures, base=1.0, limit=60.0, rng=self._rng))
            pause = min(pause, LONGEST_PAUSE)
            if self._closing.is_set() or self._clock.monotonic() > give_up_at:
                self._give_up()
                return pause
            await self._pause(pause)
        self._works()
        self._sending = None
        return 0.0

    async def _try(self, digest: Digest, message_id: str) -> Refusal | None:
        try:
            return await self._channel.send(digest, message_id, self._clock.now())
        except (NotSent, TargetRefused) as error:
            return Refusal(str(error))

    def _give_up(self) -> None:
        """The next message says how many were not delivered."""
        if self._sending is not None:
            self._waiting.undelivered += self._sending.told_or_lost
            self._sending = None

    def _fails(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            telemetry.warning("notices do not arrive", channel=self._name, reason=masked_text(reason))

    def _works(self) -> None:
        if self._failing:
            self._failing = False
            telemetry.info("notices arrive again", channel=self._name)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past the close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
