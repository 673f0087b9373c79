"""The main job: tasks from the queue through any command into the database, none lost and none run twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import HANDLERS, Place
from tests.support.waiting import eventually


def mixed_handlers(place: Place) -> dict[str, Any]:
    return {
        "default": place.job("done"),
        "python": place.handler("python3", "-S", HANDLERS / "job.py"),
        "node": place.handler("node", HANDLERS / "job.js"),
    }


def mixed_tasks(count: int, *, python: int, node: int) -> list[dict[str, Any]]:
    kinds = ["python"] * python + ["node"] * node + ["shell"] * (count - python - node)
    step = 1 + count // 3  # spread them over the queue
    while count % step == 0 or step % 2 == 0:
        step += 1
    return [
        {"task_id": f"t{index}", "task_type": kinds[index * step % count], "data": {"n": index}}
        for index in range(count)
    ]


async def assert_each_ran_once(place: Place, tasks: list[dict[str, Any]]) -> None:
    rows = place.rows()
    assert rows.keys() == {task["task_id"] for task in tasks}
    assert place.statuses() == {"success": len(tasks)}
    assert sorted(place.journal.started) == sorted(rows)
    assert sorted(place.journal.ended) == sorted(rows)
    assert {row["attempt"] for row in rows.values()} == {1}
    for task in tasks:
        row = rows[task["task_id"]]
        expected = None if task["task_type"] == "shell" else {"by": task["task_type"], "n": task["data"]["n"] * 2}
        assert (None if row["result"] is None else json.loads(row["result"])) == expected
        assert row["progress"] == 100
    assert await eventually(lambda: place.left() == 0)


@pytest.mark.timeout(240)
async def test_two_thousand_tasks_of_mixed_handlers_each_run_once(place: Place, start: Start) -> None:
    tasks = mixed_tasks(2000, python=100, node=60)
    await place.publish(*tasks)
    sidecar = start(place.config(mixed_handlers(place), worker={"concurrency": 8}, log={"level": "INFO"}))
    await eventually(lambda: place.all_ended(2000), timeout=180, interval=0.5)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    await assert_each_ran_once(place, tasks)
    assert place.journal.most_at_once() <= 8


async def test_the_embedded_pair_carries_mixed_handlers_too(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    tasks = mixed_tasks(200, python=10, node=5)
    await place.publish(*tasks)
    sidecar = start(place.config(mixed_handlers(place), worker={"concurrency": 4}))
    await eventually(lambda: place.all_ended(200), timeout=60, interval=0.2)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    await assert_each_ran_once(place, tasks)


async def test_two_embedded_sidecars_share_one_file(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    tasks = mixed_tasks(120, python=0, node=0)
    config = place.config(mixed_handlers(place), worker={"concurrency": 2})
    sidecars = [start(config), start(config)]
    await asyncio.gather(*(sidecar.ready() for sidecar in sidecars))
    await place.publish(*tasks)
    await eventually(lambda: place.all_ended(120), timeout=60, interval=0.2)
    for sidecar in sidecars:
        assert "task success" in sidecar.text
        sidecar.terminate()
        assert await sidecar.ended() == 0
    await assert_each_ran_once(place, tasks)


@pytest.mark.timeout(180)
async def test_ten_sidecars_start_at_once_on_nothing(any_place: Place, start: Start) -> None:
    """No queue, no table: they create both, once, and share the work."""
    place = any_place
    config = place.config({"default": place.job("done")})
    sidecars = [start(config) for _ in range(10)]
    await asyncio.gather(*(sidecar.ready(timeout=90) for sidecar in sidecars))
    await place.publish(*({"task_id": f"t{index}", "task_type": "shell"} for index in range(40)))
    await eventually(lambda: place.all_ended(40), timeout=60, interval=0.2)
    for sidecar in sidecars:
        sidecar.terminate()
    assert [await sidecar.ended(timeout=40) for sidecar in sidecars] == [0] * 10
    assert sorted(place.journal.started) == sorted(f"t{index}" for index in range(40))
    assert not any("unexpected" in sidecar.text for sidecar in sidecars)
    assert await eventually(lambda: place.left() == 0)
