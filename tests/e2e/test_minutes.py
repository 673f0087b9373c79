"""Counters by the minute, of whole workers: written as they leave, added up; a killed one costs its own."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from gridsidecar.config.settings import StoreSettings
from gridsidecar.store import make_store
from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually


async def counted(place: Place) -> Counter[tuple[str, str | None]]:
    """How many ends of which outcome, with which error."""
    store = make_store(StoreSettings(url=place.store_url), place.queue)
    await store.open()
    try:
        now = datetime.now(UTC)
        tallies = await store.minutes.between(now - timedelta(hours=1), now + timedelta(minutes=1), queue=place.queue)
    finally:
        await store.close()
    counts: Counter[tuple[str, str | None]] = Counter()
    for tally in tallies:
        assert tally.histogram.total == tally.count
        counts[tally.outcome.value, tally.error_type] += tally.count
    return counts


async def test_what_ended_is_counted_when_a_worker_leaves(any_place: Place, start: Start) -> None:
    handlers = {"default": any_place.handler("true"), "bad": any_place.handler("false")}
    config = any_place.config(handlers, retry={"delay": 0})
    await any_place.publish(*({"task_id": f"t{number}"} for number in range(5)))
    await any_place.publish({"task_id": "bad", "task_type": "bad", "max_retry_count": 1})
    worker = start(config)
    await eventually(lambda: any_place.statuses() == {"success": 5, "failed": 1})
    worker.terminate()
    assert await worker.ended() == 0
    expected = {("success", None): 5, ("retrying", "HandlerExit"): 1, ("failed", "HandlerExit"): 1}
    assert await counted(any_place) == expected


@pytest.mark.timeout(120)
async def test_a_killed_worker_takes_its_last_minute_and_nothing_else(any_place: Place, start: Start) -> None:
    config = any_place.config({"default": any_place.handler("true")}, worker={"lease": 2})
    await any_place.publish(*({"task_id": f"a{number}"} for number in range(4)))
    killed = start(config)
    await eventually(lambda: any_place.statuses() == {"success": 4})
    killed.die()
    assert await counted(any_place) == {}
    await any_place.publish(*({"task_id": f"b{number}"} for number in range(3)))
    worker = start(config)
    await eventually(lambda: any_place.statuses() == {"success": 7})
    worker.terminate()
    assert await worker.ended() == 0
    assert await counted(any_place) == {("success", None): 3}


@pytest.mark.timeout(120)
async def test_each_of_several_processes_adds_its_own(place: Place, start: Start) -> None:
    config = place.config({"default": place.handler("true")}, worker={"processes": 2, "concurrency": 4})
    await place.publish(*({"task_id": f"t{number}"} for number in range(40)))
    worker = start(config)
    await eventually(lambda: place.statuses() == {"success": 40}, timeout=60)
    worker.terminate()
    assert await worker.ended() == 0
    assert await counted(place) == {("success", None): 40}
