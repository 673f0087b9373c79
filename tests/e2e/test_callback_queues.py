"""A task may name the queue of its callback, but neither ours nor one that the operator keeps for others, and nobody
takes a callback for a task."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.services import private_rabbitmq
from tests.support.waiting import eventually


def config(place: Place, broker: dict[str, Any] | None = None, **callbacks: Any) -> dict[str, Any]:
    callbacks = {"queue": f"{place.queue}.callbacks", **callbacks}
    return place.config({"default": place.job("done")}, callbacks=callbacks, broker=broker or {})


def asking(task_id: str, queue: str) -> dict[str, Any]:
    return {"task_id": task_id, "callback_type": "rabbitmq", "callback_data": {"queue_name": queue}}


def the_callback(place: Place, task_id: str) -> dict[str, Any]:
    rows = place.callbacks(task_id)
    return rows[0] if rows else {}


async def given_up(place: Place, task_id: str) -> str:
    """The reason, as soon as this callback is given up."""
    await eventually(lambda: the_callback(place, task_id).get("dead") == 1)
    row = the_callback(place, task_id)
    assert (row["failures"], row["next_try_at"]) == (1, None)
    return str(row["last_error"])


@pytest.mark.parametrize("ending", ["", ".dead", ".graves", ".delay.60", ".delay.7"])
async def test_a_queue_of_ours_takes_no_callback(any_place: Place, start: Start, ending: str) -> None:
    place = any_place
    target = place.queue + ending
    sidecar = start(config(place, {"dead_letter_queue": f"{place.queue}.graves"}))
    await place.publish(asking("t", target))
    assert f"{target!r} is a queue of this sidecar" in await given_up(place, "t")
    assert place.status("t") == "success"
    await eventually(lambda: place.left() == 0)
    assert place.count(target) == 0
    await sidecar.said("callback given up")


@pytest.mark.parametrize("name", ["amq.rabbitmq.reply-to.X", "amq.rabbitmq.reply-to", "amq.gen-1", "x" * 256, "a\n"])
async def test_a_queue_that_cannot_be_is_not_tried_for_ever(any_place: Place, start: Start, name: str) -> None:
    place = any_place
    start(config(place))
    await place.publish(asking("t", name), {"task_id": "good", "callback_type": "rabbitmq"})
    assert name[:40].strip() in await given_up(place, "t")
    await eventually(lambda: the_callback(place, "good").get("delivered_at"))


@pytest.mark.parametrize("dead_letter_queue", [None, "graves"])
async def test_a_callback_is_no_task_of_another_sidecar(
    any_place: Place, start: Start, dead_letter_queue: str | None
) -> None:
    """The namesake of the task, in the other's own database, is still free, and runs when it is really sent."""
    place = any_place
    (place.folder / "other").mkdir()
    other = replace(
        place,
        queue=f"{place.queue}.other",
        folder=place.folder / "other",
        store_url=place.store_url if not place.embedded else f"sqlite:///{place.folder}/other.db",
    )
    graves = dead_letter_queue and f"{other.queue}.{dead_letter_queue}"
    other_store = {} if place.embedded else {"table_name": "others"}  # one database is enough under another name
    start(config(place))
    start(
        other.config(
            {"default": other.job("done")},
            broker={} if graves is None else {"dead_letter_queue": graves},
            store=other_store,
        )
    )
    await place.publish(asking("t", other.queue))
    await eventually(lambda: the_callback(place, "t").get("delivered_at"))
    where = graves or f"{other.queue}.dead"
    await eventually(lambda: place.count(where) == 1)
    ((body, properties),) = place.take(where)
    assert json.loads(body)["task_id"] == "t"
    assert "callback" in properties["headers"]["x-gridsidecar-reason"]
    await other.publish({"task_id": "t"})
    await eventually(lambda: _statuses(other, other_store.get("table_name", "tasks")) == ["success"])


def _statuses(place: Place, table: str) -> list[str]:
    return [row["status"] for row in place.fetch(f"select status from grid_async_task_{table} where id = 't'")]


async def test_a_callback_that_comes_from_a_delay_queue_or_a_grave_is_no_task(place: Place, start: Start) -> None:
    """Whichever way it takes: its mark travels with it."""
    other = replace(place, queue=f"{place.queue}.other")
    with place.channel() as channel:
        channel.queue_declare(
            f"{other.queue}.delay.1",
            durable=True,
            arguments={
                "x-message-ttl": 1000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": other.queue,
            },
        )
    start(config(place))
    sidecar = start(other.config({"default": other.job("done")}, store={"table_name": "others"}))
    await sidecar.ready()  # its queue must be there when the wait is over
    await place.publish(asking("t", f"{other.queue}.delay.1"))
    await eventually(lambda: place.count(f"{other.queue}.dead") == 1)
    ((body, properties),) = place.take(f"{other.queue}.dead")
    assert properties["headers"]["x-gridsidecar-callback"] == 1
    assert _statuses(place, "others") == []
    with place.channel() as channel:  # somebody replays the letter with another tool
        import pika

        channel.basic_publish("", other.queue, body, pika.BasicProperties(headers=properties["headers"]))
    await eventually(lambda: place.count(f"{other.queue}.dead") == 1)
    assert _statuses(place, "others") == []


async def test_only_the_queues_that_the_operator_names(any_place: Place, start: Start) -> None:
    place = any_place
    start(config(place, queues=[f"{place.queue}.answers.*", "exact"]))
    answers = f"{place.queue}.answers.eu"
    await place.publish(asking("good", answers), asking("bad", f"{place.queue}.other"), asking("near", "exactly"))
    await place.publish({"task_id": "default", "callback_type": "rabbitmq"})
    for task_id in ("bad", "near"):
        assert "callbacks.queues" in await given_up(place, task_id)
    await eventually(lambda: place.count(answers) == 1)
    await eventually(lambda: place.count(f"{place.queue}.callbacks") == 1)
    assert place.count(f"{place.queue}.other") == 0


async def test_a_sidecar_that_makes_no_queues_finds_those_that_are_there(place: Place, start: Start) -> None:
    there, missing = f"{place.queue}.there", f"{place.queue}.missing"
    with place.channel() as channel:
        channel.queue_declare(there, durable=True)
    start(config(place, declare=False, max_retries=0))
    await place.publish(asking("there", there), *(asking(f"m{n}", f"{missing}.{n}") for n in range(20)))
    await eventually(lambda: place.count(there) == 1)
    for number in range(20):
        reason = await given_up(place, f"m{number}")
        assert f"{missing}.{number}" in reason
        assert "callbacks.declare" in reason
    with place.channel() as channel, suppress(Exception):
        channel.queue_declare(f"{missing}.0", passive=True)
        raise AssertionError("it was made")


@pytest.mark.timeout(120)
async def test_what_the_broker_forbids_is_a_failure_of_that_target_alone(
    mysql_url: str, tmp_path: Any, start: Start
) -> None:
    """A right that is missing, and a limit on the number of queues, are no outage; a login that is refused is one."""
    with private_rabbitmq() as server:
        server.control("add_user", "limited", "secret")
        server.control("set_permissions", "limited", "^(work|ours).*", ".*", ".*")
        place = Place(server.url, mysql_url, "work", tmp_path)
        limited = place.config(
            {"default": place.job("done")},
            broker={"url": server.url.replace("guest:guest", "limited:secret")},
            callbacks={"queue": "ours", "max_retries": 0},
        )
        start(limited)
        await place.publish(asking("forbidden", "theirs"), asking("ok", "ours.1"))
        assert "theirs" in await given_up(place, "forbidden")
        await eventually(lambda: the_callback(place, "ok").get("delivered_at"))
        server.control("set_vhost_limits", '{"max-queues": 1}')
        await place.publish(asking("one too many", "ours.2"), asking("old", "ours.1"))
        assert "ours.2" in await given_up(place, "one too many")
        await eventually(lambda: the_callback(place, "old").get("delivered_at"))
