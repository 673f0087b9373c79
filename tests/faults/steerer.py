"""Somebody who steers while faults go on: cancels tasks, has them run again, one or many, pauses and resumes types."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings, StoreSettings
from gridsidecar.errors import GridSidecarError
from gridsidecar.operations.steering import Driver
from gridsidecar.rules.steering import Steered
from gridsidecar.store import NotDriven, OperationKind, Store, make_store
from gridsidecar.telemetry import Readiness
from tests.faults.history import History
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually

AHEAD = 30  # numbers of tasks that nobody has sent yet
TYPES = ("default", "short", "long", "flaky")
LONGEST_PAUSE = 5.0  # seconds


class Steerer:
    """One wish after the other. Each is noted before it is made: a reply may be lost."""

    def __init__(self, place: Place, history: History, rng: random.Random, rate: float) -> None:
        """`rate`: wishes a second, 0 for none."""
        self._place = place
        self._history = history
        self._rng = random.Random(rng.random())
        self._rate = rate
        self._store: Store = make_store(StoreSettings(url=place.store_url), place.queue)
        self._broker = make_broker(BrokerSettings(url=place.broker_url, queue=place.queue), Readiness())
        self._driver = Driver(self._store, self._broker)
        self._work: asyncio.Task[None] | None = None
        self._operations: list[str] = []
        self._wishes: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {  # weight, deed
            "cancelled": (6, self._cancel),
            "run again": (6, self._retry),
            "many at once": (2, self._bulk),
            "a type paused": (2, self._pause),
            "a type resumed": (2, self._resume),
        }

    def start(self) -> None:
        if self._rate:
            self._work = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """No more wishes, and nothing is paused any longer."""
        if self._work is None:
            return
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        self._work = None
        try:
            await eventually(self._all_resumed, timeout=60, interval=1.0)
        finally:
            await self._broker.close()
            await self._store.close()

    def ended(self) -> bool:
        """Whether every operation has come to its end, also those that nobody here drove on."""
        rows = {row["id"]: row["ended_at"] for row in self._place.fetch(f"select id, ended_at from {TASKS}_operations")}
        return all(rows[one] is not None for one in self._operations)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(self._rng.expovariate(self._rate))
            name = self._rng.choices(list(self._wishes), [weight for weight, _ in self._wishes.values()])[0]
            try:
                await self._store.open()
                await asyncio.wait_for(self._wishes[name][1](), 30)
                self._history.faults[f"wish: {name}"] += 1
            except (GridSidecarError, TimeoutError):  # a server is away: that is what this is about
                self._history.faults[f"wish in vain: {name}"] += 1

    async def _cancel(self) -> None:
        ids = self._some(self._rng.randint(1, 4))
        if self._rng.random() < 0.2:
            ids.append(f"t{len(self._history.sent) + self._rng.randrange(AHEAD)}")
        self._history.cancels |= set(ids)
        before = {one: self._history.reruns[one] for one in ids}
        outcomes = await self._driver.steer(OperationKind.CANCEL, ids)
        for task_id, outcome in outcomes.items():
            if outcome in (Steered.CANCELLED, Steered.NOTED):
                self._history.surely_cancelled[task_id] = before[task_id]

    async def _retry(self) -> None:
        ids = self._some(self._rng.randint(1, 4))
        self._note_reruns(ids)
        await self._driver.steer(OperationKind.RETRY, ids)

    async def _bulk(self) -> None:
        """Some are left in the middle, for a worker to go on with."""
        kind = self._rng.choice(list(OperationKind))
        ids = self._some(self._rng.randint(5, 1200))
        if kind is OperationKind.CANCEL:
            self._history.cancels |= set(ids)
        else:
            self._note_reruns(ids)
        operation = await self._store.operations.begin_with(kind, ids, spread=self._rng.choice((0.0, 3.0)))
        self._operations.append(operation)
        left = self._rng.randint(0, 2)
        try:
            async for _ in self._driver.drive(operation):
                left -= 1
                if left < 0:
                    return
        except NotDriven:  # we were away for so long that a worker has gone on with it
            pass

    async def _pause(self) -> None:
        until = None
        if self._rng.random() < 0.5:
            until = datetime.now(UTC) + timedelta(seconds=self._rng.uniform(0.1, LONGEST_PAUSE))
        await self._store.pauses.pause(self._rng.choice(TYPES), until, "the soak")

    async def _resume(self) -> None:
        for task_type in TYPES:
            await self._store.pauses.resume(task_type)

    async def _all_resumed(self) -> bool:
        try:
            await self._store.open()
            await self._resume()
        except GridSidecarError:
            return False
        return True

    def _note_reruns(self, ids: list[str]) -> None:
        self._history.reruns.update(ids)

    def _some(self, count: int) -> list[str]:
        """The newest are the likeliest: they wait or run."""
        known = list(self._history.sent)
        if not known:
            return ["t0"]
        places = {max(0, len(known) - 1 - int(self._rng.expovariate(1 / 40))) for _ in range(count)}
        return [known[place] for place in sorted(places)]
