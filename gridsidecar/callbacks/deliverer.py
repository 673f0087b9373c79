"""The outbox loop: takes callbacks that are due, sends them side by side, and notes what became of each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import assert_never

from gridsidecar import failpoints, telemetry
from gridsidecar.callbacks import Delivered, Hopeless, NotDelivered, Sender, SenderUnavailable, SendResult, outcome_log
from gridsidecar.callbacks.permits import QUICK_LIMIT, Offer, Permit, Permits
from gridsidecar.clock import backoff
from gridsidecar.config.settings import CallbackSettings
from gridsidecar.environment import Environment
from gridsidecar.errors import GridSidecarError, StoreUnavailable
from gridsidecar.rules.retry import callback_gap
from gridsidecar.rules.task import Status, TaskUpdate
from gridsidecar.store import Outbox, OwedCallback, RowRejected
from gridsidecar.waiting import retry_until_available

LONGEST_POLL_INTERVAL = 15.0  # seconds between two polls of the outbox: others write to it, too
SHORTEST_POLL_INTERVAL = 0.05
BUSY_POLL_INTERVAL = 1.0  # … while what is due is for a receiver that has all its share under way
CROWDED_POLL_INTERVAL = 0.2  # … while what is due waits for a permit that others hold
LEASE_MARGIN = 30.0  # seconds beyond a request's time limit, for writing down what became of it


class Deliverer:
    """Sends what is owed. Safe with many sidecars: a callback is in the hands of one sender at a time, and comes back
    when that one dies. It is sent at least once, with the same id at each try."""

    def __init__(
        self,
        env: Environment,
        outbox: Outbox,
        senders: Mapping[str, Sender],
        settings: CallbackSettings,
        dead_letter_failed: bool = False,
    ) -> None:
        self._dead_letter_failed = dead_letter_failed  # a task that failed for good owes one
        self._env = env
        self._outbox = outbox
        self._senders = senders
        self._max_retries = settings.max_retries
        self._lease = settings.timeout + LEASE_MARGIN
        self._sending: set[asyncio.Task[None]] = set()
        self._permits = Permits(env.clock)
        self._offer = self._permits.offer()  # of the last poll
        self._left = False  # the last poll found something due that had to wait for a permit
        self._news = asyncio.Event()
        self._polling = True  # what is due may not be in our hands yet
        self._quiet = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = self._env.vitals.start("callbacks", self._keep_sending())

    def hear(self, update: TaskUpdate) -> None:
        """Something happened to a task: if anything is owed for it, do not wait for the next poll."""
        wanted = update.task is not None and update.task.callback.wanted
        if (update.status.terminal and wanted) or (self._dead_letter_failed and update.status is Status.FAILED):
            self._wake()

    @property
    def busy(self) -> bool:
        """A callback is due or under way. One whose next try lies ahead does not count: the database keeps it."""
        return self._polling or bool(self._sending)

    async def finish(self, limit: float) -> None:
        """Send what is due, for at most `limit` seconds, then stop; what is left stays owed."""
        if self._loop is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._quiet.wait()
        for job in (self._loop, *self._sending):
            job.cancel()
        await asyncio.gather(self._loop, *self._sending, return_exceptions=True)
        self._loop = None
        for sender in self._senders.values():
            await sender.close()

    def _wake(self) -> None:
        self._polled(False)
        self._news.set()

    def _polled(self, everything: bool) -> None:
        """Whether all that is due is in our hands."""
        self._polling = not everything
        if self.busy:
            self._quiet.clear()
        else:
            self._quiet.set()

    # -- the loop -----------------------------------------------------------------------------------------------------

    async def _keep_sending(self) -> None:
        failures = 0
        while True:
            self._news.clear()
            try:
                pause = await self._poll()
            except GridSidecarError as error:
                self._polled(True)  # nobody knows; the tasks' own writes wait for the database
                self._env.readiness.blocked("callbacks", str(error))
                failures += 1
                pause = backoff(failures, base=0.5, limit=LONGEST_POLL_INTERVAL, rng=self._env.rng)
            except Exception as error:
                self._polled(True)
                telemetry.unexpected_error(error)
                pause = LONGEST_POLL_INTERVAL
            else:
                self._env.readiness.clear("callbacks")
                failures = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _poll(self) -> float:
        """Take what there is room for; how many seconds until looking again makes sense."""
        taken = await self._outbox.take(self._lease, self._offered)
        self._left = taken.left
        for callback in taken.callbacks:
            self._send(callback)
        if self._offer.crowded and self._permits.make_room():
            self._polled(False)
            return SHORTEST_POLL_INTERVAL
        if taken.more:
            return 0.0
        if not (self._news.is_set() or taken.left):
            self._polled(True)
        wait = await self._outbox.wait()
        if self._offer.crowded:
            return max(CROWDED_POLL_INTERVAL, self._permits.until_late())
        least = BUSY_POLL_INTERVAL if taken.left else SHORTEST_POLL_INTERVAL
        return LONGEST_POLL_INTERVAL if wait is None else min(LONGEST_POLL_INTERVAL, max(least, wait))

    def _offered(self) -> Offer:
        self._offer = self._permits.offer()
        return self._offer

    def _send(self, callback: OwedCallback) -> None:
        permit = self._permits.take(callback.receiver, callback.size)
        job = asyncio.create_task(self._deliver(callback, permit))
        self._sending.add(job)
        job.add_done_callback(lambda job: self._sent(job, permit))

    def _sent(self, job: asyncio.Task[None], permit: Permit) -> None:
        self._sending.discard(job)
        self._permits.release(permit)
        self._polled(not self._polling)
        if self._left:
            self._wake()
        if not job.cancelled() and (error := job.exception()) is not None:
            telemetry.unexpected_error(error)

    # -- one callback -------------------------------------------------------------------------------------------------

    async def _deliver(self, callback: OwedCallback, permit: Permit) -> None:
        await failpoints.reached("callback_claimed")
        sent = await self._tried(callback, permit)
        await failpoints.reached("callback_sent")
        with suppress(StoreUnavailable):  # we leave: it is due again when our lease on it is over
            await self._note(callback, sent)
            await failpoints.reached("callback_cleared")
        if not isinstance(sent, Delivered):
            self._news.set()  # its next try may come before the next poll

    async def _note(self, callback: OwedCallback, sent: SendResult) -> None:
        """Write down what became of a try. Where the database refuses that, it is given up instead, or, where that is
        refused as well, left alone: what comes back without being counted would be sent for ever."""
        try:
            await retry_until_available(self._env, self._written(callback, sent))
            return
        except RowRejected as error:
            arrived = "it was delivered" if isinstance(sent, Delivered) else "it was not delivered"
            problem = f"{arrived}, and the database refuses to note that: {error}"
        try:
            if await retry_until_available(self._env, lambda: self._outbox.failed(callback, problem, None)):
                outcome_log.given_up(callback, problem)
        except RowRejected:
            self._outbox.leave_alone(callback, problem)

    async def _tried(self, callback: OwedCallback, permit: Permit) -> SendResult:
        sender = self._senders.get(callback.kind)
        if sender is None:
            known = " or ".join(sorted(self._senders))
            return Hopeless(f"callback_type {callback.kind!r} is not known; it is {known}")
        if not callback.body:
            return Hopeless("the database would not store what it says; `gridsidecar status` shows the task")
        sent: SendResult = SenderUnavailable(
            f"no answer within {QUICK_LIMIT:g} s while others waited; it gets its whole time later"
        )
        try:
            await sender.prepare()
            async with asyncio.timeout(None) as limit:
                self._permits.began(permit, limit)
                sent = await sender.send(callback)
        except TimeoutError:
            pass  # it gave up its permit
        except Exception as error:  # a bug of ours; written down like any other failure, or it would be tried for ever
            telemetry.unexpected_error(error)
            sent = NotDelivered(f"unexpected {type(error).__name__}: {error}")
        self._permits.ended(permit, None if isinstance(sent, SenderUnavailable) else isinstance(sent, Delivered))
        return sent

    def _written(self, callback: OwedCallback, sent: SendResult) -> Callable[[], Awaitable[bool]]:
        """Tell what became of a try, and how to write it down."""
        match sent:
            case Delivered():
                outcome_log.delivered(callback)
                return lambda: self._outbox.delivered(callback)
            case NotDelivered(error, retry_after):
                gap = next_gap(callback.failures, self._max_retries, retry_after, self._env.rng)
                if gap is not None:
                    outcome_log.failed(callback, error, gap)
                else:
                    outcome_log.given_up(callback, error, tries=callback.failures + 1)
                return lambda: self._outbox.failed(callback, error, gap)
            case Hopeless(error):
                outcome_log.given_up(callback, error, tries=callback.failures + 1)
                return lambda: self._outbox.failed(callback, error, None)
            case SenderUnavailable(error, retry_in):
                outcome_log.not_sent(callback, error)
                return lambda: self._outbox.postponed(callback, error, retry_in)
            case _:
                assert_never(sent)


def next_gap(failures: int, max_retries: int, retry_after: float | None, rng: random.Random) -> float | None:
    """Seconds until the next try of a callback that had failed `failures` times before it failed again; None: no more.
    A receiver that names a time is not asked earlier."""
    if failures >= max_retries:
        return None
    return max(callback_gap(failures + 1, rng), retry_after or 0.0)
