"""Nobody is left, and no message tells of the work: the view in the database does, and whoever comes finishes it."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Start, any_place, embedded_place, place, start
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually
from tests.support.web import reply, web_server

__all__ = ["any_place", "embedded_place", "place", "start"]

LONG_AGO = "2001-01-01 00:00:00.000"


def owed(place: Place) -> set[tuple[str, str]]:
    """What the scaler counts, as rows."""
    sql = f"select kind, id from {TASKS}_owed_work where queue = ?"
    return {(row["kind"], row["id"]) for row in place.fetch(sql, place.queue)}


def lose_messages(place: Place) -> None:
    """A broker that forgot every delayed message."""
    if place.embedded:
        place.execute("delete from gridsidecar_messages where queue = ?", place.queue)
        return
    with place.channel() as channel:
        channel.queue_purge(f"{place.queue}.delay.60")


@pytest.mark.timeout(180)
async def test_work_that_only_the_database_knows_wakes_a_sidecar_that_finishes_it(
    any_place: Place, start: Start
) -> None:
    place = any_place
    gate = place.folder / "gate"
    handlers = {"default": place.job("until", gate), "quick": place.job("done"), "flaky": place.job("flaky", 2)}
    config = place.config(
        handlers,
        broker={"consumer_timeout": 2},
        worker={"lease": 2, "concurrency": 3},
        retry={"max_retries": 1, "delay": 60},
        callbacks={"allow": ["127.0.0.1"], "timeout": 5},
    )
    async with web_server() as web:
        web.answer = reply(503)
        first = start(config)
        await first.ready()
        assert owed(place) == set()
        await place.publish(
            {"task_id": "handed-off"},
            {"task_id": "retried", "task_type": "flaky"},
            {"task_id": "told", "task_type": "quick", "callback_url": web.url},
        )
        await eventually(lambda: place.row("handed-off").get("handed_off") == 1)
        await eventually(lambda: place.status("retried") == "retrying")
        await web.wait_for(1)
        await eventually(lambda: place.callbacks("told")[0]["failures"] == 1)
        await eventually(lambda: place.left() == 1)
        assert owed(place) == {("task", "handed-off")}, "the others are not due"
        place.journal.note_killed(first.die())
        lose_messages(place)
        assert place.left() == 0, "a scaler that looks at the queue alone leaves it at zero"
        place.execute(f"update {TASKS} set next_run_at = ?, next_check_at = ? where id = 'retried'", LONG_AGO, LONG_AGO)
        place.execute(f"update {TASKS}_callbacks set next_try_at = ?", LONG_AGO)
        assert owed(place) == {("task", "handed-off"), ("task", "retried"), ("callback", "told")}
        async with place.opened() as store:
            assert await store.reading.owed() == 3, "the commands say the same as the view"

        web.answer = reply()
        gate.touch()
        second = start(config)
        await eventually(lambda: place.all_ended(3), timeout=60)
        assert place.statuses() == {"success": 3}
        await eventually(lambda: owed(place) == set(), timeout=30)
        second.terminate()
        assert await second.ended() == 0
    assert place.callbacks("told")[0]["delivered_at"] is not None
    assert len({request.headers["webhook-id"] for request in web.requests}) == 1
    assert place.journal.overlaps() == []
    assert (place.row("handed-off")["attempt"], place.row("handed-off")["crashes"]) == (2, 1)
    assert place.left() == 0
