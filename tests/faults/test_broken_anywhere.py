"""An error that no rule covers, or SIGTERM, comes right after a side effect: nothing is lost, nothing overlaps."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Start
from tests.faults import scenes
from tests.faults.stage import all_is_quiet, finish, staged
from tests.support.place import Place
from tests.support.waiting import eventually

LINE = (
    "claimed",
    "spawned",
    "exited",
    "committed",
    "delay_published",
    "acked",
    "dead_lettered",
    "refusal_recorded",
    "lease_renewed",
    "callback_claimed",
    "callback_sent",
    "callback_cleared",
)


@pytest.mark.parametrize("point", LINE)
async def test_an_error_costs_time_and_no_task(point: str, any_place: Place, start: Start) -> None:
    """The same sidecar goes on. What it holds for a moment after an error is given back if it must leave meanwhile."""
    async with staged(any_place, start, f"{point}:raise") as stage:
        sidecar, history = await scenes.every_end(stage)
        history.listen(stage.web)
        await sidecar.said(f"point={point}")
        await eventually(lambda: all_ended(any_place, len(history.sent)), timeout=60, interval=0.1)
        if point.startswith("callback_"):
            scenes.send_callbacks_now(any_place)
        await eventually(lambda: all_is_quiet(history), timeout=60, interval=0.1)
        assert not sidecar.says("not ready"), "an error of ours is no outage"
        sidecar.terminate()
        assert await sidecar.ended() == 0
        await finish(stage, history)


def all_ended(place: Place, count: int) -> bool:
    """A handler that had just begun may be killed for the error: it is noted before it runs again."""
    place.journal.note_dead()
    return place.all_ended(count)


@pytest.mark.parametrize("point", LINE)
async def test_told_to_leave_in_the_middle(point: str, place: Place, start: Start) -> None:
    """SIGTERM while something is between two steps: exit code 0 within the grace, and another one does the rest."""
    async with staged(place, start, f"{point}:pause=1.5") as stage:
        sidecar, history = await scenes.every_end(stage)
        history.listen(stage.web)
        await sidecar.said(f"point={point}")
        sidecar.terminate()
        assert await sidecar.ended(timeout=30) == 0
        assert all(row["status"] != "running" for row in place.rows().values())
        await finish(stage, history)
