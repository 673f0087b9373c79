"""Handlers that stay, behind the whole sidecar."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import storm
from tests.e2e.conftest import Start
from tests.handler.running import PROGRAMS
from tests.support.place import Place
from tests.support.waiting import eventually

WARM = [sys.executable, "-I", "-S", str(PROGRAMS / "warm.py")]


def handler(place: Place, *argv: str, **keys: Any) -> dict[str, Any]:
    return place.handler(*WARM, *argv, mode="persistent", **keys)


def pids(place: Place) -> list[int]:
    """Of all processes that said ready, oldest first."""
    return [int(pid) for pid in place.journal.path.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_tasks_share_processes_that_are_there_before_them(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(place.config({"default": handler(place)}, worker={"concurrency": 3}))
    await eventually(lambda: len(pids(place)) == 1)
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "echo", "n": n}} for n in range(60)))
    await eventually(lambda: place.all_ended(60))
    assert place.statuses() == {"success": 60}
    await eventually(lambda: sorted(sidecar.handlers()) == sorted(pids(place)))  # the last to start may not be ready
    assert 1 <= len(pids(place)) <= 3
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert not any(alive(pid) for pid in pids(place))


async def test_processes_bounds_what_runs_and_the_rest_waits_in_the_queue(place: Place, start: Start) -> None:
    """A task that waits for a process is not running."""
    start(place.config({"default": handler(place, persistent={"processes": 2})}, worker={"concurrency": 6}))
    await eventually(lambda: len(pids(place)) == 2)
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "rest", "s": 1}} for n in range(6)))
    await eventually(lambda: place.statuses().get("running"))
    assert place.statuses()["running"] <= 2
    await eventually(lambda: place.statuses() == {"success": 6})
    assert len(pids(place)) == 2


async def test_a_crash_a_hang_and_a_cancel_end_one_task_each(place: Place, start: Start) -> None:
    config = place.config({"default": handler(place, kill_grace=0.3)}, worker={"concurrency": 4})
    start(config)
    wanted = {
        "crash": {"do": "crash"},
        "hang": {"do": "hang"},
        "stop": {"do": "rest", "s": 60},
        **{f"t{n}": {"do": "echo", "n": n} for n in range(40)},
    }
    await place.publish(
        *({"task_id": name, "data": data, "timeout": 1 if name == "hang" else 60} for name, data in wanted.items())
    )
    await eventually(lambda: place.status("stop") == "running")
    await place.cancel("stop")
    await eventually(lambda: place.all_ended(43), timeout=60)
    rows = place.rows()
    assert {name: rows[name]["error_type"] for name in ("crash", "hang", "stop")} == {
        "crash": "HandlerSignal",
        "hang": "TimeoutError",
        "stop": "Cancelled",
    }
    assert Counter(row["status"] for row in rows.values()) == {"success": 40, "failed": 2, "cancelled": 1}


async def test_what_is_not_ready_costs_no_task_its_retries(place: Place, start: Start) -> None:
    ready = place.folder / "model"
    script = f'[ -e {ready} ] || {{ echo "no model yet" >&2; exit 1; }}; exec "$@"'
    command = place.handler("/bin/sh", "-c", script, "sh", *WARM, mode="persistent")
    sidecar = start(place.config({"default": command}))
    await sidecar.ready()
    await place.publish({"task_id": "t", "data": {"do": "echo"}, "max_retry_count": 0})
    await sidecar.said("no model yet")
    await eventually(lambda: place.status("t") == "pending")
    ready.touch()
    await eventually(lambda: place.status("t") == "success", timeout=60)
    assert place.row("t")["retry_count"] == 0


async def test_a_shutdown_gives_back_what_runs_and_leaves_nothing(place: Place, start: Start) -> None:
    config = place.config(
        {"default": handler(place, "ready", "stay", kill_grace=1)}, worker={"concurrency": 2, "shutdown_grace": 0}
    )
    sidecar = start(config)
    await place.publish(*({"task_id": name, "data": {"do": "rest", "s": 60}} for name in ("a", "b")))
    await eventually(lambda: place.statuses() == {"running": 2})
    await eventually(lambda: len(pids(place)) == 2)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert not any(alive(pid) for pid in pids(place))
    assert {(row["status"], row["retry_count"]) for row in place.rows().values()} == {("pending", 0)}


async def test_when_the_sidecar_is_killed_its_processes_end_by_themselves(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": handler(place)}, worker={"concurrency": 2}))
    await place.publish({"task_id": "t", "data": {"do": "echo"}})
    await eventually(lambda: place.status("t") == "success")
    left = pids(place)
    os.kill(sidecar.pid, signal.SIGKILL)
    await eventually(lambda: not any(alive(pid) for pid in left))


@pytest.mark.timeout(240)
async def test_a_storm(place: Place, start: Start) -> None:
    """Four processes that crash, hang and lie: no task is lost, doubled or crossed."""
    tasks = 2000
    await storm.publish(place, tasks)
    sidecar = start(storm.config(place, trouble=0.06, processes=4))
    await eventually(lambda: place.all_ended(tasks), timeout=200, interval=0.5)
    assert len(sidecar.handlers()) <= 4
    outcomes = storm.check(place, tasks)
    for kind in ("HandlerExit", "HandlerSignal", "TimeoutError", "ignored events", "second results"):
        assert outcomes[kind] > 0, outcomes
    await eventually(lambda: place.left() == 0)
    sidecar.terminate()
    assert await sidecar.ended() == 0


@pytest.mark.timeout(240)
async def test_a_storm_over_processes_of_many_tasks(place: Place, start: Start) -> None:
    """The same with eight tasks in each: those that share a process with a crash come back once, and lose no retry."""
    tasks = 2000
    await storm.publish(place, tasks)
    sidecar = start(storm.config(place, trouble=0.06, processes=4, concurrency=8))
    await eventually(lambda: place.all_ended(tasks), timeout=200, interval=0.5)
    outcomes = storm.check(place, tasks)
    for kind in ("HandlerExit", "HandlerSignal", "given back"):  # what hangs most often goes with another's crash
        assert outcomes[kind] > 0, outcomes
    await eventually(lambda: place.left() == 0)
    sidecar.terminate()
    assert await sidecar.ended() == 0
