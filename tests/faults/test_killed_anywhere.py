"""A sidecar dies after each of its side effects, with all that runs in it; another one finds everything in order."""

from __future__ import annotations

import asyncio
import signal

import pytest

from gridsidecar.failpoints import POINTS
from tests.e2e.conftest import Start
from tests.faults import scenes
from tests.faults.history import left_running
from tests.faults.scenes import Scene
from tests.faults.stage import finish, staged
from tests.support.place import Place

SCENES: dict[str, Scene] = {
    "claimed": scenes.every_end,
    "spawned": scenes.every_end,
    "exited": scenes.every_end,
    "committed": scenes.every_end,
    "delay_published": scenes.one_retry,
    "acked": scenes.one_retry,
    "dead_lettered": scenes.every_end,
    "refusal_recorded": scenes.every_end,
    "lease_renewed": scenes.every_end,
    "maintained": scenes.every_end,
    "callback_claimed": scenes.every_end,
    "callback_sent": scenes.every_end,
    "callback_cleared": scenes.every_end,
    "requeued": scenes.told_to_leave,
    "draining": scenes.told_to_leave,
    "drained": scenes.told_to_leave,
    "hand_off_marked": scenes.handed_off,
    "handed_off": scenes.handed_off,
    "next_check_moved": scenes.lost_delayed_message,
    "wake_up_published": scenes.lost_delayed_message,
    "row_returned": scenes.row_without_attempt,
    "republished": scenes.no_slot,
    "scheduled": scenes.no_delays,
    "reattached": scenes.second_copy,
    "parked": scenes.paused,
    "released": scenes.paused,
    "probe_taken": scenes.tripped,
    "operation_stepped": scenes.cancelled,
    "row_written": scenes.submitted,
    "task_published": scenes.submitted,
}
SUBMITTING = {"row_written", "task_published"}  # a producer's, which the API is as well
SERVERS_ONLY = {"scheduled", "reattached"}  # what brings them about is a matter of RabbitMQ


def test_every_failpoint_has_its_scene() -> None:
    assert sorted(SCENES) == sorted(POINTS)


CASES = [
    pytest.param(point, where, id=f"{point}-{where}")
    for point in POINTS
    for where in ("place", "embedded_place")
    if where == "place" or point not in SERVERS_ONLY
]


@pytest.mark.parametrize(("point", "where"), CASES)
async def test_killed_at(point: str, where: str, request: pytest.FixtureRequest, start: Start) -> None:
    place: Place = request.getfixturevalue(where)
    action = "pause=60" if point == "acked" else "kill"
    async with staged(place, start, f"{point}:{action}") as stage:
        sidecar, history = await SCENES[point](stage)
        history.listen(stage.web)
        if point == "acked":  # killed at once, the ack itself would not have left the process
            await sidecar.said(f"point={point}")
            await asyncio.sleep(0.5)
            place.journal.note_killed(sidecar.die())
        assert await sidecar.ended(timeout=40) == -signal.SIGKILL
        assert sidecar.says(f"point={point}")
        if point in ("hand_off_marked", "handed_off"):
            assert place.row("ok")["handed_off"] == 1, "acked before the store was told"
        place.journal.kill(left_running(place.journal))
        scenes.send_callbacks_now(place)  # what it had in its hands is due again when its lease is over
        if point in (
            "next_check_moved",
            "released",
            "probe_taken",
            *SUBMITTING,
        ):  # a wake-up that was never sent costs the time until the next check
            scenes.look_now(place)
        if point == "operation_stepped":
            scenes.drive_now(place)
        await finish(stage, history)
