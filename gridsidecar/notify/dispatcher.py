"""One channel's memory and its sender: the first notice goes at once, what follows comes in a digest."""

from __future__ import annotations

import asyncio
import random
import uuid
from contextlib import suppress

from gridsidecar import telemetry
from gridsidecar.clock import Clock, backoff
from gridsidecar.config.secrets import masked_reason
from gridsidecar.notify.channel import Channel, NotAccepted
from gridsidecar.notify.digest import Digest
from gridsidecar.notify.rendering import Wording
from gridsidecar.outbound import NotSent, TargetRefused
from gridsidecar.rules.flow import BreakerChange
from gridsidecar.rules.task import TaskUpdate

KEEP_TRYING = 600.0  # seconds for one message
LONGEST_PAUSE = 3600.0  # seconds, whatever Retry-After asks for


class Arrival:
    """Whether a channel's messages arrive; told when that changes."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._failing = False

    def fails(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            telemetry.warning("notices do not arrive", channel=self.channel, reason=masked_reason(reason))

    def works(self) -> None:
        if self._failing:
            self._failing = False
            telemetry.info("notices arrive again", channel=self.channel)


class Dispatcher:
    """Takes notices without waiting, and delivers them to one place, one message at a time."""

    def __init__(
        self,
        arrival: Arrival,
        channel: Channel,
        *,
        wording: Wording,
        interval: float,
        stays: bool = True,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._arrival = arrival
        self._channel = channel
        self._wording = wording
        self._interval = interval
        self._stays = stays  # else it ends when its interval is over and nothing waits
        self._clock = clock
        self._rng = rng
        self._waiting = Digest()
        self._sending: Digest | None = None
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def hear(self, update: TaskUpdate) -> None:
        """Something happened to a task that is to be told. Never waits."""
        self._waiting.add(update, self._clock.now(), self._wording)
        self._wake()

    def hear_breaker(self, change: BreakerChange) -> None:
        """A breaker paused a type, or that is over. Never waits."""
        self._waiting.add_breaker(change)
        self._wake()

    def _wake(self) -> None:
        self._arrived.set()
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    @property
    def over(self) -> bool:
        """It hears nothing any more."""
        return self._running is not None and self._running.done()

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
        self._tell_lost()

    def _tell_lost(self) -> None:
        if self._waiting.told_or_lost:
            telemetry.warning("notices lost", channel=self._arrival.channel, count=self._waiting.told_or_lost)
            self._waiting = Digest()

    async def _run(self) -> None:
        while await self._something_waits():
            quiet = self._interval
            try:
                quiet = max(quiet, await self._deliver_waiting())
            except Exception as error:  # a bug of ours costs this message, not the channel
                telemetry.unexpected_error(error)
                self._give_up()
            await self._pause(quiet)
        if not self._stays:
            self._tell_lost()

    async def _something_waits(self) -> bool:
        """False: we end, and nothing is left to try."""
        while not self._waiting.told and not self._closing.is_set() and self._stays:
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
        while (problem := await self._try(digest, message_id)) is not None:
            if problem.final:
                self._sending = None
                return 0.0
            failures += 1
            self._arrival.fails(problem.reason)
            pause = max(problem.retry_after or 0.0, backoff(failures, base=1.0, limit=60.0, rng=self._rng))
            pause = min(pause, LONGEST_PAUSE)
            if self._closing.is_set() or self._clock.monotonic() > give_up_at:
                self._give_up()
                return pause
            await self._pause(pause)
        self._arrival.works()
        self._sending = None
        return 0.0

    async def _try(self, digest: Digest, message_id: str) -> NotAccepted | None:
        try:
            return await self._channel.send(digest, message_id, self._clock.now())
        except (NotSent, TargetRefused) as error:
            return NotAccepted(str(error))

    def _give_up(self) -> None:
        """The next message says how many were not delivered."""
        if self._sending is not None:
            self._waiting.undelivered += self._sending.told_or_lost
            self._sending = None

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past the close."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
