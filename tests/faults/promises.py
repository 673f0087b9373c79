"""What must hold once a fault is over, seen from outside: in the journal, the database, the queue and the receiver."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise

from tests.support.place import ENDED, Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually
from tests.support.web import Web

REPEATED = ("failed", "cannot_start", "interrupted", "lost")  # outcomes of an attempt that another one may follow


async def kept(
    place: Place,
    *sidecars: Sidecar,
    tasks: int,
    web: Web | None = None,
    gap: float = 0.0,
    overlapping: bool = False,
    timeout: float = 60.0,
) -> None:
    """Every task ended, once; nothing is left anywhere; all who serve leave with 0.

    `gap`: seconds between a task's attempts, at least. `overlapping`: two runs of a task may have gone on at once.
    """
    await eventually(lambda: place.all_ended(tasks), timeout, interval=0.1)
    await eventually(lambda: place.left() == 0, timeout, interval=0.1)
    if web is not None:
        await eventually(lambda: all(row["delivered_at"] for row in place.callbacks()), timeout, interval=0.1)
        assert_told(place, web)
    for sidecar in sidecars:
        sidecar.terminate()
    for sidecar in sidecars:
        assert await sidecar.ended() == 0
        assert not sidecar.says("unexpected error")
    assert place.left() == 0
    assert_ended_once(place)
    if not overlapping:
        assert place.journal.overlaps() == []
    assert_apart(place, gap)


def assert_ended_once(place: Place) -> None:
    """Attempts count up, the last one alone made the end, and that is what the row says."""
    for task_id, row in place.rows().items():
        assert row["status"] in ENDED
        attempts = place.attempts(task_id)
        numbers = [attempt["attempt"] for attempt in attempts]
        assert numbers == list(range(1, row["attempt"] + 1)), task_id
        outcomes = [attempt["outcome"] for attempt in attempts]
        assert all(outcome in REPEATED for outcome in outcomes[:-1]), (task_id, outcomes)
        assert outcomes[-1:] in ([row["status"]], ["lost"] if row["error_type"] == "WorkerLost" else []), task_id


def assert_told(place: Place, web: Web) -> None:
    """Each end that owes a callback was told, under one id and with one body."""
    ids, bodies = defaultdict(set), defaultdict(set)
    for request in web.requests:
        ids[request.json["task_id"]].add(request.headers["webhook-id"])
        bodies[request.json["task_id"]].add(request.body)
    owed = {row["task_id"]: {row["id"]} for row in place.callbacks()}
    assert owed == ids
    assert all(len(told) == 1 for told in bodies.values())


def assert_apart(place: Place, gap: float) -> None:
    runs = defaultdict(list)
    for run in place.journal.runs():
        runs[run.task_id].append(run)
    for of_task in runs.values():
        for first, second in pairwise(of_task):
            assert second.started - (first.ended or first.started) >= gap


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
