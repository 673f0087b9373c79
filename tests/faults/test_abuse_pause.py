"""A sidecar that is stopped for longer than its lease, with several tasks in hand, beside one that takes them over."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually

HELD = ("t0", "t1", "t2")


@pytest.mark.timeout(180)
async def test_all_that_a_stopped_sidecar_held_is_taken_over_once(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    config = place.config(
        {"default": place.job("until", gate, timeout=0)},
        broker={"heartbeat": 2},
        worker={"lease": 2, "concurrency": len(HELD)},
        retry={"max_retries": 3},
    )
    first = start(config)
    await place.publish(*({"task_id": task_id} for task_id in HELD))
    await eventually(lambda: len(place.journal.started) == len(HELD))
    old = first.handlers()
    first.signal(signal.SIGSTOP)
    gate.with_suffix(".t0").touch()  # its handler ends, and nobody hears of it
    await eventually(lambda: place.journal.ended == ["t0"])
    assert place.status("t0") == "running"
    await place.publish({"task_id": "fresh"})

    second = start(config)
    await eventually(lambda: sorted(place.journal.started) == sorted(["fresh", *HELD, *HELD]), timeout=90)
    await eventually(lambda: place.status("t0") == "success")
    first.signal(signal.SIGCONT)
    await eventually(lambda: not set(old) & set(first.handlers()), timeout=30)
    assert {place.status(task_id) for task_id in ("t1", "t2", "fresh")} == {"running"}
    gate.touch()
    await eventually(lambda: place.all_ended(len(HELD) + 1), timeout=30)

    for task_id in HELD:
        row = place.row(task_id)
        assert (row["status"], row["attempt"], row["crashes"], row["retry_count"]) == ("success", 2, 1, 0)
        assert [entry["outcome"] for entry in place.attempts(task_id)] == ["lost", "success"]
    assert (place.row("fresh")["attempt"], place.row("fresh")["crashes"]) == (1, 0)
    assert sorted(place.journal.ended) == sorted(["t0", "fresh", *HELD]), "the disowned handlers were to be killed"
    await eventually(lambda: place.left() == 0, timeout=60)
    second.terminate()
    assert await second.ended() == 0
    await place.publish({"task_id": "afterwards"})
    await eventually(lambda: place.status("afterwards") == "success", timeout=30)
    first.terminate()
    assert await first.ended() == 0
    assert place.left() == 0
