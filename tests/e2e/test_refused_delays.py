"""A broker that does not let us delay messages: the database keeps the time instead, and nothing is lost."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually


@pytest.fixture
def strict_place(place: Place) -> Place:
    """Somebody else's queues stand where the delay queues belong."""
    with place.channel() as channel:
        for seconds in (1, 2, 5, 10):
            channel.queue_declare(f"{place.queue}.delay.{seconds}", durable=True, arguments={"x-max-length": 7})
    return place


async def test_retries_and_deferred_tasks_are_brought_back_by_the_store(strict_place: Place, start: Start) -> None:
    place = strict_place
    config = place.config(
        {"default": place.job("flaky", 2)}, retry={"max_retries": 1, "delay": 1}, worker={"lease": 2, "concurrency": 2}
    )
    sidecar = start(config)
    await place.publish({"task_id": "retried"}, {"task_id": "deferred", "defer_by": 1, "max_retry_count": 2})
    await eventually(lambda: place.row("retried").get("handed_off") == place.row("deferred").get("handed_off") == 1)
    await eventually(lambda: place.all_ended(2), timeout=30)
    assert place.statuses() == {"success": 2}
    assert place.journal.started.count("retried") == place.journal.started.count("deferred") == 2
    assert sidecar.says("alarm refused")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


async def test_a_message_without_a_row_is_kept_by_the_broker(strict_place: Place, start: Start) -> None:
    """It waits for its command for longer than the broker lets us hold it, and no row stands for it."""
    place = strict_place
    program = place.folder / "program"
    sidecar = start(place.config({"default": place.handler(program)}, broker={"consumer_timeout": 2}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: sidecar.text.count("sent anew") >= 2)
    assert place.rows() == {}
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.waiting() == 1
    start(place.config({"default": place.job("done")}))
    await eventually(lambda: place.status("t") == "success")
    assert place.journal.started == ["t"]
