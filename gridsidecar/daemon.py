"""The composition root: build everything, start it, wait for a reason to leave, drain, stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from gridsidecar import __version__, failpoints, signals, telemetry
from gridsidecar.broker import Broker, make_broker
from gridsidecar.callbacks import make_senders
from gridsidecar.callbacks.deliverer import Deliverer
from gridsidecar.clock import SystemClock, backoff, system_random
from gridsidecar.config.settings import Settings
from gridsidecar.consumer import Consumer
from gridsidecar.errors import EX_OK, GridSidecarError, PublishRefused, Unavailable
from gridsidecar.executor import Executor
from gridsidecar.handler import make_handlers, reaper
from gridsidecar.handler.reaper import become_subreaper, hide_from_children
from gridsidecar.hooks import Hooks
from gridsidecar.maintenance import Maintenance
from gridsidecar.memory_budget import give_back_what_is_freed
from gridsidecar.notify import Origin, make_notifier
from gridsidecar.siblings import Figures, Leave, Look, Siblings
from gridsidecar.statistics import Statistics
from gridsidecar.store import OpenStore, make_store
from gridsidecar.telemetry import Readiness
from gridsidecar.worker import Worker, make_lanes

KILL_MARGIN = 15.0  # seconds beyond a handler's kill grace for its drain, its last write and its message
FAREWELL = 5.0  # seconds for the last notices, for the lease's goodbye, and for callbacks when a signal ends us


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run does beyond the settings."""

    once: bool = False  # leave after one attempt
    fail_fast: bool = False  # do not wait for servers that are away at the start


class Daemon:
    """One run of the sidecar, from start to exit code."""

    def __init__(self, settings: Settings, options: RunOptions, siblings: Siblings | None = None) -> None:
        self._settings = settings
        self._options = options
        self._siblings = siblings  # one of several processes; a supervisor decides what concerns all of them
        self._clock = SystemClock()
        self._rng = system_random()
        self._readiness = Readiness()
        self._leave = asyncio.Event()  # set by a signal or by a reason of our own
        self._told = asyncio.Event()  # set by a signal
        self._hurry = asyncio.Event()  # set by a second one
        self._why = ""
        self._serving_since: float | None = None  # monotonic seconds
        self._alone = False  # the supervisor is gone
        self._finish_in_hand = False  # we leave because the work is done: what still arrives is work, too
        self._broker: Broker = make_broker(settings.broker, self._readiness)
        self._store: OpenStore = make_store(settings.store, settings.broker.queue)
        self._worker = Worker(settings.worker, self._store.leases, self._readiness, self._clock, self._rng)
        origin = Origin(queue=settings.broker.queue, worker=self._worker.name)
        self._notifier = make_notifier(settings.notify, origin, settings.log.language, self._clock, self._rng)
        self._worker.listeners.append(self._notifier.hear)
        handlers = make_handlers(settings.handlers, self._clock, concurrency=self._concurrency, rng=self._rng)
        self._handlers = list(handlers.values())
        slots = {} if siblings is None else {"slots": siblings.slots}
        lanes = make_lanes(handlers, settings.handlers, settings.retry, self._concurrency, **slots)
        self._hooks = Hooks(settings.hooks, self._worker, settings.broker.queue)
        executor = Executor(
            self._worker, self._store.tasks, settings.progress_interval, before=self._hooks.before_attempt
        )
        self._consumer = Consumer(
            self._worker, lanes, self._broker, self._store.tasks, executor, settings.broker, once=options.once
        )
        self._maintenance = Maintenance(self._worker, self._broker, self._store, settings.broker.longest_hold)
        senders = make_senders(settings.callbacks, self._broker, settings.broker, self._clock)
        self._deliverer = Deliverer(self._worker, self._store.outbox, senders, settings.callbacks)
        self._worker.listeners.append(self._deliverer.note)
        self._statistics = Statistics(
            self._clock, settings.log.stats_interval, lambda: len(self._worker.attempts), self._broker.ready_count
        )
        self._worker.listeners.append(self._statistics.note)

    @property
    def _concurrency(self) -> int:
        return 1 if self._options.once else self._settings.worker.concurrency

    async def run(self) -> int:
        """Serve until there is a reason to leave; the exit code."""
        self._listen_to_signals()
        if self._siblings is not None:
            self._siblings.join(self)
        become_subreaper()
        hide_from_children()
        async with AsyncExitStack() as leaving:  # from the last to the first; none is left out if one fails
            leaving.callback(self._deafen)
            leaving.push_async_callback(reaper.finish)  # what escaped from handlers and hooks
            leaving.push_async_callback(self._store.close)
            leaving.push_async_callback(self._broker.close)
            leaving.push_async_callback(self._say_goodbye)
            leaving.push_async_callback(self._maintenance.stop)
            leaving.push_async_callback(self._finish)
            if not await self._start():
                return EX_OK
            consuming = asyncio.create_task(self._broker.consume(self._consumer.receive, self._concurrency))
            try:
                await self._until_leaving(consuming)
            finally:
                await self._drain(consuming)
                await self._tell_figures()
            if self._worker.refusal is not None:
                raise self._worker.refusal
            return EX_OK

    # -- starting -----------------------------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in signals.leaving():
            loop.add_signal_handler(number, self._on_signal, number)

    def _deafen(self) -> None:
        """All is done: to be told to go once more must not change the exit code."""
        loop = asyncio.get_running_loop()
        for number in signals.leaving():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: signal.Signals) -> None:
        again = self._told.is_set() and self._siblings is None  # that of a sibling counts when the supervisor says it
        self.leave(Leave(f"{number.name} received", told=True, hurry=again))

    def leave(self, word: Leave) -> None:
        """A signal, or what the supervisor says."""
        if word.hurry:
            self._hurry.set()
        elif word.told:
            self._told.set()
        self._alone = self._alone or word.alone
        self._go(word.why, finish_in_hand=word.finish_in_hand)

    def _go(self, why: str, *, finish_in_hand: bool = False) -> None:
        if not self._leave.is_set():
            self._why = why
            self._finish_in_hand = finish_in_hand
            self._leave.set()

    async def _start(self) -> bool:
        """Connect and announce ourselves. False when we are told to leave before that has worked."""
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("store", lambda: self._store.open(migrate=self._settings.store.migrate)),
            ("broker", self._broker.open),
            ("broker", self._look_for_dead_letters),
            ("on_startup", self._begin),
            ("store", self._worker.lease.renew),
        ]
        for part, step in steps:
            if not await self._until_reached(part, step):
                return False
        for handler in self._handlers:
            handler.start()
        self._maintenance.start()
        self._deliverer.start()
        if self._siblings is None:
            self._statistics.start()
        telemetry.info(
            "consuming",
            version=__version__,
            queue=self._settings.broker.queue,
            concurrency=self._concurrency,
            worker=self._worker.name,
            handlers=",".join(self._settings.handlers),
        )
        return True

    async def _begin(self) -> None:
        """The hook that comes before the first task; of several processes, when all may begin."""
        if self._siblings is None:
            await self._hooks.start(self._leave)
        else:
            await self._siblings.begin(self._leave)

    async def _look_for_dead_letters(self) -> None:
        """Known before the first message that needs them; tasks can run without."""
        try:
            await self._broker.ensure_dead_letters()
        except PublishRefused as error:
            self._readiness.blocked("dead letters", str(error))

    async def _until_reached(self, part: str, step: Callable[[], Awaitable[None]]) -> bool:
        failures = 0
        while not self._leave.is_set():
            try:
                await step()
            except Unavailable as error:
                if self._options.fail_fast:
                    raise
                self._readiness.blocked(part, str(error))
            else:
                self._readiness.clear(part)
                return True
            failures += 1
            await self._pause(backoff(failures, base=0.5, limit=15.0, rng=self._rng))
        return False

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past a reason to leave."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leave.wait()

    # -- serving ------------------------------------------------------------------------------------------------------

    async def _until_leaving(self, consuming: asyncio.Task[None]) -> None:
        watchers = {
            asyncio.create_task(self._leave.wait()),
            asyncio.create_task(self._until_idle()),
            asyncio.create_task(self._worker.refused.wait()),
            consuming,
        }
        try:
            await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watcher in watchers - {consuming}:
                watcher.cancel()
        if self._worker.refusal is not None:
            self._go("a server refused us")
        if consuming.done():
            await consuming  # it ends early only with an error that waiting cannot mend

    async def _until_idle(self) -> None:
        """Return when this run is over by its own rules: once, burst, idle."""
        settings = self._settings.worker
        started = self._serving_since = self._clock.monotonic()
        if self._siblings is not None:
            await self._leave.wait()
            return None
        while True:
            if await self._one_was_taken(min(settings.burst_check_interval, 1.0)):
                await self._broker.stop_consuming()  # at prefetch 1 nothing else is in hand
                return self._go("one task was taken", finish_in_hand=True)
            idle = self._clock.monotonic() - max(started, self._consumer.active_at) if not self._busy else 0.0
            if settings.idle_timeout and idle >= settings.idle_timeout:
                return self._go(f"idle for {settings.idle_timeout:g} s", finish_in_hand=True)
            if settings.burst and await self._burst_is_over(started):
                return None

    async def _one_was_taken(self, seconds: float) -> bool:
        """Pause; with --once True as soon as an attempt starts, which cannot wait for the pause's end."""
        if not self._options.once:
            await self._clock.sleep(seconds)
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._consumer.first_attempt.wait()
        return self._consumer.first_attempt.is_set()

    async def _burst_is_over(self, started: float) -> bool:
        settings = self._settings.worker
        if settings.burst_timeout and self._clock.monotonic() - started >= settings.burst_timeout:
            self._go(f"burst_timeout of {settings.burst_timeout:g} s is over")
        elif (not self._busy or not settings.burst_wait) and await self._queue_is_empty():
            self._go("the queue is empty", finish_in_hand=settings.burst_wait)
        return self._leave.is_set()

    async def _queue_is_empty(self) -> bool:
        try:
            if await self._broker.ready_count():
                return False
        except GridSidecarError:  # the broker is away: nobody knows
            return False
        # A message may have left the queue for our hands in between; then this run goes on.
        return not self._busy or not self._settings.worker.burst_wait

    def figures(self) -> Figures:
        """For the supervisor."""
        since = max(self._serving_since or 0.0, self._consumer.active_at)
        idle = 0.0 if self._busy or self._serving_since is None else self._clock.monotonic() - since
        return Figures(idle, len(self._worker.attempts), dict(self._statistics.counts))

    async def look(self) -> Look:
        """For the supervisor: whether there is anything left to do in a burst."""
        try:
            left = await self._broker.ready_count()
        except GridSidecarError:
            left = None
        wait = self._settings.worker.burst_wait
        return Look(left, left == 0 and not (wait and self._busy), self._consumer.active_at if wait else 0.0)

    @property
    def _busy(self) -> bool:
        return bool(self._consumer.busy) or self._deliverer.busy

    # -- leaving ------------------------------------------------------------------------------------------------------

    async def _drain(self, consuming: asyncio.Task[None]) -> None:
        """Stop taking, let running attempts finish, end the rest as interrupted. Every wait has a limit."""
        telemetry.info("leaving", reason=self._why or "an error", running=len(self._worker.attempts))
        self._readiness.reasons["worker"] = "draining"
        await failpoints.reached("draining")
        with suppress(GridSidecarError, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._broker.stop_consuming()
        drained = asyncio.create_task(self._consumer.drained())
        if self._finish_in_hand:
            await self._wait_for(drained, None, self._told)
        self._consumer.leave()
        grace = 0.0 if self._no_wait else self._settings.worker.shutdown_grace
        await self._wait_for(drained, grace, self._hurry)
        if not drained.done():
            self._worker.interrupt()
            self._hurry.clear()
            await self._wait_for(drained, self._longest_kill_grace, self._hurry)
        self._worker.out_of_patience = True
        if not drained.done():
            for held in list(self._worker.attempts.values()):
                held.stop.hurry()
            await asyncio.wait({drained}, timeout=KILL_MARGIN)
        if not drained.done():
            await self._consumer.abandon()
        await drained
        await failpoints.reached("drained")
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)

    async def _tell_figures(self) -> None:
        if self._siblings is None:
            await self._statistics.stop()
        else:
            self._siblings.tell_last(await self._statistics.look())

    @property
    def _no_wait(self) -> bool:
        return self._alone or (self._settings.worker.burst and not self._settings.worker.burst_wait)

    @property
    def _longest_kill_grace(self) -> float:
        return max(handler.kill_grace for handler in self._settings.handlers.values()) + KILL_MARGIN / 3

    async def _wait_for(self, drained: asyncio.Task[None], seconds: float | None, cut_short: asyncio.Event) -> None:
        """Until drained, for `seconds` at most."""
        cutting = asyncio.create_task(cut_short.wait())
        await asyncio.wait({drained, cutting}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        cutting.cancel()

    @property
    def _time_for_callbacks(self) -> float:
        """Seconds: what is due is part of the work that this run finishes; told to leave, we leave it to others."""
        if self._hurry.is_set():
            return 0.0
        return self._settings.callbacks.timeout + FAREWELL if self._finish_in_hand else FAREWELL

    async def _finish(self) -> None:
        """The last callbacks, notices, hooks and handlers that stay, side by side; then the hook that comes when
        all is over. Each has its own limit; being told to leave once more ends what runs."""
        time_for_callbacks = self._time_for_callbacks
        self._hurry.clear()
        done = await asyncio.gather(
            self._deliverer.finish(time_for_callbacks),
            self._notifier.close(FAREWELL),
            self._hooks.finish_tasks(self._hurry),
            *(handler.close(self._hurry) for handler in self._handlers),
            return_exceptions=True,
        )
        self._hurry.clear()
        await self._hooks.shut_down(self._hurry)
        for error in done:
            if isinstance(error, BaseException):
                raise error

    async def _say_goodbye(self) -> None:
        with suppress(GridSidecarError, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                for lease in self._worker.leases:
                    if lease.live:
                        await lease.leave()


def run(settings: Settings, options: RunOptions, siblings: Siblings | None = None) -> int:
    """Run the daemon on the fastest event loop there is; the exit code."""
    give_back_what_is_freed()
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        return runner.run(_serve(settings, options, siblings))


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # not on this platform
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(settings: Settings, options: RunOptions, siblings: Siblings | None) -> int:
    return await Daemon(settings, options, siblings).run()
