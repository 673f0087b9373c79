"""The rows of the earlier plugin: what a delivery, a clock tick and a person's question mean for them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gridsidecar import wire
from gridsidecar.rules.reception import AckOnly, Begin, Close, Delay
from gridsidecar.rules.steering import Reopening, Steered
from gridsidecar.rules.task import Callback, Status, Succeeded, Task
from gridsidecar.store import RowRejected, Wanted
from tests.store.direct import LONG_AGO, TASKS
from tests.store.plugin import HUGE, SHAPES, Plugin
from tests.store.workers import BOOM, A, Two, cancel, counts, end, listed, open_store, retry_by_hand, task
from tests.support.cli import gridsidecar, write_config

URL, OTHER_URL = "https://example.test/row", "https://example.test/message"


@pytest.fixture(params=["new server", "old server"])
def plugin(request: pytest.FixtureRequest, mysql_url: str) -> Iterator[Plugin]:
    with closing(Plugin(mysql_url, SHAPES[request.param])) as plugin:
        plugin.create()
        plugin.fill()
        yield plugin


@pytest.fixture
async def two(mysql_url: str, plugin: Plugin) -> AsyncIterator[Two]:
    """Workers A and B on the adopted table."""
    workers = Two(await open_store(mysql_url), await open_store(mysql_url, migrate=None), mysql_url)
    try:
        await workers.a.leases.renew("A", "one", 60)
        await workers.b.leases.renew("B", "two", 60)
        yield workers
    finally:
        await workers.a.close()
        await workers.b.close()


# -- a delivery arrives -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task_id", ["waiting", "nothing", "emoji", "huge"])
async def test_pending_is_started_as_attempt_1(two: Two, task_id: str) -> None:
    received = await two.deliver_to_a(task(task_id))
    assert received.reception == Begin(attempt=1, crashes=0)
    claim = received.claim
    assert claim is not None
    assert (claim.attempt, claim.retry_count, claim.checkpoint) == (1, 0, None)
    row = two.rows.row(task_id)
    assert (row["status"], row["attempt"], row["worker_id"], row["queue"]) == ("running", 1, "A", "q")
    assert row["body"] == b'{"task_id": "t"}'
    assert await end(two.a, claim, Succeeded({"w": 1})) is not None
    row = two.rows.row(task_id)
    assert (row["status"], row["progress"], json.loads(row["result"])) == ("success", 100, {"w": 1})
    assert two.rows.history(task_id) == [(1, "success")]
    assert (await two.deliver_to_b(task(task_id))).reception == AckOnly("already ended")


@pytest.mark.parametrize("task_id", ["good-0", "bad-0", "null"])
async def test_an_ended_one_is_a_duplicate(two: Two, plugin: Plugin, task_id: str) -> None:
    before = plugin.row(task_id)
    assert (await two.deliver_to_a(task(task_id))).reception == AckOnly("already ended")
    assert plugin.row(task_id) == before


async def test_retrying_is_run_and_its_retries_go_on(two: Two) -> None:
    claim = (await two.deliver_to_a(task("again"))).claim
    assert claim is not None
    assert (claim.attempt, claim.retry_count, claim.max_retry_count) == (1, 1, 3)
    assert claim.redelivered, "the plugin has run it"
    for attempt, retries in ((1, 2), (2, 3)):
        transition = await end(two.a, claim, BOOM)
        assert transition is not None
        assert (transition.status, transition.retry_count) == (Status.RETRYING, retries)
        two.rows.make_due("again")
        claim = (await two.deliver_to_a(task("again", attempt=attempt, message_id=f"delayed-{attempt}"))).claim
        assert claim is not None
    transition = await end(two.a, claim, BOOM)
    assert transition is not None
    assert (transition.status, transition.error_type) == (Status.FAILED, "RetryExhausted")


async def test_running_waits_for_a_first_delivery(two: Two, plugin: Plugin) -> None:
    before = plugin.row("busy")
    reception = (await two.deliver_to_a(task("busy"))).reception
    assert isinstance(reception, Delay)
    assert reception.elsewhere
    assert plugin.row("busy") == before


async def test_running_is_taken_over_by_a_redelivery(two: Two) -> None:
    received = await two.deliver_to_a(task("busy"), redelivered=True)
    assert received.reception == Begin(attempt=1, crashes=1, rescues=True)
    row = two.rows.row("busy")
    assert (row["status"], row["attempt"], row["crashes"], row["worker_id"]) == ("running", 1, 1, "A")


async def test_running_of_the_plugin_that_ends_meanwhile_is_a_duplicate(two: Two, plugin: Plugin) -> None:
    assert isinstance((await two.deliver_to_a(task("busy"))).reception, Delay)
    plugin.run("UPDATE {table} SET status = 'success', completed_at = NOW() WHERE id = 'busy'")
    assert (await two.deliver_to_a(task("busy"))).reception == AckOnly("already ended")


@pytest.mark.parametrize("task_id", ["waiting", "nothing", "again"])
async def test_a_message_that_wants_to_run_later_is_not_started_early(two: Two, task_id: str) -> None:
    """The plugin's producer wrote the row, and its message has the delay."""
    deferred = task(task_id, fields={"defer_by": 60.0, "max_retry_count": 7})
    received = await two.deliver_to_a(deferred)
    assert isinstance(received.reception, Delay)
    assert 55 < received.reception.delay <= 60.1
    row = two.rows.row(task_id)
    assert (row["attempt"], row["worker_id"], row["max_retry_count"], row["queue"]) == (0, None, 7, "q")
    assert row["status"] == ("retrying" if task_id == "again" else "pending")
    assert isinstance((await two.deliver_to_b(deferred)).reception, Delay)
    two.rows.make_overdue(task_id)
    (message,) = await two.a.leases.overdue(judge_others=True)
    assert (message.body, message.wake_up, message.attempt) == (b'{"task_id": "t"}', True, 0)
    assert (await two.deliver_to_b(deferred)).reception == Begin(attempt=1, crashes=0)


async def test_running_with_a_message_that_wanted_to_run_later_is_taken_over_at_once(two: Two) -> None:
    received = await two.deliver_to_a(task("busy", fields={"defer_by": 60.0}), redelivered=True)
    assert received.reception == Begin(attempt=1, crashes=1, rescues=True)


# -- what the row lacks, the message has ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_row", "in_message", "limit"),
    [(2, None, 2), (2, 5, 5), (2, 0, 0), (0, None, 9), (0, 4, 4), (None, None, 9), (None, 1, 1)],
)
async def test_the_limit_of_retries(
    two: Two, plugin: Plugin, in_row: int | None, in_message: int | None, limit: int
) -> None:
    plugin.insert("t", max_retry_count=in_row)
    claim = (await two.a.tasks.claim(task(fields={"max_retry_count": in_message}), A, 9)).claim
    assert claim is not None
    assert claim.max_retry_count == limit
    assert two.rows.row()["max_retry_count"] == limit


NOBODY = Callback()


@pytest.mark.parametrize(
    ("in_row", "in_message", "owed"),
    [
        ({}, NOBODY, None),
        ({"callback_url": ""}, NOBODY, None),
        ({"callback_url": URL}, NOBODY, ("http", URL)),
        ({"callback_url": URL, "callback_type": None}, NOBODY, ("http", URL)),
        ({"callback_type": "rabbitmq"}, NOBODY, ("rabbitmq", None)),
        ({}, Callback(url=OTHER_URL), ("http", OTHER_URL)),
        ({"callback_url": ""}, Callback(url=OTHER_URL), ("http", OTHER_URL)),
        ({}, Callback(type="rabbitmq", data={"queue_name": "x"}), ("rabbitmq", None)),
        ({"callback_url": URL}, Callback(url=OTHER_URL), ("http", URL)),
    ],
)
async def test_the_callback(
    two: Two, plugin: Plugin, in_row: dict[str, Any], in_message: Callback, owed: tuple[str, str | None] | None
) -> None:
    plugin.insert("t", **in_row)
    claim = (await two.deliver_to_a(task(fields={"callback": in_message}))).claim
    assert claim is not None
    await end(two.a, claim, Succeeded({"w": 1}))
    callbacks = (await two.a.outbox.take(60)).callbacks
    assert [(callback.kind, callback.url) for callback in callbacks] == ([owed] if owed else [])
    for callback in callbacks:
        assert json.loads(callback.body)["callback_data"] == (in_message.data or {})


async def test_a_refused_duplicate_of_a_row_that_the_plugin_failed_owes_nothing(two: Two, plugin: Plugin) -> None:
    plugin.insert("t", "failed", callback_url=URL)
    asked = task(fields={"callback": Callback(url=URL)})
    assert not await two.a.tasks.refused_messages.record(asked.message, "t", "no handler", asked)
    assert (await two.a.outbox.take(60)).callbacks == []


async def test_an_empty_callback_type_is_http(two: Two, plugin: Plugin) -> None:
    """What a server that is not strict makes of a value that it does not know."""
    plugin.run("SET sql_mode = ''")
    plugin.insert("t", callback_url=URL, callback_type="")
    claim = (await two.deliver_to_a(task())).claim
    assert claim is not None
    await end(two.a, claim, Succeeded())
    (callback,) = (await two.a.outbox.take(60)).callbacks
    assert (callback.kind, callback.url) == ("http", URL)


@pytest.mark.parametrize(("in_row", "kept"), [('{"n": 1}', {"n": 1}), (None, {"m": 2}), ("null", None)])
async def test_the_data(two: Two, plugin: Plugin, in_row: str | None, kept: Any) -> None:
    plugin.insert("t", data=in_row)
    await two.deliver_to_a(task(fields={"data": {"m": 2}, "priority": 7, "timeout": 1.5}))
    row = two.rows.row()
    assert json.loads(row["data"]) == kept
    assert (row["priority"], row["timeout"]) == (7, 1.5)


async def test_json_that_the_server_will_not_take_is_told(two: Two) -> None:
    """The columns are of the type JSON, or checked to be; a table of ours takes all that a producer may send."""
    deep: Any = 1
    for _ in range(120):
        deep = [deep]
    with pytest.raises(RowRejected):
        await two.deliver_to_a(task("new", fields={"data": deep}))
    claim = (await two.deliver_to_a(task("waiting"))).claim
    assert claim is not None
    transition = await end(two.a, claim, Succeeded(deep))
    assert transition is not None
    assert transition.status is Status.FAILED
    assert str(transition.error).startswith("the database cannot store what the handler sent: ")
    assert two.rows.row("waiting")["error_message"] == transition.error


async def test_a_row_that_somebody_gave_a_word_of_their_own_is_not_touched(two: Two, plugin: Plugin) -> None:
    plugin.run("ALTER TABLE {table} MODIFY status VARCHAR(20)")
    plugin.insert("t", "on hold")
    with pytest.raises(RowRejected, match="'on hold', which no task of ours has"):
        await two.deliver_to_a(task())
    assert plugin.row("t")["status"] == "on hold"


# -- on a clock, and by hand ------------------------------------------------------------------------------------------


async def test_no_row_of_the_plugin_is_woken_rescued_or_counted_as_owed(two: Two, plugin: Plugin) -> None:
    plugin.run(f"UPDATE {{table}} SET created_at = '{LONG_AGO[:19]}', updated_at = '{LONG_AGO[:19]}'")
    before = plugin.answers()
    for queue in ("q", "another"):
        store = await open_store(two.url, migrate=None, queue=queue)
        try:
            assert await store.leases.overdue(judge_others=True) == []
            assert await store.reading.owed() == 0
        finally:
            await store.close()
    assert two.rows.run(f"SELECT * FROM {TASKS}_owed_work") == []
    assert plugin.answers() == before


async def test_a_row_that_we_took_over_is_rescued_as_any_other(two: Two) -> None:
    await two.deliver_to_a(task("busy"), redelivered=True)
    two.rows.expire("A")
    received = await two.deliver_to_b(task("busy", attempt=1, message_id="delayed"))
    assert received.reception == Begin(attempt=2, crashes=2, rescues=True)


async def test_cancel_ends_what_waits_and_its_message_is_a_duplicate(two: Two) -> None:
    for task_id in ("waiting", "nothing", "again"):
        assert await cancel(two.a, task_id) is Steered.CANCELLED
        assert (await two.deliver_to_a(task(task_id))).reception == AckOnly("already ended")


async def test_cancel_of_what_the_plugin_runs_is_kept_until_somebody_takes_it_over(two: Two) -> None:
    assert await cancel(two.a, "busy") is Steered.UNREACHABLE
    reception = (await two.deliver_to_a(task("busy"), redelivered=True)).reception
    assert isinstance(reception, Close)
    assert two.rows.row("busy")["status"] == "cancelled"


async def test_what_the_plugin_failed_runs_again_from_what_its_row_says(two: Two, plugin: Plugin) -> None:
    """Its message is gone: it is made of the columns."""
    before = plugin.row("bad-0")
    message = await retry_by_hand(two.a, "bad-0")
    assert message is not None
    made = wire.decode_task(message, 10_000)
    assert isinstance(made, Task)
    data = None if before["data"] is None else json.loads(before["data"])
    assert (made.task_id, made.task_type, made.data) == ("bad-0", before["task_type"], data)
    received = await two.deliver_to_a(made)
    assert received.claim is not None
    await end(two.a, received.claim, Succeeded())
    assert plugin.row("bad-0")["status"] == "success"


async def test_what_the_plugin_ended_well_or_left_unreadable_is_not_run_again(two: Two, plugin: Plugin) -> None:
    plugin.run(f"UPDATE {TASKS} SET callback_url = 'no\\nurl' WHERE id = 'bad-0'")
    before = plugin.row("bad-0")
    assert await two.a.steering.retry(["good-0", "bad-0"]) == {"good-0": Steered.SUCCESS, "bad-0": Steered.NO_MESSAGE}
    assert not isinstance(await two.a.steering.reopen("good-0"), Reopening)
    assert plugin.row("bad-0") == before


# -- people and programs ask ------------------------------------------------------------------------------------------


async def test_one_task_as_people_see_it(two: Two) -> None:
    view = await two.a.reading.get("good-0")
    assert view is not None
    assert (view["status"], view["progress"], view["data"], view["result"]) == ("success", 100, {"n": 1}, {"w": 640})
    assert (view["attempt"], view["next_run_at"], view["due_in_s"]) == (0, None, None)
    for name in ("created_at", "updated_at", "started_at", "completed_at"):
        assert view[name].endswith(".000")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(view["created_at"] + "+00:00")) < timedelta(minutes=5)
    assert await two.a.reading.attempts("good-0") == []


async def test_odd_rows_as_people_see_them(two: Two, plugin: Plugin) -> None:
    nothing = await two.a.reading.get("nothing")
    assert nothing is not None
    assert {name: nothing[name] for name in ("status", "progress", "retry_count", "max_retry_count")} == {
        "status": "pending",
        "progress": 0,
        "retry_count": 0,
        "max_retry_count": 0,
    }
    assert (nothing["callback_type"], nothing["started_at"], nothing["completed_at"]) == ("http", None, None)
    emoji, null, huge = [await two.a.reading.get(task_id) for task_id in ("emoji", "null", "huge")]
    assert emoji is not None
    assert emoji["data"] == {"name": "Zoë 🦜", "tab": "\t\\"}
    assert null is not None
    assert (null["data"], null["result"]) == (None, None)
    assert huge is not None
    assert huge["data"] == {"text": "x" * HUGE}


async def test_a_time_that_was_never_set_is_none(two: Two, plugin: Plugin) -> None:
    if plugin.shape.explicit_defaults:
        plugin.run("UPDATE {table} SET created_at = NULL WHERE id = 'waiting'")
    else:
        plugin.run("UPDATE {table} SET created_at = 0 WHERE id = 'waiting'")
    view = await two.a.reading.get("waiting")
    assert view is not None
    assert view["created_at"] is None
    (found,) = [row for row in await listed(two.a) if row["task_id"] == "waiting"]
    assert found["created_at"] is None


async def test_lists_and_counts(two: Two) -> None:
    rows = await listed(two.a)
    assert len(rows) == 14
    assert rows[-1]["task_id"] == "last-year"
    assert {row["status"] for row in rows} == {"pending", "running", "retrying", "success", "failed"}
    pending = await listed(two.a, statuses=(Status.PENDING,))
    assert {row["task_id"] for row in pending} == {"waiting", "nothing", "emoji", "huge"}
    recent = await listed(two.a, since=datetime.now(UTC) - timedelta(minutes=30), task_types=("mail",))
    assert [row["task_id"] for row in recent] == ["bad-0"]
    expected = {"pending": 4, "running": 1, "retrying": 1, "success": 5, "failed": 3}
    assert await counts(two.a) == expected
    assert {(one.task_type, one.status): one.count.n for one in await two.a.counting.by_type()} == {
        ("resize", "pending"): 4,
        ("resize", "running"): 1,
        ("resize", "retrying"): 1,
        ("resize", "success"): 5,
        ("mail", "failed"): 3,
    }


async def all_pages(two: Two, limit: int, **wanted: Any) -> list[str]:
    ids: list[str] = []
    page = await two.a.listing.page(Wanted(**wanted), limit=limit)
    while page.next is not None:
        ids += [row["task_id"] for row in page.tasks]
        page = await two.a.listing.page(Wanted(**wanted), page.next, limit)
    return ids + [row["task_id"] for row in page.tasks]


async def test_rows_of_the_earlier_plugin_are_listed_whatever_their_times(two: Two, plugin: Plugin) -> None:
    if plugin.shape.explicit_defaults:
        plugin.run("UPDATE {table} SET created_at = NULL WHERE id IN ('waiting', 'nothing', 'emoji')")
    else:
        plugin.run("UPDATE {table} SET created_at = 0 WHERE id IN ('waiting', 'nothing', 'emoji')")
    everything = [row["id"] for row in plugin.run("SELECT id FROM {table} ORDER BY created_at DESC, id DESC")]
    assert await all_pages(two, limit=2) == everything
    pending = await all_pages(two, limit=1, statuses=(Status.PENDING,))
    assert {"waiting", "nothing", "emoji"} <= set(pending)
    assert len(pending) == len(set(pending)) == 4
    assert sorted(await all_pages(two, limit=1, task_types=("resize",), queue="any")) == sorted(
        row["id"] for row in plugin.run("SELECT id FROM {table} WHERE task_type = 'resize'")
    )


@pytest.mark.parametrize("plugin", ["old server"], indirect=True)
def test_a_wrong_name_is_told(mysql_url: str, plugin: Plugin, tmp_path: Path) -> None:
    write_config(tmp_path, {"default": {"command": ["true"]}}, store={"url": mysql_url, "table_name": "jobs"})
    other = gridsidecar(tmp_path, "migrate").stderr
    assert other.startswith(
        f"the tables grid_async_task_jobs* are created; {TASKS} was there before: store.table_prefix"
    )


@pytest.mark.parametrize("plugin", ["old server"], indirect=True)
def test_the_commands(mysql_url: str, plugin: Plugin, tmp_path: Path) -> None:
    write_config(tmp_path, {"default": {"command": ["true"]}}, store={"url": mysql_url})
    migrated = gridsidecar(tmp_path, "migrate")
    assert (migrated.returncode, migrated.stderr) == (0, f"the table {TASKS} is adopted, with 14 rows\n")
    again = gridsidecar(tmp_path, "migrate")
    assert (again.returncode, again.stderr) == (0, f"the tables {TASKS}* are up to date\n")
    for task_id in ("good-0", "nothing", "again"):
        shown = gridsidecar(tmp_path, "status", task_id, "--json")
        assert json.loads(shown.stdout)["task_id"] == task_id
        assert json.loads(shown.stdout)["created_at"].endswith(".000Z")
        plain = gridsidecar(tmp_path, "status", task_id)
        assert plain.stdout.startswith(f"task      {task_id}\nstatus    ")
    assert "took      60.0 s\n" in gridsidecar(tmp_path, "status", "good-0").stdout
    plugin.run("UPDATE {table} SET created_at = 0 WHERE id = 'waiting'")
    listed = gridsidecar(tmp_path, "tasks", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert re.search(r"^waiting +resize +pending +waiting$", listed.stdout, re.M), "it has no time"
