"""Who runs, when, and beside how many others."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually


async def test_each_type_has_its_handler_and_default_takes_the_rest(any_place: Place, start: Start) -> None:
    place = any_place

    def says(word: str) -> dict[str, object]:
        return place.job("say", json.dumps({"gs": 1, "type": "result", "result": word}))

    start(place.config({"default": says("rest"), "a": says("first"), "b": says("second")}, worker={"concurrency": 2}))
    await place.publish(
        {"task_id": "1", "task_type": "a"},
        {"task_id": "2", "task_type": "b"},
        {"task_id": "3", "task_type": "c"},
        {"task_id": "4"},
    )
    await eventually(lambda: place.all_ended(4))
    results = {task_id: json.loads(row["result"]) for task_id, row in place.rows().items()}
    assert results == {"1": "first", "2": "second", "3": "rest", "4": "rest"}


async def test_as_many_run_at_once_as_the_worker_allows(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    start(place.config({"default": place.job("until", gate)}, worker={"concurrency": 3}))
    await place.publish(*({"task_id": f"t{index}"} for index in range(9)))
    await eventually(lambda: len(place.journal.started) == 3)
    gate.touch()
    await eventually(lambda: place.all_ended(9))
    assert place.journal.most_at_once() == 3


async def test_a_handler_with_fewer_slots_does_not_hold_up_the_others_in_hand(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    handlers = {"default": place.job("done"), "narrow": place.job("until", gate, concurrency=1)}
    start(place.config(handlers, worker={"concurrency": 4}))
    narrow = [{"task_id": f"n{index}", "task_type": "narrow"} for index in range(3)]
    await place.publish(*narrow, {"task_id": "wide"})
    await eventually(lambda: place.status("wide") == "success")
    await eventually(lambda: len(place.journal.started) >= 2)  # the first of the others may be slower to begin
    assert len(place.journal.started) == 2, "the wide one, and one of the three"
    gate.touch()
    await eventually(lambda: place.all_ended(4))
    runs = sorted((run for run in place.journal.runs() if run.task_id != "wide"), key=lambda run: run.started)
    assert all(first.ended and first.ended <= second.started for first, second in pairwise(runs))


async def test_the_rest_of_a_delay_is_no_whole_second(place: Place, start: Start) -> None:
    """The shortest delay queue takes a second: what it leaves of 1.2 is waited for in hand. Those that are due at once
    show how quick the machine is."""
    await start(place.config({"default": place.job("done")}, worker={"concurrency": 2})).ready()
    due = {}
    for number in range(6):
        at = datetime.now(UTC) + timedelta(seconds=1.2)
        due[f"t{number}"] = at.timestamp()
        await place.publish({"task_id": f"t{number}", "defer_until": at.isoformat()}, {"task_id": f"now{number}"})
        due[f"now{number}"] = datetime.now(UTC).timestamp()
    await eventually(lambda: place.all_ended(len(due)))
    late = {run.task_id: run.started - due[run.task_id] for run in place.journal.runs()}
    deferred, at_once = (min(late[f"{name}{number}"] for number in range(6)) for name in ("t", "now"))
    assert deferred >= 0
    assert deferred < max(at_once, 0) + 0.6, "with a whole second more all would be later than that"


async def test_deferred_tasks_start_when_they_are_due(any_place: Place, start: Start) -> None:
    place = any_place
    config = place.config({"default": place.job("done")}, worker={"concurrency": 2})
    sidecar = start(config)
    await sidecar.ready()
    due = datetime.now(UTC) + timedelta(seconds=6)
    sent = datetime.now(UTC).timestamp()
    await place.publish(
        {"task_id": "by", "defer_by": 4.5},
        {"task_id": "underscored", "_defer_by": 4.5},
        {"task_id": "until", "defer_until": due.isoformat()},
        {"task_id": "past", "defer_until": "2020-01-01T00:00:00Z"},
        {"task_id": "now"},
    )
    await eventually(lambda: place.status("past") == place.status("now") == "success")
    rows = place.rows()
    for task_id in ("by", "underscored", "until"):
        assert (rows[task_id]["status"], rows[task_id]["attempt"]) == ("pending", 0)
    await eventually(lambda: place.all_ended(5))
    starts = {run.task_id: run.started for run in place.journal.runs()}
    assert starts["by"] >= sent + 4.5
    assert starts["underscored"] >= sent + 4.5
    assert starts["until"] >= due.timestamp() - 0.002  # the database keeps milliseconds
    assert len(place.journal.started) == 5
    assert {row["attempt"] for row in place.rows().values()} == {1}
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


async def test_a_deferred_task_outlives_the_sidecar_that_deferred_it(place: Place, start: Start) -> None:
    config = place.config({"default": place.job("done")})
    first = start(config)
    await place.publish({"task_id": "t", "defer_by": 3})
    await eventually(lambda: place.status("t") == "pending")
    first.terminate()
    assert await first.ended() == 0
    assert place.left() == 1, "nobody would wake a sidecar for it"
    start(config)
    await eventually(lambda: place.status("t") == "success")
    assert place.journal.started == ["t"]


@pytest.mark.parametrize("kind", ["servers", "embedded"])
async def test_higher_priorities_run_first(kind: str, start: Start, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue("place" if kind == "servers" else "embedded_place")
    place.queue_type = "classic"
    place.arguments["x-max-priority"] = 9
    for priority in (0, 5, 9, 2):
        task = {"task_id": f"p{priority}", "priority": priority}
        await place.publish(task, priority=priority)
    start(place.config({"default": place.job("done")}, broker={"max_priority": 9}))
    await eventually(lambda: place.all_ended(4))
    assert place.journal.started == ["p9", "p5", "p2", "p0"]


async def test_a_priority_that_the_queue_cannot_honour_warns_once(place: Place, start: Start) -> None:
    place.queue_type = "classic"
    sidecar = start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "1", "priority": 5}, {"task_id": "2", "priority": 6})
    await eventually(lambda: place.all_ended(2))
    assert sidecar.text.count("x-max-priority") == 1
