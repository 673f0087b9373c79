"""A worker that is paused or cut off, and servers that fall silent without saying goodbye."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.proxy import proxied
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

NEW_IDENTITY = "declared dead by another worker; going on under a new identity"


async def identities(place: Place, sidecar: Sidecar) -> dict[str, bool]:
    """The ids under which this sidecar is known, and whether each is alive."""
    async with place.opened() as store:
        rows = await store.reading.workers()
    return {row["id"]: row["alive"] for row in rows if row["name"].endswith(f"-{sidecar.pid}")}


async def alive(place: Place, sidecar: Sidecar, *, but: str) -> bool:
    """Whether this sidecar lives on under one other identity, and the former one has said goodbye."""
    found = await identities(place, sidecar)
    return not found.pop(but) and list(found.values()) == [True]


@pytest.mark.timeout(120)
async def test_a_worker_paused_beyond_its_lease_loses_the_task_and_its_result(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    config = place.config(
        {"default": place.job("until", gate)}, broker={"heartbeat": 2}, worker={"lease": 2}, retry={"max_retries": 3}
    )
    first = start(config)
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    (old,) = first.handlers()
    (former,) = await identities(place, first)
    first.signal(signal.SIGSTOP)
    second = start(config)
    await eventually(lambda: len(place.journal.started) == 2, timeout=60)
    first.signal(signal.SIGCONT)
    await eventually(lambda: old not in first.handlers())
    await first.said(NEW_IDENTITY)
    await eventually(lambda: alive(place, first, but=former))
    assert place.journal.ended == [], "the disowned handler was to be killed, not to end"
    assert len(second.handlers()) == 1
    gate.touch()
    await eventually(lambda: place.status("t") == "success")
    row = place.row("t")
    assert (row["attempt"], row["crashes"], row["retry_count"]) == (2, 1, 0)
    assert [entry["outcome"] for entry in place.attempts("t")] == ["lost", "success"]
    await eventually(lambda: place.left() == 0, timeout=30)
    await place.publish({"task_id": "next"}, {"task_id": "and another"})
    await eventually(lambda: place.all_ended(3))
    for sidecar in (first, second):
        sidecar.terminate()
        assert await sidecar.ended() == 0


@pytest.mark.timeout(180)
async def test_what_others_left_to_a_paused_worker_goes_on_under_its_old_identity(
    any_place: Place, start: Start
) -> None:
    """Two tasks run in the one that is paused; the other has room for one of them."""
    place = any_place
    gate = place.folder / "gate"
    job = {"default": place.job("until", gate), "quick": place.job("done")}
    pace: dict[str, Any] = {"broker": {"heartbeat": 2}, "retry": {"max_retries": 3}}
    first = start(place.config(job, worker={"lease": 2, "concurrency": 2}, **pace))
    await place.publish({"task_id": "t0"}, {"task_id": "t1"})
    await eventually(lambda: len(place.journal.started) == 2)
    (former,) = await identities(place, first)
    first.signal(signal.SIGSTOP)
    second = start(place.config(job, worker={"lease": 2}, **pace))
    await eventually(lambda: len(place.journal.started) == 3, timeout=60)
    first.signal(signal.SIGCONT)
    await first.said(NEW_IDENTITY)
    await eventually(lambda: len(first.handlers()) == 1)
    (taken,) = (task_id for task_id, row in place.rows().items() if row["attempt"] == 2)
    (left,) = {"t0", "t1"} - {taken}
    await place.publish({"task_id": "new", "task_type": "quick"})
    await eventually(lambda: place.status("new") == "success", timeout=60)
    found = await identities(place, first)
    assert set(found.values()) == {True}, "the old identity lives on for what it still runs"
    assert (place.row(left)["worker_id"], place.row(left)["status"]) == (former, "running")
    (current,) = found.keys() - {former}
    assert place.attempts("new")[0]["worker_id"] == current
    gate.touch()
    await eventually(lambda: place.all_ended(3), timeout=30)
    assert [(entry["outcome"], entry["worker_id"]) for entry in place.attempts(left)] == [("success", former)]
    assert [entry["outcome"] for entry in place.attempts(taken)] == ["lost", "success"]
    await eventually(lambda: alive(place, first, but=former))
    assert first.text.count(NEW_IDENTITY) == 1
    await eventually(lambda: place.left() == 0, timeout=60)
    for sidecar in (first, second):
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert not any((await identities(place, first)).values())


@pytest.mark.timeout(120)
async def test_a_broker_that_falls_silent_is_noticed(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    async with proxied(place.broker_url) as (proxy, url):
        config = place.config({"default": place.job("until", gate)}, broker={"url": url, "heartbeat": 1})
        sidecar = start(config)
        await place.publish({"task_id": "t0"}, {"task_id": "t1"})
        await eventually(lambda: place.journal.started)
        proxy.freeze()
        await sidecar.said("part=broker")
        assert len(sidecar.handlers()) == 1
        proxy.heal()
        gate.touch()
        await eventually(lambda: place.all_ended(2), timeout=40)
        await eventually(lambda: place.left() == 0)
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.journal.started == ["t0", "t1"]


@pytest.mark.timeout(120)
async def test_a_database_that_falls_silent_holds_nothing_up_for_good(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    async with proxied(place.store_url) as (proxy, url):
        sidecar = start(place.config({"default": place.job("until", gate)}, store={"url": url}))
        await place.publish({"task_id": "t0"}, {"task_id": "t1"})
        await eventually(lambda: place.journal.started)
        proxy.freeze()
        gate.touch()
        await sidecar.said("part=store", timeout=60)
        proxy.cut()
        proxy.heal()
        await eventually(lambda: place.all_ended(2), timeout=40)
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.journal.started == ["t0", "t1"]
    assert place.left() == 0


@pytest.mark.timeout(120)
async def test_leaving_while_the_database_is_away_has_an_end(place: Place, start: Start) -> None:
    """The row cannot be written, so the message goes back; to the next sidecar the attempt is a crash."""
    gate = place.folder / "gate"
    job = {"default": place.job("until", gate, kill_grace=0.5)}
    async with proxied(place.store_url) as (proxy, url):
        sidecar = start(place.config(job, store={"url": url}, worker={"shutdown_grace": 0.5, "lease": 2}))
        await place.publish({"task_id": "t"})
        await eventually(lambda: place.journal.started)
        await proxy.refuse()
        began = time.monotonic()
        sidecar.terminate()
        assert await sidecar.ended(timeout=60) == 0
        assert time.monotonic() - began < 45
    assert place.status("t") == "running"
    assert place.left() == 1
    gate.touch()
    start(place.config(job, worker={"lease": 2}))
    await eventually(lambda: place.status("t") == "success", timeout=30)
    assert (place.row("t")["attempt"], place.row("t")["crashes"]) == (2, 1)


@pytest.mark.timeout(120)
async def test_leaving_while_the_broker_is_away_has_an_end(place: Place, start: Start) -> None:
    """What ended is in the database; its message, never acked, comes again and is known for a duplicate."""
    gate = place.folder / "gate"
    job = {"default": place.job("until", gate), "failing": place.job("exit", 1)}
    async with proxied(place.broker_url) as (proxy, url):
        config = place.config(job, broker={"url": url}, worker={"concurrency": 2}, retry={"max_retries": 1, "delay": 1})
        sidecar = start(config)
        await place.publish({"task_id": "t"})
        await eventually(lambda: place.journal.started)
        await proxy.refuse()
        gate.touch()
        await eventually(lambda: place.status("t") == "success")
        began = time.monotonic()
        sidecar.terminate()
        assert await sidecar.ended(timeout=60) == 0
        assert time.monotonic() - began < 45
    await eventually(lambda: place.left() == 1)
    assert await start(place.config(job), "--burst").ended() == 0
    assert place.left() == 0
    assert place.journal.started == ["t"]
