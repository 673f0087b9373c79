"""A task that takes its sidecar down with it, each time: it ends for good, and costs nobody else an attempt."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.conftest import Start
from tests.faults.history import History, Sent, assert_kept
from tests.faults.scenes import send_callbacks_now
from tests.support.place import Place
from tests.support.waiting import eventually
from tests.support.web import web_server


@pytest.mark.timeout(180)
async def test_it_ends_after_max_crashes_and_the_others_run_once(any_place: Place, start: Start) -> None:
    place = any_place
    poison = Sent(task_id="poison", end="failed", told=True)
    others = [Sent(task_id=f"t{number}", end="success", told=True) for number in range(6)]
    async with web_server() as web:
        config = place.config(
            {"default": place.job("done"), "deadly": place.job("deadly")},
            worker={"lease": 1, "max_crashes": 2},
            callbacks={"allow": ["127.0.0.1"]},
        )
        history = History.of(place, poison, *others)
        history.listen(web)
        sidecar = start(config)
        for number, sent in enumerate((*others[:3], poison, *others[3:])):
            kind = "deadly" if sent is poison else "default"
            await place.publish({"task_id": sent.task_id, "task_type": kind, "callback_url": web.url, "n": number})
        for _ in range(3):  # its pod is started again each time
            assert await sidecar.ended(timeout=60) == -signal.SIGKILL
            sidecar = start(config)
        await eventually(lambda: place.all_ended(7), timeout=60, interval=0.1)
        send_callbacks_now(place)  # what a dead sidecar had in its hands
        await eventually(lambda: all(row["delivered_at"] for row in place.callbacks()))
        await eventually(lambda: place.left() == 0, timeout=60)  # copies that dead sidecars had in their hands
        sidecar.terminate()
        assert await sidecar.ended() == 0
    row = place.row("poison")
    assert (row["error_type"], row["crashes"], row["attempt"]) == ("WorkerLost", 3, 3)
    assert {(place.row(sent.task_id)["attempt"], place.row(sent.task_id)["crashes"]) for sent in others} == {(1, 0)}
    assert_kept(history)
