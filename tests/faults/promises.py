"""What must hold once a fault is over, seen from outside: in the journal, the database, the queue and the receiver."""

from __future__ import annotations

import math
import re
from collections import defaultdict

from tests.faults.history import Absence, History, Sent, Told, assert_kept
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually
from tests.support.web import Web


async def kept(
    place: Place,
    *sidecars: Sidecar,
    tasks: int,
    web: Web | None = None,
    gap: float = 0.0,
    overlapping: bool = False,
    timeout: float = 60.0,
) -> None:
    """Every task ended, all who serve leave with 0, and the history of it all keeps every promise.

    `gap`: seconds until a retry, at least. `overlapping`: two runs of a task may have gone on at once.
    """
    await eventually(lambda: place.all_ended(tasks), timeout, interval=0.1)
    await eventually(lambda: place.left() == 0, timeout, interval=0.1)
    if web is not None:
        await eventually(lambda: all(row["delivered_at"] for row in place.callbacks()), timeout, interval=0.1)
    for sidecar in sidecars:
        sidecar.terminate()
    for sidecar in sidecars:
        assert await sidecar.ended() == 0
        assert not sidecar.says("unexpected error")
    history = _history(place, web, gap)
    if overlapping:
        history.absences.append(Absence(place.journal.path, 0.0, math.inf))
    assert_kept(history)


def _history(place: Place, web: Web | None, gap: float) -> History:
    """What can be seen when all is over: whatever has a row was sent."""
    owed = {row["task_id"]: row["id"] for row in place.callbacks()}
    history = History.of(
        place,
        *(
            Sent(
                task_id=task_id,
                told=web is not None and task_id in owed,
                retries=row["max_retry_count"],
                retry_delay=gap,
            )
            for task_id, row in place.rows().items()
        ),
    )
    bodies = defaultdict(set)
    for request in web.requests if web else ():
        told = request.json
        bodies[told["task_id"]].add(request.body)
        history.told.append(Told(told["task_id"], told["status"], request.headers["webhook-id"], math.inf))
    assert all(len(of_task) == 1 for of_task in bodies.values()), "a callback changed between two tries"
    return history


def assert_untouched(place: Place) -> None:
    """No failure, no crash, no second attempt was written anywhere."""
    rows = place.rows().values()
    assert {(row["status"], row["attempt"], row["retry_count"], row["crashes"]) for row in rows} <= {
        ("success", 1, 0, 0)
    }
    assert len(place.journal.started) == len(set(place.journal.started)) == len(rows)


def not_ready(sidecar: Sidecar, part: str, reason: str = "") -> int:
    """How often it said that this part keeps it from working, for a reason with these words."""
    lines = [line for line in sidecar.text.splitlines() if "not ready" in line and f"part={part}" in line]
    return sum(reason in line for line in lines)


def ready_in_the_end(sidecar: Sidecar) -> bool:
    """Whether everything that was not ready was said to be ready again."""
    last: dict[str, bool] = {}
    for line in sidecar.text.splitlines():
        if found := re.search(r'(not ready|ready again).* part=("[^"]*"|\S+)', line):
            last[found[2]] = found[1] == "ready again"
    return all(last.values())
