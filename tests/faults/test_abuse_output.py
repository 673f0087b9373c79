"""A handler that floods its output costs its own attempt time, and the sidecar and other tasks nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

MEBIBYTE = 1024 * 1024
CHILD = Path(__file__).parents[1] / "handler" / "programs" / "child.py"
NEIGHBOURS = 20


def misbehaving(*argv: str) -> dict[str, Any]:
    return {"command": [sys.executable, "-I", "-S", str(CHILD), *argv], "timeout": 100}


def peak_bytes(sidecar: Sidecar) -> int:
    """The most resident memory that the daemon ever had."""
    lines = Path(f"/proc/{sidecar.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


async def ended(place: Place, *task_ids: str) -> None:
    await eventually(lambda: all(place.status(task_id) == "success" for task_id in task_ids), timeout=100)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("flood", "result"),
    [
        (misbehaving("flood", "1024", "unbroken"), '"after the flood"'),
        (misbehaving("flood", "1024", "json"), '"after the flood"'),
        (misbehaving("long-line", "stdout", "50", "then-result"), '"true"'),
        (misbehaving("long-line", "events", "50", "then-result"), '"true"'),
    ],
    ids=["1 GiB unbroken", "1 GiB of JSON lines", "50 MiB line on stdout", "50 MiB line of an event"],
)
async def test_a_flood_disturbs_nobody(place: Place, start: Start, flood: dict[str, Any], result: str) -> None:
    sidecar = start(place.config({"default": place.job("done"), "flood": flood}, worker={"concurrency": 3}), anew=True)
    names = [f"before{number}" for number in range(NEIGHBOURS)]
    await place.publish(*({"task_id": name} for name in names))
    await ended(place, *names)
    before = sidecar.resident_bytes()

    began = time.monotonic()
    await place.publish({"task_id": "flood", "task_type": "flood"})
    await eventually(lambda: place.status("flood") in ("running", "success"))
    beside, slowest = 0, 0.0
    while place.status("flood") == "running" or not beside:
        sent = time.monotonic()
        await place.publish({"task_id": f"beside{beside}"})
        await ended(place, f"beside{beside}")
        beside, slowest = beside + 1, max(slowest, time.monotonic() - sent)
    await ended(place, "flood")
    growth = peak_bytes(sidecar) - before
    print(
        f"flood of {time.monotonic() - began:.1f} s: peak memory + {growth / MEBIBYTE:.1f} MiB, "
        f"{beside} tasks beside it, the slowest {slowest:.2f} s"
    )
    assert growth < 16 * MEBIBYTE
    assert slowest < 5, "a task beside the flood had to wait for it"
    assert place.row("flood")["result"] == result
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0
    assert {row["attempt"] for row in place.rows().values()} == {1}
