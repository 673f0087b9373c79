"""Short tasks are claimed ahead of their slots; what never started costs nothing, and others may have it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_persistent import handler
from tests.support.place import TASKS, Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

SHORT = {"do": "echo"}
QUICK = 100  # tasks that show how quick the handler is


def one_at_a_time(place: Place, **sections: Any) -> dict[str, Any]:
    worker = {"concurrency": 1, "lease": 2, "shutdown_grace": 0, **sections.pop("worker", {})}
    return place.config({"default": handler(place)}, worker=worker, **sections)


async def warmed(place: Place, start: Start, config: dict[str, Any]) -> Sidecar:
    """A sidecar that has seen that tasks are short, and asked for more of them."""
    sidecar = start(config)
    await sidecar.ready()
    await place.publish(*({"task_id": f"quick{n}", "data": SHORT} for n in range(QUICK)))
    await sidecar.said("holding another number")
    await eventually(lambda: place.all_ended(QUICK))
    return sidecar


async def behind_a_long_one(place: Place, seconds: float, count: int = 5) -> list[str]:
    """A task that takes its time, and others that are claimed while it runs; their ids."""
    ids = [f"behind{n}" for n in range(count)]
    long = {"task_id": "long", "data": {"do": "rest", "s": seconds}}
    await place.publish(long, *({"task_id": task_id, "data": SHORT} for task_id in ids))
    await eventually(lambda: ahead(place) >= count)
    return ids


def ahead(place: Place) -> int:
    """Rows that say that nobody knows whether their handler has started."""
    return int(place.fetch(f"select count(*) as n from {TASKS} where status = 'running' and ahead = 1")[0]["n"])


async def test_claims_that_never_started_cost_nothing_when_their_worker_dies(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = await warmed(place, start, one_at_a_time(place))
    ids = await behind_a_long_one(place, 60)
    sidecar.die()
    start(one_at_a_time(place, worker={"concurrency": 2}))
    await eventually(lambda: all(place.status(task_id) == "success" for task_id in ids), timeout=60)
    for task_id in ids:
        row = place.row(task_id)
        assert (row["crashes"], row["interruptions"], row["retry_count"]) == (0, 0, 0), task_id


async def test_a_task_that_runs_for_long_counts_its_crash_though_it_was_claimed_ahead(
    place: Place, start: Start
) -> None:
    sidecar = await warmed(place, start, one_at_a_time(place))
    first, second = ({"task_id": name, "data": {"do": "rest", "s": seconds}} for name, seconds in (("a", 1), ("b", 60)))
    await place.publish(first, second)
    await eventually(lambda: place.row("b").get("ahead") == 1)
    await eventually(lambda: place.row("b").get("ahead") == 0, timeout=30)
    waited = place.row("b")["started_at"] - place.row("a")["started_at"]
    assert waited > timedelta(seconds=0.9), "its time begins with its slot"
    sidecar.die()
    start(one_at_a_time(place))
    await eventually(lambda: place.row("b").get("crashes") == 1, timeout=60)


async def test_others_get_what_waits_behind_a_long_one(any_place: Place, start: Start) -> None:
    place = any_place
    await warmed(place, start, one_at_a_time(place))
    ids = await behind_a_long_one(place, 600)
    idle = start(one_at_a_time(place))
    await idle.ready()
    await eventually(lambda: all(place.status(task_id) == "success" for task_id in ids), timeout=60)
    assert place.status("long") == "running"
    for task_id in ids:
        row = place.row(task_id)
        assert (row["crashes"], row["interruptions"], row["retry_count"]) == (0, 0, 0), task_id


async def test_leaving_gives_back_what_never_started(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = await warmed(place, start, one_at_a_time(place))
    ids = await behind_a_long_one(place, 600)
    sidecar.terminate()
    assert await sidecar.ended(30) == 0
    for task_id in ids:
        row = place.row(task_id)
        assert (row["status"], row["interruptions"], row["retry_count"]) == ("pending", 0, 0), task_id
    assert place.row("long")["interruptions"] == 1
    start(one_at_a_time(place, worker={"concurrency": 2}))
    await eventually(lambda: all(place.status(task_id) == "success" for task_id in ids), timeout=60)


async def test_a_task_that_is_cancelled_before_its_slot_never_starts(place: Place, start: Start) -> None:
    await warmed(place, start, one_at_a_time(place))
    ids = await behind_a_long_one(place, 60)
    place.execute(f"update {TASKS} set cancel_requested = 1 where id = ?", ids[-1])
    await eventually(lambda: place.status(ids[-1]) == "cancelled", timeout=30)
    assert [attempt["outcome"] for attempt in place.attempts(ids[-1])] == ["cancelled"]


async def test_a_copy_of_what_waits_for_its_slot_is_dropped(place: Place, start: Start) -> None:
    await warmed(place, start, one_at_a_time(place))
    ids = await behind_a_long_one(place, 1.5)
    await place.publish(*({"task_id": task_id, "data": SHORT} for task_id in ids))
    await eventually(lambda: place.all_ended(QUICK + 1 + len(ids)))
    await eventually(lambda: place.left() == 0)
    assert all(len(place.attempts(task_id)) == 1 for task_id in ids)


async def test_a_type_that_is_limited_to_one_keeps_no_slot_from_others(any_place: Place, start: Start) -> None:
    place = any_place
    handlers = {"narrow": handler(place, concurrency=1), "wide": handler(place)}
    start(place.config(handlers, worker={"concurrency": 4}))
    narrow = [{"task_id": f"n{n}", "task_type": "narrow", "data": {"do": "rest", "s": 0.2}} for n in range(64)]
    wide = [{"task_id": f"w{n}", "task_type": "wide", "data": {"do": "rest", "s": 0.2}} for n in range(16)]
    mixed = [task for n in range(16) for task in (*narrow[4 * n : 4 * n + 4], wide[n])]
    await place.publish(*mixed)
    await eventually(lambda: all(place.status(task["task_id"]) == "success" for task in wide), timeout=60)
    await eventually(lambda: place.all_ended(len(mixed)), timeout=120)
    assert place.statuses() == {"success": len(mixed)}
    ends = {
        task_type: place.fetch(f"select max(completed_at) as t from {TASKS} where task_type = ?", task_type)[0]["t"]
        for task_type in handlers
    }
    assert ends["wide"] < ends["narrow"], "the wide ones did not wait for all of the narrow ones"


@pytest.mark.parametrize("processes", [1, 2])
async def test_thousands_that_are_held_keep_no_slot_from_others(place: Place, start: Start, processes: int) -> None:
    """All of them have waited too long at the same moment; each is then to be sent anew."""
    narrow = [{"task_id": f"n{n}", "task_type": "narrow"} for n in range(9600)]
    wide = [{"task_id": f"w{n}", "task_type": "wide", "data": {"do": "rest", "s": 0.03}} for n in range(1200)]
    await place.publish(*(task for n in range(1200) for task in (*narrow[8 * n : 8 * n + 8], wide[n])))
    worker = {"concurrency": 4, "prefetch": 65_535, "shutdown_grace": 0, "processes": processes}
    handlers = {"narrow": place.job("for", 0.05, concurrency=1), "wide": handler(place)}
    sidecar = start(place.config(handlers, worker=worker, log={"level": "INFO"}))
    count = f"select count(*) as n from {TASKS} where task_type = 'wide' and status = 'success'"
    await eventually(lambda: (found := place.fetch(count)) and found[0]["n"] == len(wide), timeout=60)
    sidecar.terminate()
    assert await sidecar.ended(15) == 0


async def test_where_tasks_are_long_a_worker_holds_no_more_than_it_runs(place: Place, start: Start) -> None:
    start(place.config({"default": handler(place)}, worker={"concurrency": 2}))
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "rest", "s": 3}} for n in range(6)))
    await eventually(lambda: place.statuses().get("running") == 2)
    assert place.waiting() == 4


@pytest.mark.parametrize(("prefetch", "held"), [(0, 0), (3, 3)])
async def test_prefetch_is_what_is_held_beyond_what_runs(place: Place, start: Start, prefetch: int, held: int) -> None:
    sidecar = start(
        place.config({"default": handler(place)}, worker={"concurrency": 2, "prefetch": prefetch, "shutdown_grace": 0})
    )
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "rest", "s": 600}} for n in range(8)))
    await eventually(lambda: place.statuses().get("running") == 2)
    await eventually(lambda: place.waiting() == 6 - held)
    sidecar.terminate()
    assert await sidecar.ended(30) == 0
    assert place.left() == 8


async def test_what_is_held_and_not_claimed_goes_back_before_the_broker_takes_it(place: Place, start: Start) -> None:
    config = place.config(
        {"default": handler(place)},
        worker={"concurrency": 1, "prefetch": 2},
        broker={"consumer_timeout": 6},
    )
    sidecar = start(config)
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "rest", "s": 20}} for n in range(3)))
    await sidecar.said("waited too long for its turn, sent anew")
    other = start(config)
    await eventually(lambda: len(place.rows()) >= 2, timeout=40)
    assert other.exit_code is None


async def test_once_holds_one(place: Place, start: Start) -> None:
    await place.publish(*({"task_id": f"t{n}", "data": SHORT} for n in range(5)))
    sidecar = start(place.config({"default": handler(place)}, worker={"concurrency": 4, "prefetch": 3}), "--once")
    assert await sidecar.ended(30) == 0
    assert place.statuses() == {"success": 1}
    assert place.left() == 4


@pytest.mark.parametrize("prefetch", [-1, 65_536, 1.5, "many"])
async def test_an_impossible_prefetch_is_refused(place: Place, start: Start, prefetch: object) -> None:
    sidecar = start(place.config({"default": handler(place)}, worker={"prefetch": prefetch}))
    assert await sidecar.ended() == 78
    assert "worker.prefetch" in sidecar.text
