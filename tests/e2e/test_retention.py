"""A sidecar that keeps tasks for some days, at work."""

from __future__ import annotations

from tests.e2e.conftest import Start
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually

LONG_AGO = "2001-01-01 00:00:00.000"


async def test_old_tasks_go_while_others_run(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    handlers = {"default": place.job("done"), "long": place.job("until", gate)}
    config = place.config(handlers, store={"retention_days": 2}, worker={"lease": 2, "concurrency": 2})
    sidecars = [start(config), start(config)]
    await place.publish({"task_id": "old"}, {"task_id": "young"}, {"task_id": "runs", "task_type": "long"})
    await eventually(lambda: place.all_ended(2) and place.status("runs") == "running")
    for task_id in ("old", "runs"):
        place.execute(f"update {TASKS} set created_at = ? where id = ?", LONG_AGO, task_id)
    place.execute(f"update {TASKS} set completed_at = ? where id = 'old'", LONG_AGO)
    await eventually(lambda: set(place.rows()) == {"young", "runs"})
    assert place.attempts("old") == []
    await eventually(lambda: any(sidecar.says("old tasks deleted") for sidecar in sidecars))
    gate.touch()
    await eventually(lambda: place.status("runs") == "success")
    assert set(place.rows()) == {"young", "runs"}, "its end is young, however old it is"
    for sidecar in sidecars:
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.left() == 0
