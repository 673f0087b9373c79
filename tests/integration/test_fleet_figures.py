"""Figures of the whole fleet, from real servers: asked seldom, and those of one also while the other is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gridsidecar.broker import Broker, make_broker
from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import BrokerSettings, StoreSettings
from gridsidecar.metrics.fleet import KEPT_FOR, FleetFigures
from gridsidecar.store import OpenStore, Reading, make_store
from gridsidecar.task import Message
from gridsidecar.telemetry import Readiness
from tests.support.servers import free_port

QUEUE = "q-of-the-fleet"


class Later(SystemClock):
    """The machine's clock, and what a test adds to it."""

    added = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.added


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[OpenStore]:
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


def reading_of(store: OpenStore) -> Callable[[], Awaitable[Reading]]:
    async def reading() -> Reading:
        return store.reading

    return reading


async def test_what_servers_know(store: OpenStore, broker: Broker) -> None:
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


async def test_many_who_ask_at_once_are_one(store: OpenStore, broker: Broker) -> None:
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


async def test_what_ended_comes_from_where_it_is_counted(store: OpenStore, broker: Broker) -> None:
    async def ended() -> dict[tuple[str, ...], float]:
        return {(QUEUE, "success"): 7}

    series = await FleetFigures(broker, reading_of(store), QUEUE, SystemClock(), ended).series()
    assert series["gridsidecar_fleet_tasks_ended_total", QUEUE, "success"] == 7
