"""Whoever asks for a callback hears of the task's end, whatever the receiver and the sidecar go through."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually
from tests.support.web import Connection, Request, endless_body, in_turn, reply, silence, slow_headers, web_server

MEBIBYTE = 1024 * 1024
OVERDUE = "2001-01-01 00:00:00.000"


def config(place: Place, handler: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A sidecar that may call back to this machine."""
    callbacks = {"allow": ["127.0.0.1"], "timeout": 5, **sections.pop("callbacks", {})}
    return place.config({"default": handler or place.job("done")}, callbacks=callbacks, **sections)


def the_callback(place: Place, task_id: str = "t") -> dict[str, Any]:
    (row,) = place.callbacks(task_id)
    return row


def delivered(place: Place, task_id: str = "t") -> bool:
    return any(row["delivered_at"] for row in place.callbacks(task_id))


def failures(place: Place, task_id: str = "t") -> int:
    return sum(row["failures"] for row in place.callbacks(task_id))


def dead(place: Place, task_id: str = "t") -> bool:
    rows = place.callbacks(task_id)
    return bool(rows) and rows[0]["dead"] == 1


def make_due(place: Place) -> None:
    """As if the time until the next try were over."""
    table = "grid_async_task_tasks_callbacks"
    place.execute(f"update {table} set next_try_at = ? where next_try_at is not null", OVERDUE)


@pytest.mark.parametrize("callback_type", ["http", "rabbitmq"])
async def test_a_url_that_is_too_long_costs_its_callback_visibly(
    place: Place, start: Start, callback_type: str
) -> None:
    async with web_server() as web:
        sidecar = start(config(place))
        url = f"{web.url}/{'x' * 500}"
        task = {"task_id": "t", "callback_url": url, "callback_type": callback_type, "priority": 10}
        await place.publish(task)
        await eventually(lambda: place.status("t") == "success")
        if callback_type == "http":
            await eventually(lambda: dead(place))
            assert "more than 500 characters" in the_callback(place)["last_error"]
            assert place.row("t")["callback_url"].startswith(f"too-long:{web.url}/xxx")
        else:
            await eventually(lambda: delivered(place))
        assert sidecar.text.count("not taken as it is") == 2
        assert place.row("t")["priority"] == 9
        assert web.requests == []


# -- by HTTP ----------------------------------------------------------------------------------------------------------


async def test_a_success_is_told_with_a_signature(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as web:
        start(config(place, callbacks={"signing_secret": "whsec_" + base64.b64encode(b"k" * 32).decode()}))
        await place.publish({"task_id": "t", "callback_url": f"{web.url}/done?x=1", "callback_data": {"order": 7}})
        (request,) = await web.wait_for(1)
        assert (request.method, request.path) == ("POST", "/done?x=1")
        assert request.json["callback_data"] == {"order": 7}
        await eventually(lambda: delivered(place))
    row = the_callback(place)
    assert (row["dead"], row["failures"], row["next_try_at"], row["last_error"]) == (0, 0, None, None)
    moment = request.headers["webhook-timestamp"]
    assert abs(int(moment) - time.time()) < 60
    assert request.headers["webhook-id"] == row["id"]
    signed = f"{row['id']}.{moment}.".encode() + request.body
    signature = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
    assert request.headers["webhook-signature"] == f"v1,{signature}"


async def test_who_had_no_room_for_a_thread_leaves_as_always(place: Place, start: Start) -> None:
    farewell = place.folder / "farewell"
    hooks = {"on_shutdown": ["touch", str(farewell)]}
    sidecar = start(config(place, worker={"idle_timeout": 2}, hooks=hooks))
    await sidecar.ready()
    pages = int(Path(f"/proc/{sidecar.pid}/statm").read_text().split()[0])
    enough = pages * resource.getpagesize() + 4 * MEBIBYTE  # less than the stack of a thread
    resource.prlimit(sidecar.pid, resource.RLIMIT_AS, (enough, resource.RLIM_INFINITY))
    await place.publish({"task_id": "t", "callback_url": "http://127.0.0.1:9/"})
    await eventually(lambda: failures(place, "t"))
    resource.prlimit(sidecar.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await sidecar.ended() == 0
    assert farewell.exists()
    assert "127.0.0.1:9 was not contacted: can't start new thread" in the_callback(place)["last_error"]


async def test_a_receiver_that_fails_is_asked_again_with_the_same_id(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as web:
        web.answer = in_turn(reply(500, body=b"try later"), reply(200))
        start(config(place))
        await place.publish({"task_id": "t", "callback_url": web.url})
        await web.wait_for(1)
        asked = time.monotonic()
        await eventually(lambda: failures(place) == 1)
        assert "500: try later" in the_callback(place)["last_error"]
        first, second = await web.wait_for(2)
        assert time.monotonic() - asked > 4
        await eventually(lambda: delivered(place))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert place.status("t") == "success"


async def test_a_receiver_that_names_a_time_is_not_asked_earlier(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    async with web_server() as web:
        web.answer = in_turn(reply(429, {"Retry-After": "9"}), reply(204))
        start(config(place))
        await place.publish({"task_id": "t", "callback_url": web.url})
        await web.wait_for(1)
        asked = time.monotonic()
        await web.wait_for(2)
        assert time.monotonic() - asked > 8.5


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(410), "410 Gone"),
        (reply(302, {"Location": "http://169.254.169.254/latest/meta-data/"}), "a redirect, which is not followed"),
        (reply(404, body=b"\x1b[31mnobody here"), "404"),
        (slow_headers(0.5), "5"),
        (silence(), "5"),
    ],
    ids=["gone", "redirect", "not found", "slow headers", "silence"],
)
async def test_a_callback_that_cannot_be_delivered_stays_visible(
    embedded_place: Place, start: Start, answer: Any, told: str
) -> None:
    place = embedded_place
    async with web_server() as web:
        web.answer = answer
        start(config(place, callbacks={"max_retries": 0, "timeout": 1.5}))
        await place.publish({"task_id": "t", "callback_url": web.url})
        await eventually(lambda: dead(place))
        row = the_callback(place)
        assert told in row["last_error"]
        assert (row["failures"], row["next_try_at"], row["delivered_at"]) == (1, None, None)
        assert len(web.requests) == 1
        async with place.opened() as store:
            assert await store.outbox.replay("t") == 1
        web.answer = reply()
        await eventually(lambda: delivered(place), timeout=40)
        assert len({request.headers["webhook-id"] for request in web.requests}) == 1


async def test_a_gone_receiver_is_not_asked_again(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    async with web_server() as web:
        web.answer = reply(410)
        start(config(place, callbacks={"max_retries": 3}))
        await place.publish({"task_id": "t", "callback_url": web.url})
        await eventually(lambda: dead(place))
        assert len(web.requests) == 1


async def test_an_endless_answer_counts_as_delivered(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    async with web_server() as web:
        web.answer = endless_body()
        sidecar = start(config(place), anew=True)
        await place.publish({"task_id": "t", "callback_url": web.url})
        await eventually(lambda: delivered(place))
        await eventually(lambda: web.open == 0)
        assert sidecar.resident_bytes() < 120 * 1024 * 1024


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("no url at all", "must start with http:// or https://"),
        ("ftp://example.com/x", "http"),
        ("http://", "http"),
        ("http://][@", "cannot be read"),
        ("http://127.0.0.1:9/x", "callbacks.allow"),
        ("http://localhost:9/x", "callbacks.allow"),
        ("http://2130706433:9/x", "callbacks.allow"),
        ("http://[::ffff:127.0.0.1]:9/", "callbacks.allow"),
        ("http://169.254.169.254/latest/meta-data/", "callbacks.allow"),
        ("http://100.100.100.200/latest/meta-data/", "callbacks.allow"),
        ("http://0.0.0.0:9/", "callbacks.allow"),
    ],
)
async def test_a_target_that_may_not_be_called_costs_no_task(
    embedded_place: Place, start: Start, url: str, told: str
) -> None:
    place = embedded_place
    start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "t", "callback_url": url})
    await eventually(lambda: dead(place))
    assert place.status("t") == "success"
    assert told in the_callback(place)["last_error"]
    assert the_callback(place)["tries"] == 1


async def test_a_hanging_receiver_holds_up_no_task(place: Place, start: Start) -> None:
    async with web_server() as web:
        web.answer = silence()
        sidecar = start(config(place, worker={"concurrency": 4}, callbacks={"timeout": 60}))
        await sidecar.ready()
        tasks = [{"task_id": f"t{number}", "callback_url": web.url} for number in range(60)]
        await place.publish(*tasks)
        await eventually(lambda: place.all_ended(60), timeout=50)
        await web.wait_for(8)
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert all(row["delivered_at"] is None for row in place.callbacks())
    assert len(place.callbacks()) == 60


async def test_a_hanging_receiver_keeps_no_other_waiting(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as deaf, web_server() as web:
        deaf.answer = silence()
        start(config(place, worker={"concurrency": 4}, callbacks={"timeout": 60, "queue": f"{place.queue}.callbacks"}))
        await place.publish(*({"task_id": f"t{number}", "callback_url": deaf.url} for number in range(100)))
        await deaf.wait_for(8)
        await place.publish(
            {"task_id": "healthy", "callback_url": web.url}, {"task_id": "queue", "callback_type": "rabbitmq"}
        )
        await web.wait_for(1, timeout=20)
        await eventually(lambda: delivered(place, "queue"))
        assert len(deaf.requests) == 8


@pytest.mark.timeout(180)
async def test_a_receiver_that_is_down_for_long_gets_everything_by_a_replay(place: Place, start: Start) -> None:
    async with web_server() as web:
        await web.close()
        start(config(place, worker={"concurrency": 2}, callbacks={"max_retries": 2}))
        await place.publish(*({"task_id": f"t{number}", "callback_url": web.url} for number in range(20)))
        await eventually(lambda: place.all_ended(20))
        for _ in range(3):  # the time between the tries, shortened
            await eventually(lambda: all(row["tries"] for row in place.callbacks()))
            make_due(place)
            await asyncio.sleep(0.2)
        await eventually(lambda: _hurried(place), timeout=90)
        await web.listen()
        async with place.opened() as store:
            assert await store.outbox.replay_dead() == 20
        await eventually(lambda: all(row["delivered_at"] for row in place.callbacks()), timeout=60)
        assert sorted(request.json["task_id"] for request in web.requests) == sorted(f"t{n}" for n in range(20))


def _hurried(place: Place) -> bool:
    """Whether all are given up; if not, nobody has to wait for the next try."""
    if all(row["dead"] for row in place.callbacks()):
        return True
    make_due(place)
    return False


# -- by RabbitMQ ------------------------------------------------------------------------------------------------------


async def test_a_callback_by_queue(any_place: Place, start: Start) -> None:
    place = any_place
    answers, default = f"{place.queue}.answers", f"{place.queue}.callbacks"
    start(config(place, callbacks={"queue": default}))
    named = {"callback_type": "rabbitmq", "callback_data": {"queue_name": answers, "order": 7}}
    await place.publish(
        {"task_id": "named", **named},
        {"task_id": "plain", "callback_type": "rabbitmq"},
        {"task_id": "odd", "callback_type": "rabbitmq", "callback_data": {"queue_name": 7}},
    )
    await eventually(lambda: place.count(answers) == 1)
    await eventually(lambda: place.count(default) == 2)
    ((body, properties),) = place.take(answers)
    assert json.loads(body)["callback_data"] == {"queue_name": answers, "order": 7}
    assert properties["message_id"] == the_callback(place, "named")["id"]
    assert {json.loads(body)["task_id"] for body, _ in place.take(default)} == {"plain", "odd"}


async def test_a_callback_queue_that_exists_is_used_as_it_is(place: Place, start: Start) -> None:
    answers = f"{place.queue}.answers"
    with place.channel() as channel:
        channel.queue_declare(answers, durable=False, arguments={"x-max-length": 10, "x-message-ttl": 600_000})
    start(config(place))
    await place.publish({"task_id": "t", "callback_type": "rabbitmq", "callback_data": {"queue_name": answers}})
    await eventually(lambda: place.count(answers) == 1)
    await eventually(lambda: delivered(place))


async def test_a_queue_that_takes_nothing_makes_a_dead_callback(place: Place, start: Start) -> None:
    answers = f"{place.queue}.answers"
    with place.channel() as channel:
        channel.queue_declare(answers, durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    start(config(place, callbacks={"max_retries": 0}))
    await place.publish(
        {"task_id": "full", "callback_type": "rabbitmq", "callback_data": {"queue_name": answers}},
        {"task_id": "reserved", "callback_type": "rabbitmq", "callback_data": {"queue_name": "amq.mine"}},
        {"task_id": "long", "callback_type": "rabbitmq", "callback_data": {"queue_name": "x" * 300}},
    )
    for task_id in ("full", "reserved", "long"):
        await eventually(lambda task_id=task_id: dead(place, task_id))
        assert place.status(task_id) == "success"


# -- once, whatever dies ----------------------------------------------------------------------------------------------


async def test_a_sidecar_that_dies_between_send_and_note_sends_the_same_again(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as web:
        first = start(config(place))

        async def deadly(request: Request, connection: Connection) -> None:
            first.die()
            await connection.wait_gone()

        web.answer = in_turn(deadly, reply())
        await place.publish({"task_id": "t", "callback_url": web.url})
        await web.wait_for(1)
        await eventually(lambda: first.exit_code is not None)
        assert the_callback(place)["delivered_at"] is None
        make_due(place)  # its lease on the callback is over
        start(config(place))
        await eventually(lambda: delivered(place))
        assert len({request.headers["webhook-id"] for request in web.requests}) == 1
        assert len({request.body for request in web.requests}) == 1
        assert len(web.requests) == 2
        assert the_callback(place)["failures"] == 0


@pytest.mark.timeout(180)
async def test_several_sidecars_tell_each_end_once(place: Place, start: Start) -> None:
    async with web_server() as web:
        sidecars = [start(config(place, worker={"concurrency": 4})) for _ in range(3)]
        await asyncio.gather(*(sidecar.ready() for sidecar in sidecars))
        await place.publish(*({"task_id": f"t{number}", "callback_url": web.url} for number in range(200)))
        await eventually(lambda: sum(row["delivered_at"] is not None for row in place.callbacks()) == 200, timeout=90)
        assert sorted(request.json["task_id"] for request in web.requests) == sorted(f"t{n}" for n in range(200))


async def test_a_burst_waits_for_what_is_due_and_leaves_what_is_not(any_place: Place, start: Start) -> None:
    place = any_place
    async with web_server() as web:
        web.answer = in_turn(silence(), reply())
        await place.publish({"task_id": "slow", "callback_url": web.url})
        sidecar = start(config(place, callbacks={"timeout": 2}), "--burst", "--burst-check-interval", "0.1")
        assert await sidecar.ended(timeout=30) == 0
        assert len(web.requests) == 1
        row = the_callback(place, "slow")
        assert (row["failures"], row["delivered_at"], row["dead"]) == (1, None, 0)
        make_due(place)
        sidecar = start(config(place), "--burst", "--burst-check-interval", "0.1")
        assert await sidecar.ended(timeout=30) == 0
        assert the_callback(place, "slow")["delivered_at"] is not None


async def test_a_cancelled_task_is_told_by_a_sidecar_that_had_no_part_in_it(place: Place, start: Start) -> None:
    async with web_server() as web:
        sidecar = start(config(place))
        await sidecar.ready()
        await place.publish({"task_id": "t", "defer_by": 600, "callback_url": web.url})
        await eventually(lambda: place.status("t") == "pending")
        await place.cancel("t")
        (request,) = await web.wait_for(1, timeout=40)
    assert request.json["status"] == "cancelled"
    assert request.json["result"] == {"error": "cancelled on request", "error_type": "Cancelled"}


async def test_a_refused_task_is_told(place: Place, start: Start) -> None:
    async with web_server() as web:
        start(place.config({"only": place.job("done")}, callbacks={"allow": ["127.0.0.1"]}))
        await place.publish({"task_id": "t", "task_type": "other", "callback_url": web.url})
        (request,) = await web.wait_for(1)
    assert (request.json["status"], request.json["result"]["error_type"]) == ("failed", "ValidationError")
