"""`broker.dead_letter_failed`: what failed for good is with the dead letters, whatever dies, and can be retried."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.cli import Finished, gridsidecar
from tests.support.place import Place
from tests.support.services import private_rabbitmq
from tests.support.waiting import eventually


def config(place: Place, handler: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A sidecar whose handler fails, unless told otherwise."""
    broker = {"dead_letter_failed": True, **sections.pop("broker", {})}
    made = place.config({"default": handler or failing(place)}, broker=broker, **sections)
    (place.folder / "config.yaml").write_text(json.dumps(made))
    return made


def failing(place: Place) -> dict[str, Any]:
    return place.handler("sh", "-c", "echo 'disk full' >&2; exit 3")


def dead(place: Place, *arguments: str) -> Finished:
    return gridsidecar(place.folder, "dead", *arguments)


def listed(place: Place) -> list[dict[str, Any]]:
    done = dead(place, "list", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def letters(place: Place) -> list[dict[str, Any]]:
    return [row for row in place.callbacks() if row["kind"] == "letter"]


def all_sent(place: Place, count: int) -> bool:
    rows = letters(place)
    return len(rows) == count and all(row["delivered_at"] for row in rows)


async def test_a_task_that_failed_for_good_leaves_its_message(any_place: Place, start: Start) -> None:
    place = any_place
    body = b'{"task_id": "t", "data": {"n": 1},  "max_retry_count": 1}'
    start(config(place, retry={"delay": 0}))
    await place.publish_bodies(body, message_id="m-1", correlation_id="c-1", headers={"tenant": "blue"})
    await eventually(lambda: all_sent(place, 1))
    (letter,) = listed(place)
    assert (letter["task_id"], letter["message_id"], letter["attempts"]) == ("t", "m-1", 2)
    assert letter["reason"].startswith("task-failed: RetryExhausted (HandlerExit): ")
    assert letter["queue"] == place.queue
    whole = json.loads(dead(place, "show", "t", "--json").stdout)
    assert whole["body"].encode() == body
    assert (whole["properties"]["correlation_id"], whole["properties"]["headers"]) == ("c-1", {"tenant": "blue"})
    shown = dead(place, "show", "t").stdout
    assert "RetryExhausted" in shown
    assert "attempts" in shown


async def test_a_replay_retries_and_a_second_failure_is_a_second_letter(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(config(place))
    await place.publish({"task_id": "t"})
    await eventually(lambda: all_sent(place, 1))
    done = dead(place, "replay", "t")
    assert (done.returncode, done.stdout) == (0, "t\n"), done.stderr
    await eventually(lambda: all_sent(place, 2))
    assert [letter["attempts"] for letter in listed(place)] == [2]
    assert place.row("t")["rerun"] == 1
    sidecar.terminate()
    assert await sidecar.ended() == 0
    start(config(place, place.job("done")))
    assert dead(place, "replay", "t").returncode == 0
    await eventually(lambda: place.status("t") == "success")
    assert listed(place) == []


async def test_a_quorum_queue_and_its_priorities_make_no_difference(
    amqp_url: str, mysql_url: str, queue: str, tmp_path: Path, start: Start
) -> None:
    place = Place(amqp_url, mysql_url, queue, tmp_path, queue_type="quorum")
    sidecar = start(config(place))
    await place.publish({"task_id": "t"}, priority=3)
    await eventually(lambda: all_sent(place, 1))
    sidecar.terminate()
    await sidecar.ended()
    start(config(place, place.job("done")))
    assert dead(place, "replay", "--all").returncode == 0
    await eventually(lambda: place.status("t") == "success")
    await eventually(lambda: place.left() == 0)
    assert listed(place) == []


@pytest.mark.parametrize("point", ["committed:kill", "callback_claimed:kill"])
async def test_one_that_dies_before_it_is_sent_loses_nothing(any_place: Place, start: Start, point: str) -> None:
    place = any_place
    worker = {"lease": 2}
    dying = start(config(place, worker=worker), failpoints=point)
    await place.publish({"task_id": "t"})
    await dying.ended()
    assert place.status("t") == "failed"
    assert listed(place) == []
    make_due(place)
    start(config(place, worker=worker))
    await eventually(lambda: all_sent(place, 1), timeout=30)
    assert [letter["task_id"] for letter in listed(place)] == ["t"]
    assert len(place.attempts("t")) == 1


async def test_one_that_dies_behind_it_sends_it_twice_and_it_is_replayed_once(any_place: Place, start: Start) -> None:
    place = any_place
    dying = start(config(place), failpoints="callback_sent:kill")
    await place.publish({"task_id": "t"})
    await dying.ended()
    make_due(place)
    sidecar = start(config(place))
    await eventually(lambda: all_sent(place, 1), timeout=30)
    sidecar.terminate()
    await sidecar.ended()
    assert [letter["task_id"] for letter in listed(place)] == ["t", "t"]
    done = dead(place, "replay", "--all")
    assert (done.returncode, done.stdout, done.stderr) == (0, "t\n", "1 replayed, 1 more of the same tasks stay\n")
    start(config(place, place.job("done")))
    await eventually(lambda: place.status("t") == "success")
    assert [letter["task_id"] for letter in listed(place)] == ["t"]
    assert "its task has not failed, it is success" in dead(place, "replay", "t").stderr


@pytest.mark.timeout(180)
async def test_a_broker_that_is_away_at_the_end_gets_it_later(mysql_url: str, tmp_path: Path, start: Start) -> None:
    with private_rabbitmq() as server:
        place = Place(server.url, mysql_url, "tasks", tmp_path)
        gate = tmp_path / "gate"
        waits = place.handler("sh", "-c", f"touch {tmp_path}/began; until [ -e {gate} ]; do sleep 0.02; done; exit 3")
        sidecar = start(config(place, waits))
        await place.publish({"task_id": "t"})
        await eventually((tmp_path / "began").exists)
        server.kill()
        gate.touch()
        await eventually(lambda: place.status("t") == "failed")
        await sidecar.said("dead letter not sent, it is tried again")
        (owed,) = letters(place)
        assert (owed["dead"], owed["failures"]) == (0, 0)
        server.start()
        await eventually(lambda: all_sent(place, 1), timeout=60)
        assert [letter["task_id"] for letter in listed(place)] == ["t"]


async def test_only_what_failed_for_good_leaves_one(any_place: Place, start: Start) -> None:
    """Not what is refused, which is there already, nor what is cancelled or succeeds; nor anything by default."""
    place = any_place
    gate = place.folder / "gate"
    handlers = {"fails": failing(place), "done": place.job("done"), "until": place.job("until", gate)}
    made = place.config(handlers, broker={"dead_letter_failed": True}, worker={"concurrency": 2})
    (place.folder / "config.yaml").write_text(json.dumps(made))
    sidecar = start(made, "--burst")
    await place.publish(
        {"task_id": "refused", "task_type": "nobody"},
        {"task_id": "good", "task_type": "done"},
        {"task_id": "bad", "task_type": "fails"},
    )
    assert await sidecar.ended() == 0
    assert sorted(letter["task_id"] for letter in listed(place)) == ["bad", "refused"]
    assert [row["task_id"] for row in letters(place)] == ["bad"]
    assert place.callbacks("bad")[0]["delivered_at"], "a burst ends when it is sent"
    assert {letter["task_id"]: letter["attempts"] for letter in listed(place)} == {"bad": 1, "refused": None}
    quiet = start({**made, "broker": {**made["broker"], "dead_letter_failed": False}}, "--burst")
    await place.publish({"task_id": "worse", "task_type": "fails"})
    assert await quiet.ended() == 0
    assert (place.status("worse"), place.callbacks("worse")) == ("failed", [])


async def test_a_task_that_took_its_workers_along_leaves_one(any_place: Place, start: Start) -> None:
    place = any_place
    worker = {"lease": 1, "max_crashes": 0}
    dying = start(config(place, place.job("deadly"), worker=worker))
    await place.publish({"task_id": "t"})
    await dying.ended()
    start(config(place, worker=worker))
    await eventually(lambda: all_sent(place, 1), timeout=60)
    (letter,) = listed(place)
    assert (letter["attempts"], letter["reason"].split(":")[:2]) == (1, ["task-failed", " WorkerLost"])


async def test_people_see_letters_for_what_they_are(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    start(config(place))
    await place.publish({"task_id": "t"})
    await eventually(lambda: all_sent(place, 1))
    status = gridsidecar(place.folder, "status", "t").stdout
    assert "dead letter" in status
    assert "delivered, 1 try, to the dead letters" in status
    assert "the dead letters" in gridsidecar(place.folder, "callbacks", "list").stdout
    stats = gridsidecar(place.folder, "stats")
    words = "still to be sent to the dead-letter queue, 0 that it does not take, 1 sent"
    assert f"letters    of tasks that failed for good: 0 {words}\n" in stats.stdout, stats.stdout
    assert "callbacks  0 owed, 0 dead, 0 delivered" in stats.stdout
    (shown,) = map(json.loads, gridsidecar(place.folder, "callbacks", "list", "--json").stdout.splitlines())
    assert (shown["kind"], shown["rerun"], shown["state"]) == ("letter", 0, "delivered")
    again = gridsidecar(place.folder, "callbacks", "replay", "t")
    assert (again.returncode, len(listed(place))) == (1, 1), "it was delivered"
    info = json.loads(gridsidecar(place.folder, "queue-info", "--json").stdout)
    assert info["dead"] == 1


def make_due(place: Place) -> None:
    """As if the lease of the sender that died were over."""
    table = "grid_async_task_tasks_callbacks"
    place.execute(f"update {table} set next_try_at = ? where next_try_at is not null", "2001-01-01 00:00:00.000")


async def test_one_wish_is_one_retry_however_many_letters_a_task_has(any_place: Place, start: Start) -> None:
    place = any_place
    start(config(place))
    await place.publish({"task_id": "t"})
    await eventually(lambda: all_sent(place, 1))
    await asyncio.to_thread(gridsidecar, place.folder, "tasks", "retry", "t")
    await eventually(lambda: all_sent(place, 2))
    assert len(listed(place)) == 2
    done = await asyncio.to_thread(dead, place, "replay", "--all")
    assert (done.returncode, done.stdout) == (0, "t\n"), done.stderr
    assert re.fullmatch(r"1 replayed, [12] more of the same tasks stay\n", done.stderr)
    await eventually(lambda: all_sent(place, 3))
    assert place.row("t")["attempt"] == 3
    assert [letter["attempts"] for letter in listed(place)] == [2, 3]
