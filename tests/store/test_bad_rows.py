"""A row that cannot be read or changed is told once and put aside; all others get what is theirs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.rules.reception import Insert
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Callback, Failed, Message, Succeeded
from gridsidecar.store import RowRejected
from gridsidecar.store.retention import Retention
from tests.store.direct import LONG_AGO, TASKS
from tests.store.workers import QUEUE, A, B, Two, delayed, end, listed, no_changes_of, task
from tests.support.database import mysql_session

UNREADABLE: dict[str, dict[str, Any]] = {
    "headers are cut": {"headers": "{bad"},
    "headers are a list": {"headers": "[1]"},
    "headers are a number": {"headers": "5"},
    "headers are nested without end": {"headers": "[" * 100_000},
    "a header's bytes are none": {"headers": '{"headers": {"x": {"$bytes": "%"}}}'},
    "a header's time is none": {"headers": '{"headers": {"x": {"$datetime": "soon"}}}'},
    "a header's number is none": {"headers": '{"headers": {"x": {"$decimal": "many"}}}'},
    "the table of headers is text": {"headers": '{"headers": "x"}'},
    "the priority is text": {"headers": '{"priority": "high"}'},
    "the priority is too high": {"headers": '{"priority": 256}'},
    "the id is a number": {"headers": '{"message_id": 5}'},
    "there is no body": {"body": None},
}
ODD: dict[str, dict[str, Any]] = {
    "rev is at its end": {"rev": 2**63 - 1},
    "rev is at its other end": {"rev": -(2**63)},
}


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    """What was told, and of which task."""
    return [(record.message, getattr(record, "fields", {}).get("task_id")) for record in caplog.records]


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("gridsidecar"), "propagate", True)
    caplog.set_level("WARNING", "gridsidecar")


async def waiting(two: Two, *names: str) -> None:
    """Tasks that failed once, and whose delayed message did not come."""
    for name in names:
        received = await two.a.tasks.claim(task(name), A, 3)
        assert received.reception == Insert()
        assert received.claim is not None
        await end(two.a, received.claim, Failed(error="no", error_type="X"))
        two.rows.make_overdue(name)


async def running(two: Two, *names: str) -> None:
    """Tasks whose worker died."""
    for name in names:
        assert (await two.a.tasks.claim(task(name), A, 3)).claim is not None
    two.rows.expire("A")


# -- bringing back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", UNREADABLE.values(), ids=list(UNREADABLE))
@pytest.mark.parametrize("lost", [waiting, running])
async def test_a_message_that_cannot_be_read(
    two: Two, caplog: pytest.LogCaptureFixture, lost: Any, columns: dict[str, Any]
) -> None:
    await lost(two, "a", "bad", "z")
    two.rows.set("bad", **columns)
    assert len(await two.b.leases.overdue(judge_others=True)) == 2
    assert said(caplog) == [("a task cannot be brought back: its row cannot be read", "bad")]
    two.rows.run(f"UPDATE {TASKS} SET next_check_at = ? WHERE id <> 'bad'", LONG_AGO)
    assert len(await two.b.leases.overdue(judge_others=True)) == 2
    assert len(caplog.records) == 1, "told again"


@pytest.mark.parametrize("lost", [waiting, running])
async def test_a_message_that_cannot_be_read_is_not_owed_until_somebody_looks_again(two: Two, lost: Any) -> None:
    """Whoever scales by what is owed would keep a pod for it, which could do nothing."""
    await lost(two, "bad", "z")
    two.rows.set("bad", headers="{bad")
    assert await two.b.reading.owed() == 2, "nobody has looked yet"
    assert len(await two.b.leases.overdue(judge_others=True)) == 1
    assert await two.b.reading.owed() == 0
    two.rows.run(f"UPDATE {TASKS} SET next_check_at = ?", LONG_AGO)
    assert await two.b.reading.owed() == 2


@pytest.mark.parametrize("columns", ODD.values(), ids=list(ODD))
@pytest.mark.parametrize("lost", [waiting, running])
async def test_a_row_that_is_merely_odd_is_brought_back_too(two: Two, lost: Any, columns: dict[str, Any]) -> None:
    await lost(two, "a", "odd", "z")
    two.rows.set("odd", **columns)
    assert len(await two.b.leases.overdue(judge_others=True)) == 3
    assert await two.b.leases.overdue(judge_others=True) == []
    assert (await two.b.tasks.claim(delayed_of("odd"), B, 3)).claim is not None


def delayed_of(task_id: str) -> Any:
    return task(task_id, attempt=1, message_id="delayed")


async def test_a_time_that_was_never_set(two: Two) -> None:
    await waiting(two, "a", "odd")
    never = "next_run_at = '0000-00-00 00:00:00' WHERE id = 'odd'"
    if two.rows.is_mysql:
        with mysql_session(two.url) as session, session.cursor() as cursor:
            cursor.execute("SET sql_mode = ''")  # some servers let nobody else write it
            cursor.execute(f"UPDATE {TASKS} SET {never}")
    else:
        two.rows.run(f"UPDATE {TASKS} SET {never}")
    assert len(await two.b.leases.overdue(judge_others=True)) == 2


@pytest.mark.usefixtures("triggers")
@pytest.mark.parametrize("lost", [waiting, running])
async def test_a_row_that_cannot_be_changed(two: Two, caplog: pytest.LogCaptureFixture, lost: Any) -> None:
    await lost(two, "a", "bad", "z")
    no_changes_of(two, "bad")
    assert len(await two.b.leases.overdue(judge_others=True)) == 2
    assert said(caplog) == [("a row cannot be changed, and is left alone", "bad")]
    two.rows.run(f"UPDATE {TASKS} SET next_check_at = ? WHERE id <> 'bad'", LONG_AGO)
    assert len(await two.b.leases.overdue(judge_others=True)) == 2
    assert len(caplog.records) == 1, "told again"


@pytest.mark.usefixtures("triggers")
@pytest.mark.parametrize("tables_url", ["mysql"], indirect=True)
@pytest.mark.parametrize("lost", [waiting, running])
@pytest.mark.parametrize("number", [1290, 1053, 2013])
async def test_a_row_that_cannot_be_changed_in_words_that_a_server_has_for_itself(
    two: Two, caplog: pytest.LogCaptureFixture, lost: Any, number: int
) -> None:
    await lost(two, "a", "bad", "z")
    signal = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'not this one'"
    head = f"CREATE TRIGGER refuses BEFORE UPDATE ON {TASKS} FOR EACH ROW"
    two.rows.run(f"{head} IF OLD.id = 'bad' THEN {signal}; END IF")
    assert len(await two.b.leases.overdue(judge_others=True)) == 2
    assert said(caplog) == [("a row cannot be changed, and is left alone", "bad")]


async def test_a_lease_of_no_worker_of_ours_hides_no_other(two: Two) -> None:
    await running(two, "a")
    assert (await two.b.tasks.claim(task("z"), B, 3)).claim is not None
    two.rows.run(f"UPDATE {TASKS}_workers SET lease = 1.7e308 WHERE id = 'B'")
    assert len(await two.b.leases.overdue(judge_others=True)) == 1


# -- deleting ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("triggers")
async def test_an_old_task_that_cannot_be_deleted(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "bad", "z"):
        received = await two.a.tasks.claim(task(name), A, 3)
        assert received.claim is not None
        await end(two.a, received.claim, Succeeded(1))
        two.rows.set(name, created_at=LONG_AGO, completed_at=LONG_AGO)
    no_changes_of(two, "bad", "DELETE")
    retention = Retention(two.a.database, two.a.retention._queries, QUEUE, 5, SystemClock())
    assert await retention.prune() == 2
    assert await retention.prune() == 0
    assert [row["id"] for row in two.rows.run(f"SELECT id FROM {TASKS}")] == ["bad"]
    assert said(caplog) == [("a row cannot be changed, and is left alone", "bad")]


# -- callbacks --------------------------------------------------------------------------------------------------------


async def test_a_callback_with_as_many_tries_as_a_number_has(two: Two) -> None:
    for name in ("a", "odd", "z"):
        received = await two.a.tasks.claim(task(name, fields={"callback": Callback(url=f"http://{name}/")}), A, 3)
        assert received.claim is not None
        await end(two.a, received.claim, Succeeded(1))
    two.rows.run(f"UPDATE {TASKS}_callbacks SET tries = 2147483647, failures = 2147483647 WHERE task_id = 'odd'")
    taken = (await two.a.outbox.take(30)).callbacks
    assert sorted(callback.task_id for callback in taken) == ["a", "odd", "z"]
    for callback in taken:
        assert await two.a.outbox.failed(callback, "half of a pair: \ud800", None)
    assert await two.a.outbox.replay_dead() == 3


async def owed(two: Two, *names: str) -> None:
    """Callbacks that are due, the first one first."""
    for number, name in enumerate(names):
        received = await two.a.tasks.claim(task(name, fields={"callback": Callback(url=f"http://{name}/")}), A, 3)
        assert received.claim is not None
        await end(two.a, received.claim, Succeeded(1))
        due = f"2001-01-01 00:00:{number % 60:02}.000"
        two.rows.run(f"UPDATE {TASKS}_callbacks SET next_try_at = ? WHERE task_id = ?", due, name)


def no_changes_of_callbacks(two: Two, condition: str) -> None:
    """A trigger that refuses them."""
    head = f"CREATE TRIGGER refuses BEFORE UPDATE ON {TASKS}_callbacks FOR EACH ROW"
    if two.rows.is_mysql:
        two.rows.run(f"{head} IF {condition} THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF")
    else:
        two.rows.run(f"{head} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'not this one'); END")


async def taken(two: Two) -> list[str]:
    """The tasks whose callbacks are given out, until there are no more."""
    names: list[str] = []
    for _ in range(20):
        looked = await two.a.outbox.take(60)
        names += [callback.task_id for callback in looked.callbacks]
        if not looked.more:
            break
    return names


@pytest.mark.usefixtures("triggers")
async def test_a_callback_that_cannot_be_changed(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    await owed(two, "bad", "a", "bad2", "z")
    no_changes_of_callbacks(two, "OLD.task_id IN ('bad', 'bad2')")
    assert await taken(two) == ["a", "z"]
    assert said(caplog) == [("a row cannot be changed, and is left alone", name) for name in ("bad", "bad2")]
    ids = {row["task_id"]: row["id"] for row in two.rows.run(f"SELECT task_id, id FROM {TASKS}_callbacks")}
    assert [record.__dict__["fields"]["callback_id"] for record in caplog.records] == [ids["bad"], ids["bad2"]]
    wait = await two.a.outbox.wait()
    assert wait is not None
    assert wait > 50, "the next look is for the others"
    assert await taken(two) == []
    assert len(caplog.records) == 2, "told again"


@pytest.mark.usefixtures("triggers")
async def test_callbacks_that_cannot_be_changed_do_not_hide_the_others(two: Two) -> None:
    """More than a look begins with: all of them are passed by, and so is a receiver that has nothing else."""
    await owed(two, *(f"bad{number}" for number in range(70)), *(f"good{number}" for number in range(70)))
    two.rows.run(f"UPDATE {TASKS}_callbacks SET receiver = 'bad:80' WHERE substr(task_id, 1, 3) = 'bad'")
    no_changes_of_callbacks(two, "substr(OLD.task_id, 1, 3) = 'bad'")
    assert sorted(await taken(two)) == sorted(f"good{number}" for number in range(70))
    assert await taken(two) == []


# -- one task by itself -----------------------------------------------------------------------------------------------


async def test_a_checkpoint_that_is_no_json_is_told_instead_of_tried_for_ever(two: Two) -> None:
    await two.retrying()
    two.rows.make_due()
    two.rows.set(checkpoint="{bad")
    with pytest.raises(RowRejected, match="checkpoint"):
        await two.b.tasks.claim(delayed(1), B, 3)


@pytest.mark.parametrize("columns", UNREADABLE.values(), ids=list(UNREADABLE))
async def test_a_retry_by_hand_needs_a_message(two: Two, columns: dict[str, Any]) -> None:
    """Where its body is gone, it is made of the columns."""
    await two.ended(Failed(error="no", error_type="X", retryable=False))
    two.rows.set(**columns)
    there = columns == {"body": None}
    assert await two.a.steering.retry(["t"]) == {"t": Steered.RETRIED if there else Steered.NO_MESSAGE}
    assert two.rows.row()["status"] == ("pending" if there else "failed")


async def test_people_see_all_tasks(two: Two) -> None:
    await waiting(two, "a", "odd", "z")
    deep = "[" * 100_000
    two.rows.set("odd", data=deep, callback_data="{bad", checkpoint="\x00", headers="{bad")
    if not two.rows.is_mysql:  # whose columns hold anything
        two.rows.set("odd", created_at=5, progress="much", next_run_at="soon", retry_count=b"\xff")
    assert len(await listed(two.a)) == 3
    shown = await two.a.reading.get("odd")
    assert shown is not None
    assert shown["data"] == deep


def test_a_message_of_the_embedded_broker_loses_its_properties_alone(tmp_path: Path) -> None:
    """See `gridsidecar.broker.message_table`: one bad row in its file stops nobody."""
    from gridsidecar.broker.message_table import stored_message

    assert stored_message("{bad", b"x") == Message(body=b"x")
