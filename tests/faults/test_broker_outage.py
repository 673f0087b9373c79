"""RabbitMQ restarts, dies or cannot be heard: no handler is killed, no task fails, and all goes on by itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.faults.promises import assert_untouched, kept, not_ready, ready_in_the_end
from tests.support.place import Place
from tests.support.proxy import Direction, proxied
from tests.support.servers import RabbitMQ
from tests.support.waiting import eventually


@pytest.mark.timeout(120)
async def test_it_refuses_us_for_a_while(on_own_rabbitmq: Place, own_rabbitmq: RabbitMQ, start: Start) -> None:
    """Row 5: what a node that comes up, or an administrator's slip, looks like from here."""
    place, gate, failing = on_own_rabbitmq, on_own_rabbitmq.folder / "gate", on_own_rabbitmq.folder / "failing"
    fail = place.handler("sh", "-c", f"until [ -e {failing} ]; do sleep 0.05; done; exit 1")
    sidecar = start(
        place.config(
            {"default": place.job("until", gate), "fail": fail},
            broker={"heartbeat": 1},
            worker={"concurrency": 2},
            retry={"max_retries": 1, "delay": 1},
        )
    )
    await place.publish({"task_id": "long"}, {"task_id": "fails", "task_type": "fail"})
    await eventually(lambda: place.statuses() == {"running": 2})
    own_rabbitmq.control("clear_permissions", "guest")
    own_rabbitmq.control("close_all_connections", "as if it had restarted")
    failing.touch()
    try:
        await eventually(lambda: not_ready(sidecar, "broker", "access to vhost '/' refused"))
        await eventually(lambda: not_ready(sidecar, "publishing", "access to vhost '/' refused"), timeout=40)
        assert sidecar.exit_code is None
        assert len(sidecar.handlers()) == 1
    finally:
        own_rabbitmq.control("set_permissions", "guest", ".*", ".*", ".*")
    await eventually(lambda: ready_in_the_end(sidecar), timeout=40)
    gate.touch()
    await kept(place, sidecar, tasks=2)
    assert place.statuses() == {"success": 1, "failed": 1}


def is_on_its_disk(server: RabbitMQ, queue: str) -> bool:
    """RabbitMQ 4.3 writes the name of a new quorum queue down after a second or two. One that is killed before that
    makes the queue anew, empty, whatever it had confirmed."""
    return any(queue.encode() in file.read_bytes() for file in server.folder.glob("data/*/quorum/*/names.dets"))


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.timeout(180)
async def test_it_restarts_under_load(on_own_rabbitmq: Place, own_rabbitmq: RabbitMQ, start: Start, how: str) -> None:
    """Row 5: what was acked on the lost channel is done, what was not comes again; both once."""
    place = on_own_rabbitmq
    sidecars = [
        start(place.config({"default": place.job("for", 0.1)}, worker={"concurrency": 3, "lease": 10}))
        for _ in range(2)
    ]
    await asyncio.gather(*(sidecar.ready() for sidecar in sidecars))
    if place.queue_type == "quorum":
        with place.channel() as channel:
            place.declare(channel)
        await eventually(lambda: is_on_its_disk(own_rabbitmq, place.queue))
    await place.publish(*({"task_id": f"t{number}"} for number in range(60)))
    await eventually(lambda: len(place.journal.ended) > 20)
    before = [len(sidecar.handlers()) for sidecar in sidecars]
    getattr(own_rabbitmq, how)()
    await asyncio.gather(*(sidecar.said("part=broker") for sidecar in sidecars))
    assert sum(before) > 0
    own_rabbitmq.start()
    back = time.monotonic()
    await asyncio.gather(*(eventually(lambda s=s: ready_in_the_end(s), timeout=30) for s in sidecars))  # type: ignore[misc]
    assert time.monotonic() - back < 30
    await kept(place, *sidecars, tasks=60)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_it_is_cut_off_while_acks_are_on_their_way(place: Place, start: Start) -> None:
    """Row 6: bytes vanish both ways in the middle of the load; the other sidecar gets what this one held."""
    async with proxied(place.broker_url) as (proxy, url):
        job = {"default": place.job("for", 0.05)}
        worker = {"concurrency": 4, "lease": 5}
        cut_off = start(place.config(job, broker={"url": url, "heartbeat": 1}, worker=worker))
        other = start(place.config(job, broker={"heartbeat": 1}, worker=worker))
        await asyncio.gather(cut_off.ready(), other.ready())
        await place.publish(*({"task_id": f"t{number}"} for number in range(100)))
        await eventually(lambda: len(place.journal.ended) > 30)
        proxy.swallow()
        await cut_off.said("part=broker")
        proxy.heal()
        await eventually(lambda: ready_in_the_end(cut_off), timeout=30)
        await kept(place, cut_off, other, tasks=100)
    assert_untouched(place)


@pytest.mark.parametrize("direction", ["upstream", "downstream"])
@pytest.mark.timeout(120)
async def test_one_direction_falls_silent(place: Place, start: Start, direction: Direction) -> None:
    """Row 7: one side notices by its heartbeats within 3 x (1 + 1) s; the attempt goes on and adopts its message."""
    gate = place.folder / "gate"
    async with proxied(place.broker_url) as (proxy, url):
        jobs = {"default": place.job("until", gate), "flaky": place.job("flaky", 2)}
        sidecar = start(
            place.config(
                jobs,
                broker={"url": url, "heartbeat": 1},
                worker={"concurrency": 2},
                retry={"max_retries": 2, "delay": 1},
            )
        )
        await place.publish({"task_id": "long"}, {"task_id": "flaky", "task_type": "flaky"})
        await eventually(lambda: place.status("flaky") == "success")
        await eventually(lambda: "long" in place.journal.started)
        proxy.swallow(direction)
        await sidecar.said("part=broker")  # with the usual heartbeat it takes minutes
        assert len(sidecar.handlers()) == 1
        proxy.heal()
        await sidecar.said("the attempt goes on")
        await eventually(lambda: ready_in_the_end(sidecar))  # some look again only after a while
        await place.publish({"task_id": "again", "task_type": "flaky"})
        Path(gate).touch()
        await kept(place, sidecar, tasks=3, gap=1)
        assert place.journal.started.count("long") == 1
        assert not_ready(sidecar, "broker") >= 1


@pytest.mark.timeout(120)
async def test_its_half_closed_connections_are_made_anew(place: Place, start: Start) -> None:
    """Row 7: an end of input without an end of the connection."""
    async with proxied(place.broker_url) as (proxy, url):
        sidecar = start(place.config({"default": place.job("done")}, broker={"url": url, "heartbeat": 1}))
        await place.publish({"task_id": "t0"})
        await eventually(lambda: place.status("t0") == "success")
        for number, direction in enumerate(("upstream", "downstream"), start=1):
            proxy.half_close(direction)  # type: ignore[arg-type]
            await place.publish({"task_id": f"t{number}"})
            await eventually(lambda task=f"t{number}": place.status(task) == "success")  # type: ignore[misc]
        await eventually(lambda: ready_in_the_end(sidecar))
        await kept(place, sidecar, tasks=3)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_it_is_slow(place: Place, start: Start) -> None:
    """Row 7: a long way costs time and nothing else."""
    async with proxied(place.broker_url) as (proxy, url):
        proxy.delay = 0.1
        config = place.config(
            {"default": place.job("flaky", 2)},
            broker={"url": url, "heartbeat": 2},
            worker={"concurrency": 4},
            retry={"max_retries": 1, "delay": 1},
        )
        sidecar = start(config)
        await place.publish(*({"task_id": f"t{number}"} for number in range(8)))
        await kept(place, sidecar, tasks=8, gap=1)
        assert place.statuses() == {"success": 8}
        assert not_ready(sidecar, "broker") == 0
