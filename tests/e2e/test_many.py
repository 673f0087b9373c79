"""Many tasks at once in one process, behind the whole sidecar."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.handler.running import PROGRAMS
from tests.support.place import Place
from tests.support.waiting import eventually

MANY = [sys.executable, "-I", "-S", str(PROGRAMS / "many.py")]
SDK = Path(__file__).parents[2] / "sdks" / "python"
WAITS = """
import asyncio
from gridsidecar_sdk import run

async def wait(ctx, data):
    await asyncio.sleep(data["s"])
    return data["s"]

run(wait, concurrency=100)
"""
MOST_BYTES = 120 * 1024 * 1024


def handler(place: Place, *, at_once: int = 10, **keys: Any) -> dict[str, Any]:
    return place.handler(*MANY, mode="persistent", persistent={"concurrency": at_once}, **keys)


def resident(pids: Iterable[int]) -> int:
    pages = sum(int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.alone
async def test_a_hundred_waiting_tasks_take_one_process_and_the_time_of_one(place: Place, start: Start) -> None:
    script = place.folder / "waits.py"
    script.write_text(WAITS)
    waits = place.handler(sys.executable, script, mode="persistent", persistent={"concurrency": 100}, timeout=60)
    waits["env"]["PYTHONPATH"] = str(SDK)
    sidecar = start(place.config({"default": waits}, worker={"concurrency": 100}, log={"level": "INFO"}))
    await place.publish({"task_id": "first", "data": {"s": 0}})
    await eventually(lambda: place.status("first") == "success")
    seconds = 5
    await place.publish(*({"task_id": f"t{n}", "data": {"s": seconds}} for n in range(100)))
    began = time.monotonic()
    await eventually(lambda: place.statuses().get("running") == 100)
    (process,) = sidecar.handlers()
    used = resident([sidecar.pid, process])
    print(f"{used / 1024 / 1024:.1f} MiB: sidecar {resident([sidecar.pid]) / 1024 / 1024:.1f}")
    assert used < MOST_BYTES
    await eventually(lambda: place.all_ended(101), timeout=30, interval=0.05)
    took = time.monotonic() - began
    print(f"100 tasks of {seconds} s in {took:.2f} s")
    assert took <= 2 * seconds, "no two of them waited for each other"
    assert place.statuses() == {"success": 101}


def held(place: Place, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Tasks that end when the place's gate is opened."""
    data = {"do": "hold", "gate": str(gate_of(place))}
    return [{"task_id": f"t{n}", "data": data, **fields} for n in range(count)]


def gate_of(place: Place) -> Path:
    return place.folder / "gate"


async def in_hand(place: Place, count: int) -> None:
    """Until a process works at so many of them: a row that is `running` may still wait for its process to start."""
    await eventually(lambda: sum(row["progress"] == 10 for row in place.rows().values()) == count)


async def test_a_crash_fails_no_neighbour_though_nobody_has_a_retry(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": handler(place)}, worker={"concurrency": 10}))
    names = [f"t{n}" for n in range(9)]
    await place.publish(*held(place, 9, max_retry_count=0))
    await in_hand(place, 9)
    await place.publish({"task_id": "poison", "data": {"do": "crash", "s": 0.3}, "max_retry_count": 0})
    await sidecar.said("handler process ended with several tasks, which are given back")
    gate_of(place).touch()
    await eventually(lambda: place.all_ended(10), timeout=60)
    rows = place.rows()
    assert {rows[name]["status"] for name in names} == {"success"}
    assert {(rows[name]["retry_count"], rows[name]["crashes"]) for name in names} == {(0, 1)}
    assert [each["outcome"] for each in place.attempts("t0")] == ["interrupted", "success"]
    assert (rows["poison"]["status"], rows["poison"]["error_type"]) == ("failed", "HandlerSignal")
    assert len(place.attempts("poison")) == 2  # with others, then alone
    await eventually(lambda: place.left() == 0)


async def test_a_process_killed_with_ten_in_hand(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": handler(place)}, worker={"concurrency": 10}))
    await place.publish(*held(place, 10, max_retry_count=0))
    await in_hand(place, 10)
    (process,) = sidecar.handlers()
    os.kill(process, signal.SIGKILL)
    gate_of(place).touch()
    await eventually(lambda: place.all_ended(10), timeout=60)
    assert place.statuses() == {"success": 10}
    for name in place.rows():
        assert [each["outcome"] for each in place.attempts(name)] == ["interrupted", "success"]


async def test_a_cancel_ends_one_of_many(place: Place, start: Start) -> None:
    start(place.config({"default": handler(place)}, worker={"concurrency": 10}))
    await place.publish(*held(place, 10))
    await in_hand(place, 10)
    await place.cancel("t4")
    await eventually(lambda: place.status("t4") == "cancelled")
    gate_of(place).touch()
    await eventually(lambda: place.all_ended(10))
    assert place.statuses() == {"success": 9, "cancelled": 1}


async def test_a_hang_is_told_with_whose_fault_it_is(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": handler(place, kill_grace=0.3)}, worker={"concurrency": 10}))
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "rest", "s": 3}} for n in range(3)))
    await place.publish({"task_id": "hangs", "data": {"do": "deaf"}, "timeout": 0.5})
    await sidecar.said("handler process is given up: a task of its does not end")
    (line,) = [line for line in sidecar.text.splitlines() if "is given up" in line]
    assert "hangs" in line
    await eventually(lambda: place.all_ended(4), timeout=30)
    assert place.statuses() == {"success": 3, "failed": 1}
    assert {row["crashes"] for row in place.rows().values()} == {0}


async def test_a_shutdown_with_many_in_hand_gives_all_back(place: Place, start: Start) -> None:
    config = place.config({"default": handler(place)}, worker={"concurrency": 10, "shutdown_grace": 0})
    sidecar = start(config)
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "rest", "s": 60}} for n in range(10)))
    await eventually(lambda: place.statuses() == {"running": 10})
    sidecar.terminate()
    assert await sidecar.ended() == 0
    found = {(row["status"], row["retry_count"], row["crashes"]) for row in place.rows().values()}
    assert found == {("pending", 0, 0)}


async def test_processes_times_concurrency_bounds_what_runs(place: Place, start: Start) -> None:
    persistent = {"concurrency": 3, "processes": 2}
    config = place.handler(*MANY, mode="persistent", persistent=persistent)
    sidecar = start(place.config({"default": config}, worker={"concurrency": 20}))
    await place.publish(*held(place, 12))
    await in_hand(place, 6)
    assert len(sidecar.handlers()) == 2
    assert place.statuses()["running"] == 6
    gate_of(place).touch()
    await eventually(lambda: place.statuses() == {"success": 12})


async def test_a_handler_that_takes_one_is_told_and_has_one(place: Place, start: Start) -> None:
    old = place.handler(
        sys.executable, "-I", "-S", PROGRAMS / "warm.py", mode="persistent", persistent={"concurrency": 8}
    )
    sidecar = start(place.config({"default": old}, worker={"concurrency": 8}))
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "rest", "s": 0.3}} for n in range(16)))
    await sidecar.said("handler takes fewer tasks at once than persistent.concurrency")
    await eventually(lambda: place.statuses() == {"success": 16})
