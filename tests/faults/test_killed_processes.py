"""One process of several dies after each of its side effects, with all that runs in it; its supervisor replaces it, and
everything is in order."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Start
from tests.faults.stage import finish, finish_with, staged
from tests.faults.test_killed_anywhere import SCENES, SERVERS_ONLY, SUBMITTING, scenes
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

LEAVING = ("requeued", "draining", "drained")
# What one process alone comes to in these scenes does not change: the embedded place is enough for the rest. What is
# asked of the API is done by the supervisor.
ON_SERVERS = ("claimed", "committed", "delay_published", "lease_renewed", "callback_sent", "draining")
CASES = [
    pytest.param(point, where, id=f"{point}-{where}")
    for point in SCENES
    if point not in SERVERS_ONLY | SUBMITTING | {"acked", "row_returned", "operation_stepped"}
    for where in ("place", "embedded_place")
    if where == "embedded_place" or point in ON_SERVERS
]


@pytest.mark.parametrize(("point", "where"), CASES)
async def test_a_process_is_killed_at(point: str, where: str, request: pytest.FixtureRequest, start: Start) -> None:
    place: Place = request.getfixturevalue(where)
    async with staged(place, start, f"{point}:kill", processes=2) as stage:
        sidecar, history = await SCENES[point](stage)
        history.listen(stage.web)
        await sidecar.said(f"point={point}")
        if point in LEAVING:
            assert await sidecar.ended(timeout=40) == 1
            assert sidecar.says("a process did not leave in peace")
        else:
            await sidecar.said("a process ended, it is replaced")
            assert sidecar.says("signal=SIGKILL")
        place.journal.note_dead()
        assert not sidecar.handlers() or point not in LEAVING
        scenes.send_callbacks_now(place)  # what it had in its hands is due again when its lease is over
        if point in LEAVING:
            await finish(stage, history)
        else:
            await eventually(lambda: both_consume(sidecar, place))
            stage.gate.touch()
            await eventually(lambda: all_ended(point, place, len(history.sent)), timeout=40)
            await finish_with(sidecar, stage, history, code=killed_while_leaving)


def killed_while_leaving(sidecar: Sidecar) -> int:
    """1 where the second process came to the point by its last step before it was told to leave, else 0."""
    return sidecar.text.count("failpoint reached") - sidecar.text.count("a process ended, it is replaced")


def both_consume(sidecar: Sidecar, place: Place) -> bool:
    """The second one may die, too, before the first one is replaced: what ran in it is noted at once."""
    place.journal.note_dead()
    return consuming(sidecar) == 2


def consuming(sidecar: Sidecar) -> int:
    """Processes that are; one may have died before it said so for the first time."""
    last = dict(re.findall(r"(?:consuming|process ended).* worker=(\S+)(.*)", sidecar.text))
    return sum("pid=" not in rest for rest in last.values())


def all_ended(point: str, place: Place, count: int) -> bool:
    """Both processes may die in turn: what runs then is noted, and a wake-up that was never sent is due again."""
    place.journal.note_dead()
    if point in ("next_check_moved", "released", "probe_taken"):
        scenes.look_now(place)
    return place.all_ended(count)
