"""Queues are deleted, recreated or made by somebody else: what waits comes back, and consuming goes on."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Start
from tests.faults.promises import assert_untouched, kept, not_ready, ready_in_the_end
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually

OTHER = {"x-max-length": 1000}


def delete(place: Place, queue: str) -> None:
    with place.channel() as channel:
        channel.queue_delete(queue)


def make_anew(place: Place) -> None:
    """Somebody deletes the work queue and makes it with other arguments the next moment."""
    place.arguments = OTHER
    with place.channel() as channel:
        channel.queue_delete(place.queue)
        place.declare(channel)


def overdue(place: Place, task_id: str) -> None:
    """As if a minute had gone by since this task was to come back: maintenance looks for it now."""
    place.execute(f"update {TASKS} set next_run_at = '2001-01-01', next_check_at = '2001-01-01' where id = ?", task_id)


async def test_a_delay_queue_is_deleted_with_a_retry_in_it(place: Place, start: Start) -> None:
    """Row 10: the message is gone for good, the row is not; the next retry declares the queue again."""
    config = place.config({"default": place.job("flaky", 3)}, retry={"max_retries": 2, "delay": 5}, worker={"lease": 2})
    sidecar = start(config)
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.count(f"{place.queue}.delay.5") == 1)
    delete(place, f"{place.queue}.delay.5")
    assert place.left() == 0
    overdue(place, "t")
    await kept(place, sidecar, tasks=1)
    assert place.status("t") == "success"
    assert place.journal.started == ["t"] * 3
    assert not_ready(sidecar, "publishing") == 0


async def test_the_work_queue_is_deleted_with_tasks_in_it(place: Place, start: Start) -> None:
    """Row 27: tasks that have a row come back by themselves; the running one ends as if nothing had happened."""
    gate = place.folder / "gate"
    jobs = {"default": place.job("until", gate), "flaky": place.job("flaky", 2)}
    sidecar = start(place.config(jobs, retry={"max_retries": 1, "delay": 1}, worker={"lease": 2}))
    await place.publish({"task_id": "flaky", "task_type": "flaky"})
    await eventually(lambda: place.status("flaky") == "retrying")
    await place.publish({"task_id": "long"})
    await eventually(lambda: "long" in place.journal.started)
    await eventually(lambda: place.waiting() == 1)  # the retry, behind the long one
    delete(place, place.queue)
    await sidecar.said("ready again")
    assert not_ready(sidecar, "broker", "was deleted") == 1
    gate.touch()
    await eventually(lambda: place.status("long") == "success")
    overdue(place, "flaky")
    await kept(place, sidecar, tasks=2, gap=1)
    assert place.statuses() == {"success": 2}
    assert place.journal.started.count("long") == 1


async def test_the_work_queue_is_made_anew_in_another_way(place: Place, start: Start) -> None:
    """Row 27: it is used as it is."""
    sidecar = start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "t0"})
    await eventually(lambda: place.status("t0") == "success")
    make_anew(place)
    await eventually(lambda: not_ready(sidecar, "broker", "was deleted") == 1)
    await place.publish({"task_id": "t1"})
    await eventually(lambda: ready_in_the_end(sidecar))  # some look again only after a while
    await kept(place, sidecar, tasks=2)
    assert_untouched(place)


async def test_the_work_queue_was_made_in_another_way(place: Place, start: Start) -> None:
    """Row 27: found at the start with arguments that the configuration does not name."""
    place.arguments = OTHER
    await place.publish({"task_id": "t0"})
    sidecar = start(place.config({"default": place.job("done")}))
    await kept(place, sidecar, tasks=1)
    assert_untouched(place)
    assert not_ready(sidecar, "broker") == 0


async def test_the_work_queue_is_deleted_and_we_may_not_make_it(place: Place, start: Start) -> None:
    """Row 27: the reason is told, and whoever is to make the queue is waited for."""
    await place.publish({"task_id": "t0"})
    sidecar = start(place.config({"default": place.job("done")}, broker={"declare": False}))
    await eventually(lambda: place.status("t0") == "success")
    delete(place, place.queue)
    await eventually(lambda: not_ready(sidecar, "broker", "create the queue") == 1)
    assert sidecar.exit_code is None
    await place.publish({"task_id": "t1"})
    await eventually(lambda: ready_in_the_end(sidecar))  # some look again only after a while
    await kept(place, sidecar, tasks=2)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_the_dead_letter_queue_is_deleted(place: Place, start: Start) -> None:
    """Row 10: what cannot be routed there is not acked before the queue is there again."""
    sidecar = start(place.config({"default": place.job("done")}))
    for number in range(2):
        await place.publish_bodies(b"not JSON %d" % number)
        await eventually(lambda: place.count(f"{place.queue}.dead") == 1)
        delete(place, f"{place.queue}.dead")
    await place.publish({"task_id": "t"})
    await kept(place, sidecar, tasks=1)
