"""Rows that are there before their messages: `submit` and `POST /v1/tasks` with real servers, killed and refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings, Settings
from gridsidecar.errors import PublishRefused
from gridsidecar.failpoints import VARIABLE
from gridsidecar.operations.submitting import Known, Sent, Submitter, Unconfirmed
from gridsidecar.telemetry import Readiness
from gridsidecar.wire.new_task import make_task
from tests.e2e.conftest import Start
from tests.e2e.test_http import served
from tests.faults.scenes import look_now
from tests.support.cli import Finished, gridsidecar
from tests.support.place import Place
from tests.support.proxy import proxied
from tests.support.waiting import eventually

MANY = 1000


def command(place: Place, *arguments: str, failpoints: str = "", **sections: Any) -> Finished:
    """`gridsidecar …` as a producer with this place's configuration."""
    file = place.folder / "producer.yaml"
    config = place.config({"default": place.job("done")}, **sections)
    file.write_text(json.dumps({name: keys for name, keys in config.items() if keys}))
    program = "tests.support.armed" if failpoints else "gridsidecar"
    armed = {VARIABLE: failpoints} if failpoints else {}
    words = (*arguments, "-c", str(file))
    return gridsidecar(place.folder, *words, program=program, env=armed, limit=120)


async def test_a_task_is_seen_before_any_worker_was_there(any_place: Place, start: Start, tmp_path: Path) -> None:
    assert command(any_place, "submit", "--id", "a", "--type", "resize").stderr == ""
    with served(any_place, tmp_path / "serve") as url:
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.post("/v1/tasks", json={"task_id": "b"})).status_code == 202
            assert (await client.post("/v1/tasks", json={"task_id": "c"})).status_code == 202
            for task_id, kind in (("a", "resize"), ("b", "default")):
                task = (await client.get(f"/v1/tasks/{task_id}")).json()
                assert (task["status"], task["task_type"], task["attempt"]) == ("pending", kind, 0)
            again = await client.post("/v1/tasks", json={"task_id": "b"})
            assert (again.status_code, again.json()["status"]) == (200, "pending")
            assert (await client.post("/v1/tasks", json={"task_id": "b", "data": 1})).status_code == 409
            found = (await client.get("/v1/tasks?status=pending")).json()["tasks"]
            assert sorted(task["task_id"] for task in found) == ["a", "b", "c"]
            asked = {"filter": {"status": "pending", "type": "default"}, "expected_count": 2}
            assert (await client.post("/v1/tasks/cancel", json=asked)).status_code == 202
            await eventually(lambda: any_place.statuses() == {"pending": 1, "cancelled": 2})
    assert any_place.left() == 3, "each was sent once"
    assert command(any_place, "tasks", "list", "--status", "pending", "--json").stdout.count('"task_id"') == 1
    worker = start(any_place.config({"default": any_place.job("done")}))
    await eventually(lambda: any_place.statuses() == {"success": 1, "cancelled": 2} and any_place.left() == 0)
    worker.terminate()
    assert await worker.ended() == 0


@pytest.mark.parametrize("point", ["row_written", "task_published"])
async def test_submit_is_killed(point: str, any_place: Place, start: Start) -> None:
    done = command(any_place, "submit", "--id", "a", failpoints=f"{point}:kill")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
    assert any_place.left() == (point == "task_published")
    assert (any_place.status("a"), any_place.row("a")["handed_off"]) == ("pending", 1)
    look_now(any_place)
    worker = start(any_place.config({"default": any_place.job("done")}, worker={"lease": 1}))
    await eventually(lambda: any_place.status("a") == "success" and any_place.left() == 0, timeout=40)
    assert len(any_place.attempts("a")) == 1
    worker.terminate()
    assert await worker.ended() == 0


async def test_many(any_place: Place, start: Start) -> None:
    worker = start(any_place.config({"default": any_place.handler("cat")}, worker={"concurrency": 8}))
    await worker.ready()
    (any_place.folder / "tasks.jsonl").write_text("\n".join(f'{{"task_id": "t{n}"}}' for n in range(MANY)))
    done = command(any_place, "submit", "tasks.jsonl")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == sorted(f"t{n}" for n in range(MANY))
    await eventually(lambda: any_place.all_ended(MANY), timeout=100, interval=0.2)
    assert any_place.statuses() == {"success": MANY}
    assert [row["attempt"] for row in any_place.history()] == [1] * MANY
    assert not worker.says("wake_up")


async def test_a_queue_that_is_full_leaves_no_row(place: Place, tmp_path: Path) -> None:
    place.arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await place.publish({"task_id": "first"})
    with served(place, tmp_path / "serve") as url:
        async with httpx.AsyncClient(base_url=url) as client:
            answers = [await client.post("/v1/tasks", json={"task_id": f"t{n}"}) for n in range(20)]
            for n, answer in enumerate(answers):
                known = await client.get(f"/v1/tasks/t{n}")
                assert (answer.status_code, known.status_code) in {(202, 200), (409, 404)}
            assert answers[-1].status_code == 409
    done = command(place, "submit", "--id", "last")
    assert (done.returncode, done.stdout, place.row("last")) == (1, "", {})


@pytest.mark.parametrize("compressed", [False, True])
async def test_what_a_worker_finds_too_large_is_not_pending_for_ever(
    compressed: bool, any_place: Place, start: Start
) -> None:
    """Its producer allows more than the worker does, which does not read it."""
    (any_place.folder / "large.json").write_text(json.dumps([{"task_id": "ä", "data": "x" * 9000}]))
    flags = ("--compress",) if compressed else ()
    assert command(any_place, "submit", str(any_place.folder / "large.json"), *flags).returncode == 0
    assert any_place.status("ä") == "pending"
    worker = start(any_place.config({"default": any_place.job("done")}, broker={"max_message_bytes": 2000}))
    await eventually(lambda: any_place.status("ä") == "failed" and any_place.left() == 0)
    assert "2,000" in any_place.row("ä")["error_message"]
    worker.terminate()
    assert await worker.ended() == 0


def submitter(place: Place, url: str, queue: str, rows: Any) -> tuple[Any, Submitter]:
    settings = Settings.model_validate(
        {
            "broker": {"url": url, "queue": queue},
            "store": {"url": place.store_url},
            "handlers": {"a": {"command": ["x"]}},
        }
    )
    broker = make_broker(BrokerSettings(url=url, queue=queue), Readiness())
    return broker, Submitter(broker, rows, settings)


async def test_a_queue_that_is_missing_leaves_no_row(place: Place) -> None:
    task = make_task({"task_id": "a"}, 1 << 20)
    async with place.opened() as store:
        await store.database.migrate(apply=True)
        broker, ours = submitter(place, place.broker_url, f"{place.queue}.missing", store.prewritten)
        try:
            with pytest.raises(PublishRefused):
                await ours.submit(task)
        finally:
            await broker.close()
    assert place.rows() == {}


async def test_a_broker_that_goes_away_in_the_middle(place: Place, start: Start) -> None:
    """The row stays, so the task is as good as sent."""
    async with place.opened() as store, proxied(place.broker_url) as (proxy, url):
        await store.database.migrate(apply=True)
        broker, ours = submitter(place, url, place.queue, store.prewritten)
        try:
            await broker.open()
            assert await ours.submit(make_task({"task_id": "a"}, 1 << 20)) == Sent()
            assert await ours.submit(make_task({"task_id": "a"}, 1 << 20)) == Known()
            await proxy.refuse()
            assert isinstance(await ours.submit(make_task({"task_id": "b"}, 1 << 20)), Unconfirmed)
        finally:
            await broker.close()
    assert {task_id: row["handed_off"] for task_id, row in place.rows().items()} == {"a": 0, "b": 1}
    look_now(place)
    start(place.config({"default": place.job("done")}, worker={"lease": 1}))
    await eventually(lambda: place.statuses() == {"success": 2}, timeout=40)


# -- a producer without a store ---------------------------------------------------------------------------------------


def test_a_producer_needs_no_store(place: Place) -> None:
    words = ("submit", "--id", "a", "-u", place.broker_url, "-q", place.queue)
    done = gridsidecar(place.folder, *words, env={"RABBITMQ_URL": place.broker_url})
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n", "")
    assert place.left() == 1
    assert not os.path.exists(place.folder / "not-used.db")


def test_a_store_that_is_away_is_said_once(place: Place) -> None:
    (place.folder / "tasks.jsonl").write_text('{"task_id": "a"}\n{"task_id": "b"}\n')
    away = {"url": "mysql://nobody:x@127.0.0.1:1/none"}
    done = command(place, "submit", "tasks.jsonl", store=away)
    assert (done.returncode, done.stdout) == (0, "a\nb\n")
    assert done.stderr.count("sent without rows") == 1
    assert place.left() == 2


async def test_an_id_that_is_known_is_sent_and_dropped(any_place: Place, start: Start) -> None:
    for _ in range(2):
        assert command(any_place, "submit", "--id", "a").stdout == "a\n"
    assert any_place.left() == 2
    start(any_place.config({"default": any_place.job("done")}))
    await eventually(lambda: any_place.status("a") == "success" and any_place.left() == 0)
    assert len(any_place.attempts("a")) == 1


async def test_a_type_that_nobody_runs_fails(any_place: Place, start: Start) -> None:
    assert command(any_place, "submit", "--id", "a", "--type", "strange").returncode == 0
    start(any_place.config({"known": any_place.job("done")}))
    await eventually(lambda: any_place.status("a") == "failed")
    assert any_place.row("a")["error_type"] == "ValidationError"
