"""Workers with different handlers on one queue: what one of them does not know, it passes on to the others."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually

OFTEN = 10_000  # more than anything is passed on


def knows(place: Place, task_type: str, word: str = "done", **sections: Any) -> dict[str, Any]:
    """A worker of one task type that leaves the others to others."""
    worker = {"unknown_types": "pass_on", "concurrency": 2, **sections.pop("worker", {})}
    return place.config({task_type: place.job(word, 2)}, worker=worker, **sections)


def stamped(place: Place, **stamps: int) -> dict[str, Any]:
    """Properties of a message that was under way for long."""
    return dict(stamps) if place.embedded else {"headers": {f"x-gridsidecar-{name}": n for name, n in stamps.items()}}


def delay_nothing(place: Place) -> None:
    """Somebody else's queues stand where the delay queues belong."""
    with place.channel() as channel:
        for seconds in (1, 2, 5, 10, 30):
            channel.queue_declare(f"{place.queue}.delay.{seconds}", durable=True, arguments={"x-max-length": 7})


@pytest.mark.timeout(180)
async def test_two_configurations_share_a_queue(any_place: Place, start: Start) -> None:
    place = any_place
    sidecars = [
        start(knows(place, "a", worker={"concurrency": 8})),
        start(knows(place, "b", worker={"concurrency": 8})),
    ]
    for sidecar in sidecars:
        await sidecar.ready()
    # Not by turns: so are they handed out, and each might get nothing but its own.
    await place.publish(*({"task_id": f"{kind}{n}", "task_type": kind} for kind in "ab" for n in range(100)))
    await eventually(lambda: place.all_ended(200), timeout=150, interval=0.2)
    assert place.statuses() == {"success": 200}
    assert place.dead_letters() == []
    assert len(place.journal.started) == 200
    for sidecar in sidecars:
        sidecar.terminate()
        assert await sidecar.ended() == 0
        assert "failed=0" in sidecar.text
    assert place.left() == 0


async def test_a_type_without_a_handler_is_warned_of_once(any_place: Place, start: Start) -> None:
    place = any_place
    alone = start(knows(place, "a"))
    await place.publish(*({"task_id": f"b{n}", "task_type": "b"} for n in range(20)))
    await eventually(lambda: alone.text.count("sent on to workers that have a handler for it") >= 20)
    assert alone.text.count("a task's type has no handler here") == 1, "for a type, not for a task"


async def test_a_type_that_is_deployed_later_waits_for_its_worker(any_place: Place, start: Start) -> None:
    place = any_place
    old = start(knows(place, "a"))
    await place.publish({"task_id": "new", "task_type": "b"}, {"task_id": "t", "task_type": "a"})
    await eventually(lambda: place.status("t") == "success")
    await old.said("sent on")
    assert place.row("new") == {}, "nothing has happened to it"
    start(knows(place, "b"))
    await eventually(lambda: place.status("new") == "success", timeout=60)
    assert (place.row("new")["attempt"], place.dead_letters()) == (1, [])


async def test_a_retry_finds_its_way_back(any_place: Place, start: Start) -> None:
    """The row of a task that waits for its retry is not touched by a worker that cannot run it."""
    place = any_place
    retry = {"max_retries": 1, "delay": 1}
    first = start(knows(place, "a", "flaky", retry=retry))
    await place.publish({"task_id": "t", "task_type": "a"})
    await eventually(lambda: place.status("t") == "retrying")
    first.kill()
    before = place.row("t")
    other = start(knows(place, "b"))
    await other.said("sent on")
    assert place.row("t") == before
    start(knows(place, "a", "flaky", retry=retry))
    await eventually(lambda: place.status("t") == "success", timeout=60)
    assert (place.row("t")["attempt"], place.row("t")["retry_count"]) == (2, 1)
    await eventually(lambda: place.left() == 0)
    assert place.dead_letters() == []


async def test_a_type_that_nobody_knows_ends_with_the_dead_letters(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(knows(place, "a"))
    await place.publish({"task_id": "nobody", "task_type": "c"}, **stamped(place, passed=OFTEN))
    await eventually(lambda: place.status("nobody") == "failed")
    await eventually(lambda: place.count(f"{place.queue}.dead") == 1 and place.left() == 0)
    ((_, headers),) = place.dead_letters()
    assert headers["x-gridsidecar-reason"].startswith("unknown-task-type")
    assert "passed on" in headers["x-gridsidecar-reason"]
    assert place.row("nobody")["error_type"] == "ValidationError"
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_a_retry_that_nobody_knows_any_more_ends(any_place: Place, start: Start) -> None:
    place = any_place
    first = start(knows(place, "a", "flaky", retry={"max_retries": 1, "delay": 3600}))
    await place.publish({"task_id": "t", "task_type": "a"})
    await eventually(lambda: place.status("t") == "retrying")
    first.terminate()
    assert await first.ended() == 0
    other = start(knows(place, "b", worker={"lease": 1}))
    await other.ready()
    place.execute("update grid_async_task_tasks set next_run_at = '2020-01-01 00:00:00' where id = 't'")
    await place.publish({"task_id": "t", "task_type": "a"}, **stamped(place, passed=OFTEN, attempt=1))
    await eventually(lambda: place.status("t") == "failed")
    assert "passed on" in place.row("t")["error_message"]
    assert place.row("t")["attempt"] == 1


async def test_what_is_passed_on_keeps_no_worker_from_leaving(any_place: Place, start: Start) -> None:
    place = any_place
    await place.publish(*({"task_id": f"t{n}", "task_type": "b"} for n in range(3)))
    burst = start(knows(place, "a", worker={"burst": True}))
    assert await burst.ended() == 0
    idle = start(knows(place, "a", worker={"idle_timeout": 4}))
    assert await idle.ended(timeout=30) == 0
    assert place.rows() == {}
    assert place.left() == 3


async def test_where_nothing_can_be_delayed_it_goes_to_the_end_of_the_queue(place: Place, start: Start) -> None:
    delay_nothing(place)
    sidecar = start(knows(place, "a", worker={"concurrency": 1}))
    await place.publish({"task_id": "new", "task_type": "b"}, {"task_id": "t", "task_type": "a"})
    await eventually(lambda: place.status("t") == "success")
    start(knows(place, "b", worker={"concurrency": 1}))
    await eventually(lambda: place.status("new") == "success", timeout=60)
    sidecar.terminate()
    assert await sidecar.ended() == 0


@pytest.mark.timeout(180)
async def test_many_that_go_round_hold_up_nobody(place: Place, start: Start) -> None:
    """Where nothing can be delayed each of them waits in the queue, not in the only place that this worker has."""
    delay_nothing(place)
    others = [f"b{number}" for number in range(60)]
    await place.publish(*({"task_id": name, "task_type": "b"} for name in others), {"task_id": "t0", "task_type": "a"})
    sidecar = start(knows(place, "a", worker={"concurrency": 1, "prefetch": 0}))
    await sidecar.ready()
    for number in range(3):
        await place.publish({"task_id": f"t{number}", "task_type": "a"})
        await eventually(lambda number=number: place.status(f"t{number}") == "success")
    await eventually(lambda: sidecar.text.count("sent on") >= 2 * len(others), timeout=30)
    start(knows(place, "b", worker={"concurrency": 8}))
    await eventually(lambda: place.all_ended(len(others) + 3), timeout=30)
    assert place.statuses() == {"success": len(others) + 3}
    assert place.dead_letters() == []


async def test_one_that_goes_round_alone_does_not_spin(place: Place, start: Start) -> None:
    delay_nothing(place)
    sidecar = start(knows(place, "a", worker={"concurrency": 1}))
    await sidecar.ready()
    began = time.monotonic()
    await place.publish({"task_id": "b", "task_type": "b"})
    await eventually(lambda: sidecar.text.count("sent on") >= 4, timeout=30)
    assert sidecar.text.count("sent on") <= 2 + time.monotonic() - began


async def test_without_the_wish_it_is_refused_at_once(any_place: Place, start: Start) -> None:
    place = any_place
    start(place.config({"a": place.job("done")}))
    await place.publish({"task_id": "t", "task_type": "b"})
    await eventually(lambda: place.status("t") == "failed")
    await eventually(lambda: place.count(f"{place.queue}.dead") == 1)
