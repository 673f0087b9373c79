"""Who owns a running task when its message is gone, comes again, or somebody steps in: hand-off, adoption, cancel."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Message
from gridsidecar.telemetry import Readiness
from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.proxy import proxied
from tests.support.waiting import eventually

# -- hand-off: the broker would take the message back before the task is done -----------------------------------------


async def test_a_task_longer_than_the_brokers_patience_is_handed_off_and_runs_once(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}, broker={"consumer_timeout": 4}))
    await place.publish({"task_id": "long"})
    await eventually(lambda: place.row("long").get("handed_off") == 1)
    await sidecar.said("task handed off")
    assert place.status("long") == "running"
    assert place.journal.ended == []
    gate.touch()
    await eventually(lambda: place.status("long") == "success")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0
    assert place.journal.started == ["long"]
    assert place.row("long")["attempt"] == 1


async def test_a_handed_off_task_comes_back_when_its_owner_dies(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, broker={"consumer_timeout": 2}, worker={"lease": 2})
    first = start(config)
    await place.publish({"task_id": "long"})
    await eventually(lambda: place.left() == 0 and place.row("long").get("handed_off") == 1)
    place.journal.note_killed(first.die())
    assert place.left() == 0, "only the database knows of it"
    gate.touch()
    second = start(config)
    await eventually(lambda: place.status("long") == "success", timeout=40)
    row = place.row("long")
    assert (row["attempt"], row["crashes"], row["retry_count"]) == (2, 1, 0)
    assert place.journal.overlaps() == []
    second.terminate()
    assert await second.ended() == 0
    assert place.left() == 0


async def test_a_handed_off_task_that_is_interrupted_goes_back_to_the_queue(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    config = place.config(
        {"default": place.job("until", gate)}, broker={"consumer_timeout": 2}, worker={"shutdown_grace": 0}
    )
    first = start(config)
    await place.publish({"task_id": "long"})
    await eventually(lambda: place.row("long").get("handed_off") == 1)
    await first.said("task handed off")
    first.terminate()
    assert await first.ended() == 0
    assert place.left() == 1
    assert (place.status("long"), place.row("long")["interruptions"]) == ("pending", 1)
    gate.touch()
    start(config)
    await eventually(lambda: place.status("long") == "success")


# -- adoption: the message comes again while its task runs ------------------------------------------------------------


async def test_a_cut_connection_costs_no_run(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    async with proxied(place.broker_url) as (proxy, url):
        config = place.config({"default": place.job("until", gate)}, broker={"url": url}, worker={"concurrency": 2})
        sidecar = start(config)
        await place.publish({"task_id": "t0"}, {"task_id": "t1"})
        await eventually(lambda: len(place.journal.started) == 2)
        for cut in (1, 2):
            proxy.cut()
            await eventually(
                lambda times=2 * cut: sidecar.text.count("the attempt goes on") == times,  # type: ignore[misc]
                timeout=20,
            )
        assert len(sidecar.handlers()) == 2
        gate.touch()
        await eventually(lambda: place.all_ended(2))
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 2}
    assert sorted(place.journal.started) == ["t0", "t1"]
    assert {row["attempt"] for row in place.rows().values()} == {1}
    assert place.left() == 0, "the adopted messages were not acked"


async def test_a_second_sidecar_lets_a_living_owner_finish(place: Place, start: Start) -> None:
    """The message comes again, to another sidecar: the owner lives, so its run stands."""
    gate = place.folder / "gate"
    async with proxied(place.broker_url) as (proxy, url):
        job = {"default": place.job("until", gate)}
        first = start(place.config(job, broker={"url": url}, worker={"lease": 2}))
        await place.publish({"task_id": "t"})
        await eventually(lambda: place.journal.started)
        second = start(place.config(job, worker={"lease": 2}))
        await second.ready()
        await proxy.refuse()
        await eventually(lambda: place.left() - place.waiting() == 1)  # Busy: a delayed message
        gate.touch()
        await eventually(lambda: place.status("t") == "success")
        await proxy.listen()
        await eventually(lambda: place.left() == 0, timeout=30)
        for sidecar in (first, second):
            sidecar.terminate()
            assert await sidecar.ended() == 0
    assert place.journal.started == ["t"]
    assert (place.row("t")["attempt"], place.row("t")["crashes"]) == (1, 0)
    assert urlsplit(url).port != urlsplit(place.broker_url).port


# -- somebody steps in ------------------------------------------------------------------------------------------------


async def test_a_running_task_is_cancelled(any_place: Place, start: Start) -> None:
    place = any_place
    never = place.folder / "never"
    config = place.config({"default": place.job("until", never)}, worker={"lease": 2}, retry={"max_retries": 3})
    sidecar = start(config)
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    assert await place.cancel("t") is Steered.ASKED
    await eventually(lambda: place.status("t") == "cancelled")
    assert [entry["outcome"] for entry in place.attempts("t")] == ["cancelled"]
    assert place.row("t")["error_type"] == "Cancelled"
    await eventually(lambda: sidecar.handlers() == [])
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


async def test_a_waiting_task_is_cancelled_and_never_starts(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "t", "defer_by": 1})
    await eventually(lambda: place.status("t") == "pending")
    assert await place.cancel("t") is Steered.CANCELLED
    await eventually(lambda: place.left() == 0)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.status("t") == "cancelled"
    assert place.journal.started == []


async def test_a_failed_task_is_retried_by_hand(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(place.config({"default": place.job("flaky", 3)}, retry={"max_retries": 1, "delay": 0}))
    await place.publish({"task_id": "t", "data": {"kept": 1}})
    await eventually(lambda: place.status("t") == "failed")
    assert place.row("t")["error_type"] == "RetryExhausted"
    await place.publish({"task_id": "t"})  # a duplicate does not do it
    wake_up = await place.retry("t")
    assert wake_up is not None
    assert json.loads(wake_up.body) == {"task_id": "t", "data": {"kept": 1}}
    await send(place, wake_up)
    await eventually(lambda: place.status("t") == "success")
    row = place.row("t")
    assert (row["attempt"], row["retry_count"], row["error_type"]) == (3, 0, None)
    assert place.journal.started == ["t"] * 3
    assert await place.retry("t") is None, "a success is no failure"
    assert await place.cancel("t") is Steered.SUCCESS
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


async def send(place: Place, message: Message) -> None:
    broker = make_broker(BrokerSettings(url=place.broker_url, queue=place.queue), Readiness())
    try:
        await broker.open()
        await broker.publish(message)
    finally:
        await broker.close()
