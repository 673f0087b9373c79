"""A producer that sends one task over and over: it runs once, and every copy is acked."""

from __future__ import annotations

import time

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually

COPIES = 10_000
FOR_TWO = 400


def send_copies(place: Place, count: int) -> None:
    """Quickly: neither persistent nor confirmed."""
    with place.channel() as channel:
        place.declare(channel)
        for _ in range(count):
            channel.basic_publish("", place.queue, b'{"task_id": "t"}')


@pytest.mark.alone
@pytest.mark.timeout(400)
async def test_copies_of_a_task_while_it_runs_and_after_its_end(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    job = place.job("until", gate, timeout=0)
    sidecar = start(place.config({"default": job}, worker={"concurrency": 8, "idle_timeout": 5}, log={"level": "INFO"}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    for when in ("while it runs", "after its end"):
        began = time.monotonic()
        send_copies(place, COPIES // 2)
        await eventually(lambda: place.waiting() == 0, timeout=180)
        print(f"{when}: {COPIES / 2 / (time.monotonic() - began):,.0f} duplicates/s")
        gate.touch()
        await eventually(lambda: place.status("t") == "success")
    assert await sidecar.ended() == 0, "idle: nothing is in its hands"
    assert place.left() == 0
    assert place.journal.started == ["t"]
    assert place.row("t")["attempt"] == 1
    assert sidecar.text.count("duplicate message dropped") == 2, "once while it ran, once after"


@pytest.mark.timeout(180)
async def test_copies_that_another_sidecar_cannot_run_do_not_multiply(place: Place, start: Start) -> None:
    """To a sidecar that does not run it, any copy may be the last one left: each waits, ever longer."""
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"concurrency": 4, "lease": 2})
    sidecars = [start(config)]
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    sidecars.append(start(config))
    await sidecars[1].ready()
    send_copies(place, FOR_TWO)
    await eventually(lambda: place.waiting() == 0, timeout=60)
    waiting = [place.left()]
    assert 0 < waiting[0] <= FOR_TWO, "the second sidecar was to get its share"
    until = time.monotonic() + 8  # several rounds at this lease
    while time.monotonic() < until:
        waiting.append(place.left())
    assert max(waiting) <= FOR_TWO
    assert place.journal.started == ["t"]
    gate.touch()
    await eventually(lambda: place.status("t") == "success")
    await eventually(lambda: place.left() == 0, timeout=60)
    for sidecar in sidecars:
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.left() == 0
    assert place.journal.started == ["t"]
    assert (place.row("t")["attempt"], place.row("t")["crashes"]) == (1, 0)
    assert place.dead_letters() == []
