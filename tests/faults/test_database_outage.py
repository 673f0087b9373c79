"""The database dies, restarts, or cannot be heard: results wait in memory, and each is written once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.faults.promises import assert_untouched, kept, not_ready, ready_in_the_end
from tests.support.place import TASKS, Place
from tests.support.proxy import proxied
from tests.support.servers import MySQL
from tests.support.waiting import eventually
from tests.support.web import web_server


@pytest.mark.timeout(180)
async def test_it_is_away_for_a_while_under_load(on_own_mysql: Place, own_mysql: MySQL, start: Start) -> None:
    """Row 11: killed among claims and commits, and back after twice the lease."""
    place = on_own_mysql
    async with web_server() as web:
        config = place.config(
            {"default": place.job("for", 0.1)},
            worker={"concurrency": 4, "lease": 3},
            callbacks={"allow": ["127.0.0.1"]},
        )
        sidecars = [start(config) for _ in range(2)]
        await asyncio.gather(*(sidecar.ready() for sidecar in sidecars))
        await place.publish(*({"task_id": f"t{number}", "callback_url": web.url} for number in range(60)))
        await eventually(lambda: len(place.journal.ended) > 20)
        own_mysql.kill()
        await asyncio.gather(*(sidecar.said("part=store") for sidecar in sidecars))
        await asyncio.sleep(6)
        assert len(place.journal.started) < 60, "nothing starts without a claim"
        own_mysql.start()
        await asyncio.gather(
            *(eventually(lambda s=s: ready_in_the_end(s), timeout=30) for s in sidecars)  # type: ignore[misc]
        )
        await kept(place, *sidecars, tasks=60, web=web)
    assert place.statuses() == {"success": 60}


@pytest.mark.timeout(120)
async def test_the_reply_of_a_commit_is_lost(place: Place, start: Start) -> None:
    """Row 11: the row says that it is written, the sidecar does not know; it reads again, and tells once."""
    async with web_server() as web, proxied(place.store_url) as (proxy, url):
        jobs = {"default": place.job("done"), "flaky": place.job("flaky", 2)}
        config = place.config(
            jobs,
            store={"url": url},
            callbacks={"allow": ["127.0.0.1"]},
            worker={"concurrency": 2},
            retry={"max_retries": 1, "delay": 1},
        )
        sidecar = start(config, failpoints="exited:pause=1")
        await place.publish({"task_id": "t", "callback_url": web.url})
        await eventually(lambda: place.journal.ended)
        proxy.swallow_replies(after=b"SET status = 'success'")
        await eventually(lambda: place.status("t") == "success")
        proxy.cut()
        await sidecar.said("part=store")
        assert web.requests == []
        proxy.heal()
        await web.wait_for(1)
        await eventually(lambda: ready_in_the_end(sidecar))  # some look again only after a while
        await kept(place, sidecar, tasks=1, web=web)
    assert len(web.requests) == 1
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_the_reply_of_a_retrys_commit_is_lost(place: Place, start: Start) -> None:
    """Row 11: the delayed message of a retry is sent although nobody said that the retry is stored."""
    async with proxied(place.store_url) as (proxy, url):
        config = place.config(
            {"default": place.job("flaky", 2)}, store={"url": url}, retry={"max_retries": 1, "delay": 1}
        )
        sidecar = start(config, failpoints="exited:pause=1")
        await place.publish({"task_id": "t"})
        await eventually(lambda: place.journal.ended)
        proxy.swallow_replies(after=b"SET status = 'retrying'")
        await eventually(lambda: place.status("t") == "retrying")
        proxy.cut()
        proxy.heal()
        await kept(place, sidecar, tasks=1, gap=1)
    assert (place.status("t"), place.row("t")["retry_count"], place.row("t")["handed_off"]) == ("success", 1, 0)


@pytest.mark.timeout(120)
async def test_the_reply_of_a_claim_is_lost(place: Place, start: Start) -> None:
    """Row 11: the row names this worker, which asks again and starts the same attempt."""
    async with proxied(place.store_url) as (proxy, url):
        config = place.config({"default": place.job("done")}, store={"url": url}, worker={"concurrency": 8})
        sidecar = start(config)
        await sidecar.ready()
        await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
        await eventually(lambda: place.all_ended(4))
        proxy.swallow_replies(after=b"'next'")
        await place.publish({"task_id": "next"})
        await eventually(lambda: place.status("next") == "running")
        assert "next" not in place.journal.started
        proxy.cut()
        proxy.heal()
        await kept(place, sidecar, tasks=5)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_a_commit_is_cut_off_before_it_arrives(place: Place, start: Start) -> None:
    """Row 11: half of the statements reached the server, which forgets them."""
    async with web_server() as web, proxied(place.store_url) as (proxy, url):
        config = place.config(
            {"default": place.job("done")}, store={"url": url}, callbacks={"allow": ["127.0.0.1"]}, worker={"lease": 60}
        )
        sidecar = start(config, failpoints="exited:pause=1")
        await place.publish({"task_id": "t", "callback_url": web.url})
        await eventually(lambda: place.journal.ended)
        proxy.cut_within(b"SET status = 'success'")
        await eventually(lambda: proxy.cuts)
        await kept(place, sidecar, tasks=1, web=web)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_it_is_slow(place: Place, start: Start) -> None:
    """Row 13: 500 ms each way, so that a second goes by for each statement; leases and tasks keep up."""
    async with proxied(place.store_url) as (proxy, url):
        config = place.config(
            {"default": place.job("done")}, store={"url": url}, worker={"concurrency": 8, "lease": 10}
        )
        sidecar = start(config)
        await sidecar.ready()
        proxy.delay = 0.5
        await place.publish(*({"task_id": f"t{number}"} for number in range(16)))
        await kept(place, sidecar, tasks=16)
        assert not_ready(sidecar, "store") == 0
    assert_untouched(place)


def leases(place: Place) -> list[Any]:
    """When the leases of the workers end."""
    return [row["expires_at"] for row in place.fetch(f"select expires_at from {TASKS}_workers")]


async def test_a_lease_is_renewed_as_soon_as_it_is_back(place: Place, start: Start) -> None:
    """Row 11: a renewal that failed is not put off until the next one would be due, 15 s later."""
    async with proxied(place.store_url) as (proxy, url):
        sidecar = start(place.config({"default": place.job("done")}, store={"url": url}, worker={"lease": 45}))
        await sidecar.ready()
        await proxy.refuse()
        await sidecar.said("part=lease")
        before = leases(place)
        await proxy.listen()
        await eventually(lambda: leases(place) > before, timeout=12)
        await kept(place, sidecar, tasks=0)


@pytest.mark.timeout(120)
async def test_one_sidecar_is_cut_off_beyond_its_lease(place: Place, start: Start) -> None:
    """Row 14: what another one took meanwhile is killed here, its result refused; what nobody took goes on."""
    gate = place.folder / "gate"
    async with proxied(place.store_url) as (proxy, url):
        job = {"default": place.job("until", gate)}
        broker = {"heartbeat": 2}
        first = start(place.config(job, broker=broker, store={"url": url}, worker={"concurrency": 2, "lease": 2}))
        await place.publish({"task_id": "t0"}, {"task_id": "t1"})
        await eventually(lambda: len(place.journal.started) == 2)
        handlers = set(first.handlers())
        await proxy.refuse()
        await first.said("part=lease")
        second = start(place.config(job, broker=broker, worker={"concurrency": 1, "lease": 2}))
        await eventually(lambda: len(place.journal.started) == 3, timeout=40)  # it has no room for the other one
        taken = place.journal.started[2]
        kept_on = {"t0": "t1", "t1": "t0"}[taken]
        assert set(first.handlers()) == handlers, "a handler was killed because the database was away"
        await proxy.listen()
        await eventually(lambda: len(first.handlers()) == 1, timeout=30)
        assert place.journal.ended == []
        Path(f"{gate}.{kept_on}").touch()
        await eventually(lambda: place.status(kept_on) == "success")
        await first.said(f"task success  task_id={kept_on}")
        gate.touch()
        await kept(place, first, second, tasks=2, overlapping=True)
    assert (place.row(taken)["attempt"], place.row(kept_on)["attempt"]) == (2, 1)
    assert [attempt["outcome"] for attempt in place.attempts(taken)] == ["lost", "success"]
    assert place.journal.started.count(kept_on) == 1
