"""A trigger says of single tasks what a server says of itself (a deadlock, its shutdown, nothing): it is about them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import TASKS, Place
from tests.support.waiting import eventually

BADS = ["bad0", "bad1"]
GOODS = [f"good{number}" for number in range(4)]
SIGNALS = {
    "lock": "signal sqlstate 'HY000' set mysql_errno = 1205, message_text = 'not here'",
    "deadlock": "signal sqlstate '40001' set mysql_errno = 1213",
    "column": "signal sqlstate '42S22' set mysql_errno = 1054, message_text = 'not here'",
    "column of another table": "insert into guarded (id) values ('x')",  # it has none of this name
    "read-only": "signal sqlstate 'HY000' set mysql_errno = 1290, message_text = 'not here'",
    "shutdown": "signal sqlstate '08S01' set mysql_errno = 1053, message_text = 'not here'",
    "lost connection": "signal sqlstate '08S01' set mysql_errno = 2013, message_text = 'not here'",
    "killed": "kill connection_id()",
    "login": "signal sqlstate '28000' set mysql_errno = 1045, message_text = 'not here'",
}
TERMINAL = "new.status in ('success', 'failed', 'cancelled')"


def guard(place: Place, event: str, signal: str, condition: str = "true") -> None:
    """A trigger on `event` that does this for bad tasks."""
    name = "new.task_id" if "callbacks" in event else "new.id"
    does = f"if {name} like 'bad%%' and {condition} then {SIGNALS[signal]}; end if;"
    place.execute("create table if not exists guarded (other int)")
    place.execute(f"create trigger guard before {event} for each row begin {does} end")


async def guarded(place: Place, start: Start, signal: str, event: str, condition: str = "true") -> Any:
    """All tasks through a worker that has one place for them."""
    script = 'echo \'{"gs":1,"type":"progress","progress":50}\'; sleep 0.4; exec "$0" done'
    handler = place.handler("/bin/sh", "-c", script, place.job("done")["command"][0])
    worker = {"concurrency": 1, "prefetch": 0, "max_crashes": 1, "lease": 3}
    config = place.config({"default": handler}, worker=worker, callbacks={"allow": ["127.0.0.1"]})
    sidecar = start(config | {"progress_interval": 0.1})
    await sidecar.ready()
    guard(place, event, signal, condition)
    callback = {"callback_url": "http://127.0.0.1:9/"}
    await place.publish(*({"task_id": name, **callback} for name in BADS + GOODS))
    await eventually(lambda: all(place.status(name) == "success" for name in GOODS), timeout=60, interval=0.2)
    return sidecar


async def goes_on(place: Place, sidecar: Any) -> None:
    await eventually(lambda: place.left() == 0, timeout=60, interval=0.2)
    await place.publish({"task_id": "last"})
    await eventually(lambda: place.status("last") == "success")
    assert not sidecar.says("unexpected error")
    assert not sidecar.says("not ready")
    sidecar.terminate()
    assert await sidecar.ended() == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    ("event", "condition", "runs"),
    [(f"insert on {TASKS}", "true", 0), (f"update on {TASKS}", TERMINAL, 2), (f"update on {TASKS}", "true", 2)],
    ids=["claim", "end", "every update"],
)
async def test_what_is_about_one_task_puts_that_task_aside(
    place: Place, start: Start, signal: str, event: str, condition: str, runs: int
) -> None:
    sidecar = await guarded(place, start, signal, event, condition)
    await eventually(lambda: place.count(f"{place.queue}.dead") == len(BADS), timeout=60, interval=0.2)
    letters = place.dead_letters()
    assert sorted(json.loads(body)["task_id"] for body, _ in letters) == BADS
    assert all(headers["x-gridsidecar-reason"].startswith("not-storable: ") for _, headers in letters)
    assert [place.journal.started.count(name) for name in BADS] == [runs] * len(BADS)
    await goes_on(place, sidecar)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    ("event", "condition", "left_out"),
    [
        (f"update on {TASKS}", "new.status = 'running' and new.progress > 0", "progress cannot be stored"),
        (f"insert on {TASKS}_callbacks", "true", "callback given up"),
        (f"update on {TASKS}_callbacks", "true", "and is left alone"),
    ],
    ids=["progress", "outbox", "callback"],
)
async def test_what_is_about_a_part_costs_that_part(
    place: Place, start: Start, signal: str, event: str, condition: str, left_out: str
) -> None:
    sidecar = await guarded(place, start, signal, event, condition)
    await eventually(lambda: all(place.status(name) == "success" for name in BADS), timeout=60, interval=0.2)
    assert [place.journal.started.count(name) for name in BADS] == [1] * len(BADS)
    if "progress" not in left_out:
        await eventually(lambda: sidecar.says(left_out))
    await goes_on(place, sidecar)


@pytest.mark.timeout(120)
async def test_a_column_of_ours_that_is_gone_is_about_all(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": place.job("done")}))
    await sidecar.ready()
    place.execute(f"alter table {TASKS} drop column ahead")
    await place.publish({"task_id": "t"})
    assert await sidecar.ended() == 77
    assert sidecar.says("gridsidecar migrate")
    assert place.left() == 1
