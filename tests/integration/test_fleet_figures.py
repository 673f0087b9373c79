"""Figures of the whole fleet, from real servers: asked seldom, and those of one also while the other is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import Struct

from gridsidecar.broker import Broker, make_broker
from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import BrokerSettings, StoreSettings
from gridsidecar.metrics.end_counter import SETTLED, EndCounter
from gridsidecar.metrics.fleet import KEPT_FOR, FleetFigures
from gridsidecar.rules.task import Message, Status
from gridsidecar.store import Reading, Store, make_store
from gridsidecar.telemetry import Readiness
from tests.support.servers import free_port

QUEUE = "q-of-the-fleet"


class Later(SystemClock):
    """The machine's clock, and what a test adds to it."""

    added = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.added)

    def monotonic(self) -> float:
        return super().monotonic() + self.added


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    made = make_store(StoreSettings(url=store_url), QUEUE)
    await made.open(migrate=True)
    yield made
    await made.close()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    made = make_broker(BrokerSettings(url=f"sqlite:///{tmp_path}/broker.db", queue=QUEUE), Readiness())
    await made.open()
    yield made
    await made.close()


def reading_of(store: Store) -> Callable[[], Awaitable[Reading]]:
    async def reading() -> Reading:
        return store.reading

    return reading


async def test_what_servers_know(store: Store, broker: Broker) -> None:
    clock = Later()
    figures = FleetFigures(broker, reading_of(store), QUEUE, clock)
    first = await figures.series()
    assert first["gridsidecar_reachable", "store"] == first["gridsidecar_reachable", "broker"] == 1
    assert first["gridsidecar_queue_messages", QUEUE, "ready"] == 0
    assert first["gridsidecar_oldest_pending_seconds", QUEUE] == 0
    assert first["gridsidecar_workers", QUEUE] == 0
    await broker.publish(Message(body=b"{}"))
    await store.leases.renew("w", "name", 60)
    await store.pauses.pause("resize", None, None)
    assert await figures.series() is first, "it is not asked again so soon"
    clock.added = KEPT_FOR
    series = await figures.series()
    assert series["gridsidecar_queue_messages", QUEUE, "ready"] == 1
    assert series["gridsidecar_workers", QUEUE] == 1
    assert series["gridsidecar_paused", QUEUE, "resize"] == 1
    assert (series["gridsidecar_callbacks", "owed"], series["gridsidecar_callbacks", "dead"]) == (0, 0)


async def test_many_who_ask_at_once_are_one(store: Store, broker: Broker) -> None:
    figures = FleetFigures(broker, reading_of(store), QUEUE, SystemClock())
    found = await asyncio.gather(*(figures.series() for _ in range(50)))
    assert {id(series) for series in found} == {id(found[0])}


async def test_one_server_is_away(broker: Broker) -> None:
    away = make_store(StoreSettings(url=f"mysql://root@127.0.0.1:{free_port()}/none"), QUEUE)
    figures = FleetFigures(broker, reading_of(away), QUEUE, SystemClock())
    series = await figures.series()
    assert (series["gridsidecar_reachable", "store"], series["gridsidecar_reachable", "broker"]) == (0, 1)
    assert series["gridsidecar_queue_messages", QUEUE, "ready"] == 0
    assert ("gridsidecar_workers", QUEUE) not in series
    await away.close()


class Counted(Struct, frozen=True):
    outcome: Status
    count: int


async def test_what_ended_is_counted_once_and_never_falls(store: Store, broker: Broker) -> None:
    asked: list[tuple[datetime, datetime]] = []

    async def between(since: datetime, until: datetime) -> list[Counted]:
        asked.append((since, until))
        return [Counted(Status.SUCCESS, 7), Counted(Status.SUCCESS, 1), Counted(Status.FAILED, 2)]

    clock = Later()
    figures = FleetFigures(broker, reading_of(store), QUEUE, clock, EndCounter(between, clock))
    name = "gridsidecar_fleet_tasks_ended_total"
    assert (await figures.series())[name, QUEUE, "success"] == 0, "before its first minute"
    for minute in (1, 2):
        clock.added = 60 * minute
        series = await figures.series()
        assert (series[name, QUEUE, "success"], series[name, QUEUE, "failed"]) == (8 * minute, 2 * minute)
    assert asked[0][1] == asked[1][0], "no minute is left out, and none counted twice"
    assert clock.now() - asked[1][1] >= SETTLED
