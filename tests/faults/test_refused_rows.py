"""The database is there and refuses single tasks, by a trigger or a limit: each ends or is put aside, others go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import Start
from tests.support.place import TASKS, Place
from tests.support.services import private_mysql
from tests.support.waiting import eventually
from tests.support.web import web_server

TERMINAL = "NEW.status IN ('success', 'failed', 'cancelled')"
BAD = "substr(NEW.id, 1, 3) = 'bad'"


async def refusing(place: Place, start: Start, event: str, condition: str, **worker: Any) -> Any:
    """A sidecar with few slots on tables with a trigger that refuses what this condition finds."""
    settings = {"concurrency": 2, "max_crashes": 1, "lease": 3, **worker}
    sidecar = start(place.config({"default": place.job("done")}, worker=settings))
    await sidecar.ready()
    head = f"create trigger guard before {event} on {TASKS} for each row"
    if place.store_url.startswith("mysql"):
        text = "set message_text = 'not here'"
        place.execute(f"{head} begin if {condition} then signal sqlstate '45000' {text}; end if; end")
    else:
        place.execute(f"{head} when {condition} begin select raise(abort, 'not here'); end")
    return sidecar


TENS = (10, 20, 30)
BADS = [f"bad{number}" for number in range(5)]
GOODS = [f"good{number}" for number in range(3)]


async def put_aside(place: Place) -> dict[str, str]:
    """The dead letters once all bad tasks are there: reason by id."""
    await eventually(lambda: place.count(f"{place.queue}.dead") == len(BADS), timeout=60, interval=0.2)
    letters = place.dead_letters()
    return {json.loads(body)["task_id"]: _reason(headers) for body, headers in letters}


def _reason(headers: dict[str, Any]) -> str:
    return str(headers.get("headers", headers)["x-gridsidecar-reason"])


@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("event", "condition", "runs"),
    [("update", f"{BAD} AND {TERMINAL}", 2), ("update", BAD, 2), ("insert", BAD, 0)],
    ids=["ends", "every update", "claims"],
)
async def test_tasks_that_are_refused_are_put_aside_and_the_others_end(
    any_place: Place, start: Start, event: str, condition: str, runs: int
) -> None:
    place = any_place
    sidecar = await refusing(place, start, event, condition)
    await place.publish(*({"task_id": name} for name in BADS + GOODS))
    await eventually(lambda: all(place.status(name) == "success" for name in GOODS), timeout=30, interval=0.2)
    reasons = await put_aside(place)
    assert sorted(reasons) == BADS
    assert all(reason.startswith("not-storable: ") and "not here" in reason for reason in reasons.values())
    assert [place.journal.started.count(name) for name in BADS] == [runs] * len(BADS)
    await eventually(lambda: place.left() == 0)  # the ack comes after the dead letter
    await place.publish({"task_id": "last"})
    await eventually(lambda: place.status("last") == "success")
    assert not sidecar.says("unexpected error")
    assert not sidecar.says("not ready")
    sidecar.terminate()
    assert await sidecar.ended() == 0


@pytest.mark.timeout(120)
async def test_one_that_was_put_aside_can_be_replayed_once_the_reason_is_gone(place: Place, start: Start) -> None:
    sidecar = await refusing(place, start, "update", f"{BAD} AND {TERMINAL}", max_crashes=0)
    await place.publish({"task_id": "bad0"})
    await eventually(lambda: place.count(f"{place.queue}.dead") == 1, timeout=30)
    row = place.row("bad0")
    assert (row["status"], row["next_check_at"]) == ("pending", None)
    place.execute("drop trigger guard")
    ((body, _),) = place.dead_letters()
    await place.publish_bodies(body)
    await eventually(lambda: place.status("bad0") == "success")
    assert place.row("bad0")["attempt"] == 2
    sidecar.terminate()
    assert await sidecar.ended() == 0


def guard_callbacks(place: Place, condition: str) -> None:
    """A trigger that refuses these changes of callbacks."""
    head = f"create trigger guard before update on {TASKS}_callbacks for each row"
    if place.embedded:
        place.execute(f"{head} when {condition} begin select raise(abort, 'not here'); end")
    else:
        text = "set message_text = 'not here'"
        place.execute(f"{head} begin if {condition} then signal sqlstate '45000' {text}; end if; end")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("condition", "sent"),
    [
        ("NEW.task_id = 'bad'", 0),
        ("NEW.task_id = 'bad' AND NEW.delivered_at IS NOT NULL", 1),
        ("NEW.task_id = 'bad' AND NEW.tries = OLD.tries", 1),
    ],
    ids=["every change", "delivered", "whatever became of it"],
)
async def test_a_callback_that_is_refused_is_told_and_the_others_are_sent(
    any_place: Place, start: Start, condition: str, sent: int
) -> None:
    place = any_place
    async with web_server() as web:
        settings = {"allow": ["127.0.0.1"], "timeout": 1}
        sidecar = start(place.config({"default": place.job("done")}, callbacks=settings))
        await sidecar.ready()
        guard_callbacks(place, condition)
        await place.publish({"task_id": "bad", "callback_url": web.url})
        await eventually(lambda: sidecar.says("and is left alone") or sidecar.says("callback given up"))
        await place.publish(*({"task_id": name, "callback_url": web.url} for name in GOODS))
        for name in GOODS:
            await eventually(lambda name=name: place.callbacks(name)[0:] and place.callbacks(name)[0]["delivered_at"])
        # Its lease, were it over, would make it due again.
        place.execute("drop trigger guard")
        (row,) = place.callbacks("bad")
        if row["next_try_at"] is not None:
            place.execute(f"update {TASKS}_callbacks set next_try_at = '2001-01-01 00:00:00.000' where task_id = 'bad'")
        await place.publish({"task_id": "last", "callback_url": web.url})
        await eventually(lambda: place.callbacks("last") and place.callbacks("last")[0]["delivered_at"])
        told = [json.loads(request.body)["task_id"] for request in web.requests]
        assert (told.count("bad"), sorted(set(told) - {"bad"})) == (sent, sorted([*GOODS, "last"]))
        (error,) = (line for line in sidecar.text.splitlines() if " ERROR " in line)
        assert row["id"] in error
        assert "task_id=bad" in error
        assert not sidecar.says("unexpected error")
        assert not sidecar.says("not ready")
        sidecar.terminate()
        assert await sidecar.ended() == 0


@pytest.mark.timeout(120)
async def test_output_larger_than_a_packet_does_not_keep_a_failure_from_its_end(
    amqp_url: str, queue: str, tmp_path: Path, start: Start
) -> None:
    with private_mysql(["--max-allowed-packet=16384"]) as server:
        execute_on_server(server.url, "create database gs")
        place = Place(amqp_url, f"{server.url}gs", queue, tmp_path)
        flood = "head -c 200000 /dev/zero | tr '\\0' x >&2; exit 3"
        handlers = {"default": place.handler("/bin/sh", "-c", flood), "small": place.job("done")}
        sidecar = start(place.config(handlers, retry={"max_retries": 1, "delay": 1}))
        await place.publish({"task_id": "loud"}, {"task_id": "next", "task_type": "small"})
        await eventually(lambda: place.all_ended(2), timeout=60, interval=0.2)
        row = place.row("loud")
        assert (row["status"], row["error_type"], row["retry_count"]) == ("failed", "RetryExhausted", 1)
        attempts = place.attempts("loud")
        assert [(one["attempt"], one["exit_code"]) for one in attempts] == [(1, 3), (2, 3)]
        assert "log is left out" in attempts[0]["notes"]
        assert place.status("next") == "success"
        assert sidecar.says("an end was stored without all of it")


@pytest.mark.timeout(120)
async def test_whatever_fits_as_a_claim_fits_as_an_end(amqp_url: str, queue: str, tmp_path: Path, start: Start) -> None:
    with private_mysql(["--max-allowed-packet=16M"]) as server:
        execute_on_server(server.url, "create database gs")
        place = Place(amqp_url, f"{server.url}gs", queue, tmp_path)
        sidecar = start(place.config({"default": place.job("done")}, callbacks={"allow": ["127.0.0.1"]}))
        task = {"task_id": "t", "callback_url": "http://127.0.0.1:9/", "callback_data": "й" * 2_900_000}
        await place.publish_bodies(json.dumps(task, ensure_ascii=False).encode())
        await eventually(lambda: place.status("t") == "success", timeout=60, interval=0.2)
        assert place.journal.started == ["t"]
        (callback,) = place.callbacks("t")
        assert json.loads(callback["body"])["callback_data"] == task["callback_data"]
        sidecar.terminate()
        assert await sidecar.ended() == 0


@pytest.mark.timeout(120)
async def test_progress_that_is_refused_is_told_once_and_its_figure_kept(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    events = (f'{{"gs":1,"type":"checkpoint","data":{n}}}\n{{"gs":1,"type":"progress","progress":{n}}}' for n in TENS)
    said = "".join(f"echo '{lines}'; sleep 0.3\n" for lines in events)
    script = f"{said} until [ -e {gate} ]; do sleep 0.1; done"
    sidecar = start(place.config({"default": place.handler("/bin/sh", "-c", script)}) | {"progress_interval": 0.1})
    await sidecar.ready()
    guard = f"create trigger guard before update on {TASKS} when new.checkpoint is not null"
    place.execute(f"{guard} begin select raise(abort, 'not here'); end")
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.row("t").get("progress") == 30)
    gate.touch()
    await eventually(lambda: place.status("t") == "success")
    assert sidecar.text.count("progress cannot be stored") == 1
    assert not sidecar.says("unexpected error")


@pytest.mark.timeout(120)
async def test_what_a_trigger_does_to_others_is_about_the_one_task(place: Place, start: Start) -> None:
    """A trigger that writes into a table which is not there: the number is one by which a server refuses us."""
    sidecar = start(place.config({"default": place.job("done")}, worker={"concurrency": 1, "max_crashes": 0}))
    await sidecar.ready()
    place.execute(
        f"create trigger guard before update on {TASKS} for each row begin if {BAD} and {TERMINAL} then "
        "insert into audit_of_others values (new.id); end if; end"
    )
    await place.publish({"task_id": "bad1"}, {"task_id": "good1"})
    await eventually(lambda: place.status("good1") == "success")
    await eventually(lambda: place.count(f"{place.queue}.dead") == 1)
    ((_, headers),) = place.dead_letters()
    assert "audit_of_others" in _reason(headers)
    assert sidecar.exit_code is None
    assert not sidecar.says("gridsidecar migrate")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("odd", [True, False], ids=["cannot be read", "cannot be changed"])
async def test_a_task_of_others_whose_row_is_refused_is_put_aside(place: Place, start: Start, odd: bool) -> None:
    """No attempt of it was to begin here: it was passed on for long enough."""
    first = start(place.config({"b": place.job("flaky", 2)}, retry={"max_retries": 1, "delay": 3600}))
    await place.publish({"task_id": "bad0", "task_type": "b"})
    await eventually(lambda: place.status("bad0") == "retrying")
    first.terminate()
    assert await first.ended() == 0
    settings = {"unknown_types": "pass_on", "concurrency": 1, "max_crashes": 0}
    sidecar = start(place.config({"a": place.job("done")}, worker=settings))
    await sidecar.ready()
    status = "odd" if odd else "retrying"
    place.execute(f"update {TASKS} set next_run_at = '2020-01-01 00:00:00', status = '{status}' where id = 'bad0'")
    text = "set message_text = 'not here'"
    if not odd:
        place.execute(
            f"create trigger guard before update on {TASKS} for each row begin if {BAD} then "
            f"signal sqlstate '45000' {text}; end if; end"
        )
    stamps = {"x-gridsidecar-passed": 10_000, "x-gridsidecar-attempt": 1}
    await place.publish({"task_id": "bad0", "task_type": "b"}, headers=stamps)
    await place.publish({"task_id": "good0", "task_type": "a"})
    await eventually(lambda: place.status("good0") == "success")
    await eventually(lambda: place.count(f"{place.queue}.dead") == 1)
    assert not sidecar.says("unexpected error")
    sidecar.terminate()
    assert await sidecar.ended() == 0
