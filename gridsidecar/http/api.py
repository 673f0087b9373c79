"""What the endpoints work on: store and broker by connections of their own, so that tasks do not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gridsidecar import telemetry
from gridsidecar.broker import Broker, make_broker
from gridsidecar.clock import Clock
from gridsidecar.config.http import POOL, HttpSettings
from gridsidecar.config.settings import Settings
from gridsidecar.errors import ConfigError, Fault, GridSidecarError
from gridsidecar.http.access import Rules
from gridsidecar.http.answer_cache import AnswerCache
from gridsidecar.http.limits import most_streams
from gridsidecar.http.overview import Overview
from gridsidecar.http.redaction import Hiding
from gridsidecar.http.snapshots import Snapshots
from gridsidecar.http.watch import Watch
from gridsidecar.metrics.end_counter import EndCounter
from gridsidecar.metrics.fleet import FleetFigures
from gridsidecar.metrics.tally import Series
from gridsidecar.operations.figures import read_figures
from gridsidecar.operations.steering import Driver
from gridsidecar.operations.submitting import Submitter
from gridsidecar.runtime.health import Health
from gridsidecar.store import NotDriven, OperationKind, Reading, Store, make_store
from gridsidecar.store.minutes import MinuteTally
from gridsidecar.telemetry import Readiness

if TYPE_CHECKING:
    from gridsidecar.views import Figures, TaskSummary

OPERATIONS_EVERY = 10.0  # seconds
FIGURES_MAX_AGE = 5.0  # seconds
QUEUE_HOLDS = 1.0  # seconds
LAST_WORK = 2.0  # seconds for what runs beside requests, when the server stops


class HealthSource(Protocol):
    """What probes and Prometheus are told."""

    def health(self) -> Health: ...

    async def metrics(self) -> Series: ...


class Api:
    """Connects when it is first asked something. Every method raises what store and broker raise."""

    def __init__(self, settings: Settings, clock: Clock, shown: HealthSource | None = None) -> None:
        """ConfigError for a file of a token that cannot be read."""
        self.settings = settings
        self.clock = clock
        self.rules = rules_of(settings.http)
        self.hiding = Hiding(settings.http.hide)
        pool = min(POOL, settings.store.pool_size)
        self._store = make_store(
            settings.store.model_copy(update={"pool_size": pool}), settings.broker.queue, clock,
            dead_letter_failed=settings.broker.dead_letter_failed,
        )  # fmt: skip
        self._broker = make_broker(settings.broker, Readiness())
        self._store_is_open = False
        self._queue_known_until = float("-inf")
        self._opening = asyncio.Lock()
        self._beside: set[asyncio.Task[None]] = set()
        self.watch = Watch(self._look, clock, most_streams())
        queue = settings.broker.queue
        ended = EndCounter(self._ended_between, clock)
        self.shown = shown or Overview(FleetFigures(self._broker, self._reading, queue, clock, ended), queue)
        self.works = shown is not None  # a worker is in this process
        self.cache = AnswerCache(clock)
        self.snapshots = Snapshots(clock)

    async def _reading(self) -> Reading:
        return (await self.store()).reading

    async def store(self) -> Store:
        async with self._opening:
            if not self._store_is_open:
                await self._store.open(migrate=self.settings.store.migrate)
                self._store_is_open = True
        return self._store

    async def _ended_between(self, since: datetime, until: datetime) -> list[MinuteTally]:
        return await (await self.store()).minutes.between(since, until, queue=self.settings.broker.queue)

    async def figures(self, since: datetime | None, queue: str | None = None) -> Figures:
        """Those that everybody asks for are read once for all of them."""
        store = await self.store()
        if since is not None:
            return await read_figures(store, since, queue)
        name = "figures" if queue is None else f"figures of {queue}"
        read = partial(read_figures, store, queue=queue)
        figures: Figures = await self.cache.get(name, FIGURES_MAX_AGE, read)
        return figures

    def acted(self) -> None:
        """Somebody has changed something, and whoever looks is to see that at once."""
        self.snapshots.drop()
        self.cache.drop()

    async def summaries(self, ids: Sequence[str]) -> dict[str, TaskSummary]:
        """Tasks by id, without their data and results, with `rev`, and with what keeps them."""
        await self.store()
        return await self._look(ids)

    async def _look(self, ids: Sequence[str]) -> dict[str, TaskSummary]:
        reading = self._store.reading
        found = await reading.some(ids)
        return {view["task_id"]: view for view in await reading.with_pauses(list(found.values()))}

    @property
    def broker(self) -> Broker:
        return self._broker

    async def open_broker(self) -> Broker:
        """With its work queue, to publish: that is looked for now and then, not for each of many tasks."""
        if self.clock.monotonic() >= self._queue_known_until:
            await self._broker.open()
            self._queue_known_until = self.clock.monotonic() + QUEUE_HOLDS
        return self._broker

    async def submitter(self) -> Submitter:
        store = await self.store()
        return Submitter(await self.open_broker(), store.prewritten, self.settings, self._spawn)

    async def driver(self, kind: OperationKind) -> Driver:
        """For cancels and retries; a retry holds without a broker, too: then workers bring its tasks back."""
        store = await self.store()
        if kind is OperationKind.CANCEL:
            return Driver(store, None)
        try:
            return Driver(store, await self.open_broker())
        except GridSidecarError as error:
            return Driver(store, None, str(error))

    def drive(self, operation: str, driver: Driver) -> None:
        """Carry a stored operation out beside the requests. Should we die, a worker goes on with it."""
        self._spawn(self._drive(operation, driver))

    async def _drive(self, operation: str, driver: Driver) -> None:
        try:
            async for _ in driver.drive(operation):
                pass
        except NotDriven:
            pass
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError | GridSidecarError):
                telemetry.unexpected_error(error)
            with suppress(GridSidecarError):
                await self._store.operations.leave(operation)

    def look_after_operations(self) -> None:
        """Go on with those of processes that are gone, as workers do where there are any."""
        self._spawn(self._look_after_operations())

    async def _look_after_operations(self) -> None:
        while True:
            try:
                operations = (await self.store()).operations
                forsaken = await operations.forsaken()
                known = None if forsaken is None else await operations.get(forsaken)
                if known is not None:
                    await self._drive(known.id, await self.driver(known.kind))
            except GridSidecarError:  # it is tried again in a moment
                pass
            await self.clock.sleep(OPERATIONS_EVERY)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def leave(self) -> None:
        """End what would go on for ever."""
        self.watch.close()

    async def close(self) -> None:
        for task in self._beside:
            task.cancel()
        if self._beside:
            await asyncio.wait(self._beside, timeout=LAST_WORK)
        await self._broker.close()
        await self._store.close()


def rules_of(http: HttpSettings) -> Rules:
    return Rules(
        token=_token("token", http.token, http.token_file),
        read_token=_token("read_token", http.read_token, http.read_token_file),
        public_url=http.public_url,
    )


def _token(name: str, given: str | None, file: str | None) -> bytes | None:
    if file is None:
        return None if given is None else given.encode()
    try:
        token = Path(file).read_bytes().strip()
    except OSError as error:
        raise ConfigError([Fault(f"http.{name}_file", f"cannot be read: {error.strerror}", file)]) from error
    if not token:
        raise ConfigError([Fault(f"http.{name}_file", "holds no token", file)])
    return token
