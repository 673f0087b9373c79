"""The composition root: build everything, start it, wait for a reason to leave, drain, stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress

from msgspec import Struct

from gridsidecar import __version__, failpoints, telemetry
from gridsidecar.broker import Broker, make_broker
from gridsidecar.callbacks import make_senders
from gridsidecar.callbacks.deliverer import Deliverer
from gridsidecar.clock import SystemClock, backoff, system_random
from gridsidecar.config.settings import Settings
from gridsidecar.daemon.observed import Observed, make_api
from gridsidecar.daemon.run_limits import RunLimits
from gridsidecar.delivery.admission import Admissions
from gridsidecar.delivery.attempt import AttemptRunner
from gridsidecar.delivery.consumer import Consumer
from gridsidecar.delivery.identity import Identity
from gridsidecar.delivery.prefetch import Prefetch
from gridsidecar.delivery.routes import Routes
from gridsidecar.delivery.slots import Slots
from gridsidecar.delivery.worker import HeldAttempts, Worker
from gridsidecar.environment import Environment
from gridsidecar.errors import EX_OK, GridSidecarError, PublishRefused, Unavailable
from gridsidecar.handler import Handler, make_handlers, reaper
from gridsidecar.handler.reaper import become_subreaper, hide_from_children
from gridsidecar.hooks import Hooks
from gridsidecar.maintenance.breakers import Breakers
from gridsidecar.maintenance.pausing import Pausing
from gridsidecar.maintenance.rounds import Maintenance
from gridsidecar.metrics.statistics import Statistics
from gridsidecar.notify import NoticeOrigin, make_notifier
from gridsidecar.runtime import signals
from gridsidecar.runtime.event_loop import fast_loop
from gridsidecar.runtime.memory_budget import give_back_what_is_freed
from gridsidecar.runtime.shutdown import CLOSE_LIMIT
from gridsidecar.store import make_store
from gridsidecar.supervisor_link import Leave, QueueState, SupervisorLink
from gridsidecar.telemetry import Readiness
from gridsidecar.telemetry.output_log import OutputLog
from gridsidecar.telemetry.tracing import make_spans
from gridsidecar.waiting import sleep_unless

MAX_WAIT_BESIDE_OTHERS = 5.0  # seconds
API_GRACE = 2.0  # seconds for requests that are being answered


class RunOptions(Struct, frozen=True):
    """What a run does beyond the settings."""

    once: bool = False  # leave after one attempt
    fail_fast: bool = False  # do not wait for servers that are away at the start


class Daemon:
    """One run of the sidecar, from start to exit code."""

    def __init__(self, settings: Settings, options: RunOptions, supervisor: SupervisorLink | None = None) -> None:
        self._settings = settings
        self._options = options
        self._supervisor = supervisor  # of several processes, of which we are one; it decides what concerns all of them
        self._unsupervised = False  # the supervisor is gone
        self._clock = SystemClock()
        self._rng = system_random()
        self._env = env = Environment(settings.worker, Readiness(), self._clock, self._rng)
        self._shutdown = env.shutdown
        self._broker: Broker = make_broker(settings.broker, env.readiness)
        dead_letter_failed = settings.broker.dead_letter_failed
        self._store = make_store(settings.store, settings.broker.queue, dead_letter_failed=dead_letter_failed)
        self._spans = make_spans(settings, self._clock, os.environ)
        identity = Identity(self._store.leases, env.name, settings.worker.lease, self._concurrency, self._clock)
        self._worker = Worker(env, identity, HeldAttempts(self._clock))
        self._hooks = Hooks(settings.hooks, env, self._worker.attempts, settings.broker.queue)
        handlers = make_handlers(settings.handlers, self._clock, concurrency=self._concurrency, rng=self._rng)
        self._handlers = list(handlers.values())
        self._consumer, self._prefetch = self._build_delivery(handlers)
        self._pausing = Pausing(self._worker, self._broker, self._store.pauses)
        longest_hold = settings.broker.longest_hold
        self._maintenance = Maintenance(self._worker, self._broker, self._store, self._pausing, longest_hold)
        self._limits = RunLimits(env, self._broker, self._consumer, lambda: self._busy, once=options.once)
        origin = NoticeOrigin(queue=settings.broker.queue, worker=env.name)
        self._notifier = make_notifier(settings.notify, origin, settings.log.language, self._clock, self._rng)
        self._breakers = Breakers(
            env, self._store.pauses, settings.handlers, self._pausing.read, self._notifier.hear_breaker
        )
        senders = make_senders(settings.callbacks, self._broker, settings.broker, self._clock)
        self._deliverer = Deliverer(env, self._store.outbox, senders, settings.callbacks, dead_letter_failed)
        self._statistics = Statistics(
            self._clock, settings.log.stats_interval, lambda: self._worker.attempts.running, self._broker.ready_count
        )
        self._observed = Observed(
            settings, self._worker, self._broker, self._consumer, self._statistics, lambda: self._busy
        )
        self._pulse = self._observed.pulse
        # That of several processes is their supervisor's.
        self._api = make_api(settings, self._observed) if supervisor is None else None
        env.listeners += [self._hooks.hear, self._maintenance.hear, self._observed.hear, self._notifier.hear]
        env.listeners += [self._deliverer.hear, self._statistics.hear, self._breakers.hear]

    def _build_delivery(self, handlers: Mapping[str, Handler]) -> tuple[Consumer, Prefetch]:
        """What carries a delivery from its arrival to its ack."""
        settings, tasks = self._settings, self._store.tasks
        max_wait = longest_hold = settings.broker.longest_hold
        if len(handlers) > 1:  # what waits for one handler must not keep the others from their work
            max_wait = min(max_wait, MAX_WAIT_BESIDE_OTHERS)
        slots = Slots(self._concurrency)
        shared = {} if self._supervisor is None else self._supervisor.shared_slots()
        routes = Routes(handlers, settings.handlers, settings.retry, slots, self._concurrency, shared)
        admissions = Admissions(self._worker, tasks, slots, max_wait, self._concurrency, longest_hold)
        lines = OutputLog(self._clock) if settings.log.handler_output else None
        before = self._hooks.before_attempt
        runner = AttemptRunner(self._worker, tasks, settings.progress_interval, before, lines, self._spans)
        consumer = Consumer(
            self._worker, routes, admissions, runner, self._broker, tasks, settings.broker, once=self._options.once
        )
        most = 0 if self._options.once else settings.worker.prefetch
        lends = routes.share_processes
        return consumer, Prefetch(self._broker, slots, consumer, self._clock, self._concurrency, most, lends=lends)

    @property
    def _concurrency(self) -> int:
        return 1 if self._options.once else self._settings.worker.concurrency

    async def run(self) -> int:
        """Serve until there is a reason to leave; the exit code."""
        self._listen_to_signals()
        if self._supervisor is not None:
            self._supervisor.join(self, self._observed)
        become_subreaper()
        hide_from_children()
        async with AsyncExitStack() as leaving:  # from the last to the first; none is left out if one fails
            self._pulse.start(self._env.vitals)
            leaving.push_async_callback(self._pulse.stop)
            leaving.callback(self._deafen)
            leaving.push_async_callback(reaper.finish)  # what escaped from handlers and hooks
            leaving.push_async_callback(self._store.close)
            leaving.push_async_callback(self._broker.close)
            if self._api is not None:
                leaving.push_async_callback(self._api.stop, API_GRACE)
                self._api.start()
            leaving.push_async_callback(self._say_goodbye)
            leaving.push_async_callback(self._maintenance.stop)
            leaving.push_async_callback(self._finish)
            if not await self._start():
                return EX_OK
            consuming = asyncio.create_task(self._broker.consume(self._consumer.receive, self._prefetch.count))
            self._prefetch.start(self._env.vitals)
            try:
                await self._until_leaving(consuming)
            finally:
                await self._drain(consuming)
                await self._tell_figures()
            if self._env.fatal is not None:
                raise self._env.fatal
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
        again = self._shutdown.demanded and self._supervisor is None  # else it counts when the supervisor says it
        self._shutdown.demand(f"{number.name} received", hurry=again)

    def leave(self, word: Leave) -> None:
        """The supervisor says so."""
        self._unsupervised = self._unsupervised or word.unsupervised
        if word.demanded or word.hurry:
            self._shutdown.demand(word.why, hurry=word.hurry)
        else:
            self._shutdown.request(word.why, finishes_work=word.finishes_work)

    async def _start(self) -> bool:
        """Connect and announce ourselves. False when we are told to leave before that has worked."""
        steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("store", lambda: self._store.open(migrate=self._settings.store.migrate)),
            ("broker", self._broker.open),
            ("broker", self._look_for_dead_letters),
            ("on_startup", self._begin),
            ("store", self._worker.identity.lease.renew),
            ("store", self._pausing.read),
        ]
        for part, step in steps:
            if not await self._until_reached(part, step):
                return False
        for handler in self._handlers:
            handler.start()
        self._maintenance.start()
        self._deliverer.start()
        if self._supervisor is None:
            self._statistics.start(self._env.vitals)
        telemetry.info(
            "consuming",
            version=__version__,
            queue=self._settings.broker.queue,
            concurrency=self._concurrency,
            worker=self._env.name,
            handlers=",".join(self._settings.handlers),
        )
        return True

    async def _begin(self) -> None:
        """The hook that comes before the first task; of several processes, when all may begin."""
        if self._supervisor is None:
            await self._hooks.start(self._shutdown.requested)
        else:
            await self._supervisor.begin(self._shutdown.requested)

    async def _look_for_dead_letters(self) -> None:
        """Known before the first message that needs them; tasks can run without."""
        try:
            await self._broker.ensure_dead_letters()
        except PublishRefused as error:
            self._env.readiness.blocked("dead letters", str(error))

    async def _until_reached(self, part: str, step: Callable[[], Awaitable[object]]) -> bool:
        failures = 0
        while not self._shutdown.requested.is_set():
            try:
                await step()
            except Unavailable as error:
                if self._options.fail_fast:
                    raise
                self._env.readiness.blocked(part, str(error))
            else:
                self._env.readiness.clear(part)
                return True
            failures += 1
            await sleep_unless(self._shutdown.requested, backoff(failures, base=0.5, limit=15.0, rng=self._rng))
        return False

    # -- serving ------------------------------------------------------------------------------------------------------

    async def _until_leaving(self, consuming: asyncio.Task[None]) -> None:
        self._observed.serves()
        watchers = {
            asyncio.create_task(self._shutdown.requested.wait()),
            asyncio.create_task(self._env.failed.wait()),
            consuming,
        }
        if self._supervisor is None:
            watchers.add(asyncio.create_task(self._limits.reached()))
        try:
            await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watcher in watchers - {consuming}:
                watcher.cancel()
        if self._env.fatal is not None:
            self._shutdown.request("a server refused us")
        if consuming.done():
            await consuming  # it ends early only with an error that waiting cannot mend

    async def queue_state(self) -> QueueState:
        """For the supervisor: whether there is anything left to do in a burst."""
        try:
            left = await self._broker.ready_count()
        except GridSidecarError:
            left = None
        wait = self._settings.worker.burst_wait
        return QueueState(left, left == 0 and not (wait and self._busy), self._consumer.active_at if wait else 0.0)

    async def _tell_figures(self) -> None:
        if self._supervisor is None:
            await self._statistics.stop()
        else:
            self._supervisor.tell_last(await self._statistics.left())

    @property
    def _busy(self) -> bool:
        return bool(self._consumer.in_hand) or self._deliverer.busy

    # -- leaving ------------------------------------------------------------------------------------------------------

    async def _drain(self, consuming: asyncio.Task[None]) -> None:
        """Stop taking, let running attempts finish, end the rest as interrupted. Every wait has a limit."""
        telemetry.info("leaving", reason=self._shutdown.why or "an error", running=self._worker.attempts.running)
        self._env.readiness.reasons["worker"] = "draining"
        if not self._shutdown.finishes_work:
            self._consumer.freeze()
        await failpoints.reached("draining")
        await self._prefetch.stop()
        with suppress(GridSidecarError, TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._broker.stop_consuming()
        worker = self._settings.worker
        no_wait = self._unsupervised or (worker.burst and not worker.burst_wait)
        grace = 0.0 if no_wait else worker.shutdown_grace
        kill_grace = max(handler.kill_grace for handler in self._settings.handlers.values())
        await self._shutdown.drain(self._consumer, grace=grace, kill_grace=kill_grace)
        await failpoints.reached("drained")
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)

    async def _finish(self) -> None:
        """The last callbacks, notices, hooks and handlers that stay, side by side; then the hook that comes when
        all is over. Each has its own limit; being told to leave once more ends what runs."""
        hurry, time_for_callbacks = self._shutdown.hurry, CLOSE_LIMIT  # told to leave, we leave them to others
        if self._shutdown.finishes_work:  # what is due is part of it
            time_for_callbacks += self._settings.callbacks.timeout
        if hurry.is_set():
            time_for_callbacks = 0.0
        await self._breakers.close(CLOSE_LIMIT)  # people are told of what it does
        hurry.clear()
        done = await asyncio.gather(
            self._deliverer.finish(time_for_callbacks),
            self._notifier.close(CLOSE_LIMIT),
            self._hooks.finish_tasks(hurry),
            *([] if self._spans is None else [self._spans.close(CLOSE_LIMIT)]),
            *(handler.close(hurry) for handler in self._handlers),
            return_exceptions=True,
        )
        hurry.clear()
        await self._hooks.shut_down(hurry)
        for error in done:
            if isinstance(error, BaseException):
                raise error

    async def _say_goodbye(self) -> None:
        with suppress(GridSidecarError, TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT):
                for lease in self._worker.identity.leases:
                    if lease.live:
                        await lease.leave()


def run(settings: Settings, options: RunOptions, supervisor: SupervisorLink | None = None) -> int:
    """Run the daemon on the fastest event loop there is; the exit code."""
    give_back_what_is_freed()
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        return runner.run(_serve(settings, options, supervisor))


async def _serve(settings: Settings, options: RunOptions, supervisor: SupervisorLink | None) -> int:
    return await Daemon(settings, options, supervisor).run()
