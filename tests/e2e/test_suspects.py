"""Tasks that may have ended a process under others: they run alone, and keep nobody waiting."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_many import handler
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

WIDTH = 100


async def accused(place: Place, sidecar: Sidecar, seconds: float, count: int = WIDTH) -> None:
    """So many tasks have lost the process that they shared; each takes so many seconds alone."""
    await place.publish(
        *({"task_id": f"s{n}", "data": {"do": "rest-again", "s": seconds}, "max_retry_count": 0} for n in range(count))
    )
    await eventually(lambda: [row["progress"] for row in of(place, "s")] == [1] * count, timeout=60)
    for process in sidecar.handlers():  # that of another type has none
        os.kill(process, signal.SIGKILL)
    await eventually(lambda: sum(row["crashes"] for row in of(place, "s")) == count, timeout=60)


def of(place: Place, first: str) -> list[dict[str, Any]]:
    return [row for name, row in place.rows().items() if name.startswith(first)]


@pytest.mark.parametrize("other", ["default", "other"])
async def test_good_tasks_do_not_wait_for_suspects(place: Place, start: Start, other: str) -> None:
    """Nor for wake-ups of these, which come while they wait."""
    types = {name: handler(place, at_once=WIDTH, timeout=600) for name in ("default", other)}
    sidecar = start(place.config(types, worker={"concurrency": WIDTH}))
    await accused(place, sidecar, seconds=300)
    began = time.monotonic()
    good = [{"task_id": f"g{n}", "task_type": other, "data": {"do": "rest", "s": 0.2}} for n in range(WIDTH + 1)]
    await place.publish(good[0])
    await eventually(lambda: place.status("g0") == "success")
    waiting = [row for row in of(place, "s") if row["status"] == "pending"]
    assert len(waiting) >= WIDTH - 4
    await place.publish_bodies(*(row["body"] for row in waiting * 3), headers={"x-gridsidecar-nudge": 1})
    await place.publish(*good[1:])
    await eventually(lambda: [row["status"] for row in of(place, "g")] == ["success"] * len(good), timeout=60)
    print(f"{len(good)} good tasks took {time.monotonic() - began:.1f} s beside {len(waiting)} that wait to be alone")
    assert {row["crashes"] for row in of(place, "g")} == {0}
    assert {row["attempt"] for row in waiting} == {1}
    assert {(row["status"], row["crashes"]) for row in of(place, "s")} == {("running", 1), ("pending", 1)}


async def test_no_suspect_starves_beside_a_long_queue(place: Place, start: Start) -> None:
    types = {name: handler(place, at_once=8, timeout=60) for name in ("default", "other")}
    sidecar = start(place.config(types, worker={"concurrency": 8}))
    await place.publish(*({"task_id": f"first{n}", "data": {"do": "rest", "s": 0}} for n in range(2)))
    await accused(place, sidecar, seconds=0.5, count=8)
    await place.publish(*({"task_id": f"g{n}", "data": {"do": "rest", "s": 0.3}} for n in range(200)))
    await eventually(lambda: [row["status"] for row in of(place, "s")] == ["success"] * 8, timeout=60)
    behind = sum(row["status"] == "success" for row in of(place, "g"))
    print(f"{behind} of 200 good tasks had ended when the last of eight suspects had")
    assert behind < 200
    assert {row["retry_count"] for row in of(place, "s")} == {0}
    await eventually(lambda: place.all_ended(210), timeout=60)
    assert set(place.statuses()) == {"success"}
    await eventually(lambda: place.left() == 0)


async def test_a_shutdown_gives_back_those_that_wait_to_be_alone(place: Place, start: Start) -> None:
    config = place.config(
        {"default": handler(place, at_once=20)}, worker={"concurrency": 20, "prefetch": 0, "shutdown_grace": 0}
    )
    sidecar = start(config)
    await accused(place, sidecar, seconds=300, count=20)
    await place.publish({"task_id": "g", "data": {"do": "rest", "s": 0}})
    await eventually(lambda: place.status("g") == "success")  # so all of them wait, or run
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert {(row["status"], row["crashes"], row["retry_count"]) for row in of(place, "s")} == {("pending", 1, 0)}
    assert sum(row["interruptions"] for row in of(place, "s")) == 4  # that ran
    assert place.left() == 20
