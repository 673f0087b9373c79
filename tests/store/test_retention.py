"""What ended long ago goes, with all that belongs to it; whatever is still of use stays."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from gridsidecar.rules.reception import AckOnly, Insert
from gridsidecar.rules.task import Callback, Succeeded
from gridsidecar.store import Retention, Store
from gridsidecar.store.queries import TableNames, load_queries
from tests.store.direct import FAR_AWAY, LONG_AGO, TASKS, Direct
from tests.store.plugin import Plugin
from tests.store.workers import A, B, Two, end, open_store, retry_by_hand, task

DAYS = 3.0
CALLBACK = {"callback": Callback(url="http://receiver.example/done", type="http")}


@dataclass
class Pruners:
    """Three sidecars that keep tasks for three days."""

    stores: Sequence[Store]
    two: Two

    @property
    def rows(self) -> Direct:
        return self.two.rows

    async def prune(self) -> list[str]:
        """One look; the ids that are left."""
        await self.stores[0].retention.prune()
        return self.ids()

    def ids(self) -> list[str]:
        return sorted(row["id"] for row in self.rows.run(f"SELECT id FROM {TASKS}"))

    def age(self, *task_ids: str, **columns: object) -> None:
        """Let them have ended long ago."""
        for task_id in task_ids:
            times = {"created_at": LONG_AGO, "updated_at": LONG_AGO, "completed_at": LONG_AGO}
            self.rows.set(task_id, **(times | columns))

    def count(self, table: str) -> int:
        return int(self.rows.run(f"SELECT COUNT(*) AS n FROM {TASKS}{table}")[0]["n"])


@pytest.fixture
async def pruners(two: Two) -> AsyncIterator[Pruners]:
    stores = [await open_store(two.url, migrate=None, retention_days=DAYS) for _ in range(3)]
    try:
        yield Pruners(stores, two)
    finally:
        for store in stores:
            await store.close()


async def ended(two: Two, task_id: str, **fields: object) -> None:
    received = await two.a.tasks.claim(task(task_id, fields=dict(fields)), A, 0)
    assert received.claim is not None
    assert await end(two.a, received.claim, Succeeded({"w": 1})) is not None


def days_ago(two: Two, days: float) -> str:
    """By the database's own clock."""
    if two.rows.is_mysql:
        sql = "SELECT DATE_FORMAT(UTC_TIMESTAMP(3) - INTERVAL ? SECOND, '%Y-%m-%d %H:%i:%s') AS t".replace("%", "%%")
        return str(two.rows.run(sql, int(days * 86400))[0]["t"])
    return str(two.rows.run("SELECT datetime('now', ? || ' seconds') AS t", -int(days * 86400))[0]["t"])


# -- what goes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["success", "failed", "cancelled"])
async def test_what_ended_long_ago_goes_with_its_history(pruners: Pruners, status: str) -> None:
    await ended(pruners.two, "old")
    await ended(pruners.two, "young")
    pruners.age("old", status=status)
    assert await pruners.prune() == ["young"]
    assert pruners.rows.history("old") == []
    assert pruners.rows.history("young") == [(1, "success")]


async def test_the_age_counts_from_the_end(pruners: Pruners) -> None:
    for name in ("just in time", "too late", "began long ago"):
        await ended(pruners.two, name)
    pruners.age("just in time", completed_at=days_ago(pruners.two, DAYS - 0.01))
    pruners.age("too late", completed_at=days_ago(pruners.two, DAYS + 0.01))
    pruners.rows.set("began long ago", created_at=LONG_AGO, started_at=LONG_AGO)
    assert await pruners.prune() == ["began long ago", "just in time"]


async def test_settled_callbacks_go_with_their_task(pruners: Pruners) -> None:
    for name in ("delivered", "given up"):
        await ended(pruners.two, name, **CALLBACK)
    pruners.age("delivered", "given up")
    run = pruners.rows.run
    run(f"UPDATE {TASKS}_callbacks SET next_try_at = NULL, delivered_at = ? WHERE task_id = 'delivered'", LONG_AGO)
    run(f"UPDATE {TASKS}_callbacks SET next_try_at = NULL, dead = 1 WHERE task_id = 'given up'")
    assert await pruners.prune() == []
    assert (pruners.count("_callbacks"), pruners.count("_attempts")) == (0, 0)


async def test_rows_of_a_program_without_queues_go_too(pruners: Pruners) -> None:
    """Where it did not note the end, its last change counts."""
    insert = f"INSERT INTO {TASKS} (id, task_type, status, created_at, updated_at) VALUES (?, 'x', ?, ?, ?)"
    for task_id, status, updated_at in (
        ("old", "success", LONG_AGO),
        ("changed today", "failed", days_ago(pruners.two, 0)),
        ("waits", "pending", LONG_AGO),
        ("runs", "running", LONG_AGO),
    ):
        pruners.rows.run(insert, task_id, status, LONG_AGO, updated_at)
    assert await pruners.prune() == ["changed today", "runs", "waits"]


async def test_an_adopted_table_is_pruned_by_the_times_that_its_own_program_wrote(
    plugin: Plugin, mysql_url: str
) -> None:
    plugin.run(f"UPDATE {TASKS} SET created_at = '2001-01-01', completed_at = '2001-01-01' WHERE status = 'success'")
    plugin.run(f"UPDATE {TASKS} SET created_at = NOW(), completed_at = NOW() WHERE status = 'failed'")
    store = await open_store(mysql_url, retention_days=DAYS)
    try:
        before = {row["status"]: row["n"] for row in plugin.run(COUNTS)}
        pruned = 0
        while gone := await store.retention.prune():
            pruned += gone
        after = {row["status"]: row["n"] for row in plugin.run(COUNTS)}
    finally:
        await store.close()
    assert pruned == before.pop("success")
    assert after == before


COUNTS = f"SELECT status, COUNT(*) AS n FROM {TASKS} GROUP BY status"


# -- what stays -------------------------------------------------------------------------------------------------------


async def test_nothing_goes_unless_days_are_set(two: Two) -> None:
    await ended(two, "t")
    two.rows.set(created_at=LONG_AGO, completed_at=LONG_AGO)
    assert await two.a.retention.prune() == 0
    assert two.rows.row()["status"] == "success"


@pytest.mark.parametrize("status", ["pending", "running", "retrying"])
async def test_what_has_not_ended_stays_whatever_its_age(pruners: Pruners, status: str) -> None:
    await pruners.two.started()
    pruners.age("t", status=status, completed_at=None)
    assert await pruners.prune() == ["t"]


async def test_a_task_stays_until_its_callback_is_settled(pruners: Pruners) -> None:
    await ended(pruners.two, "t", **CALLBACK)
    pruners.age("t")
    assert await pruners.prune() == ["t"]
    assert pruners.count("_callbacks") == 1
    taken = await pruners.two.a.outbox.take(60)
    assert await pruners.prune() == ["t"], "it is being sent"
    assert await pruners.two.a.outbox.failed(taken.callbacks[0], "refused", retry_in=50)
    assert await pruners.prune() == ["t"], "it is tried again"
    assert await pruners.two.a.outbox.replay("t") == 1
    taken = await pruners.two.a.outbox.take(60)
    assert await pruners.two.a.outbox.delivered(taken.callbacks[0])
    assert await pruners.prune() == []


async def test_other_queues_keep_their_tasks(pruners: Pruners) -> None:
    other = await open_store(pruners.two.url, migrate=None, queue="another")
    try:
        await ended(pruners.two, "ours")
        received = await other.tasks.claim(task("theirs"), B, 0)
        assert received.claim is not None
        await end(other, received.claim, Succeeded())
    finally:
        await other.close()
    pruners.age("ours", "theirs")
    assert await pruners.prune() == ["theirs"]


async def test_a_task_that_is_run_again_by_hand_meanwhile_stays(pruners: Pruners) -> None:
    await ended(pruners.two, "t")
    pruners.age("t", status="failed")
    assert await retry_by_hand(pruners.two.a, "t") is not None
    assert await pruners.prune() == ["t"]


async def test_duplicates_are_known_as_long_as_the_row_is_there(pruners: Pruners) -> None:
    """After that a straggler would run the task again: hence no retention below the longest delay."""
    await ended(pruners.two, "t")
    assert (await pruners.two.deliver_to_b(task(attempt=1))).reception == AckOnly("already ended")
    pruners.age("t")
    assert await pruners.prune() == []
    assert (await pruners.two.deliver_to_b(task())).reception == Insert()


# -- many at once -----------------------------------------------------------------------------------------------------


def fill(rows: Direct, count: int, *, at: str = LONG_AGO, queue: str = "q", prefix: str = "t") -> None:
    """So many ended tasks, each with its history and a delivered callback."""
    digits = "(SELECT 0 AS d UNION ALL " + " UNION ALL ".join(f"SELECT {digit}" for digit in range(1, 10)) + ")"
    number = " + ".join(f"{place}.d * {10**power}" for power, place in enumerate("abcde"))
    ids = f"FROM {', '.join(f'{digits} {place}' for place in 'abcde')} WHERE {number} < {count}"
    name = f"CONCAT('{prefix}', {number})" if rows.is_mysql else f"'{prefix}' || ({number})"
    for table, values in (
        ("", {"id": name, "status": "'success'", "created_at": "?", "updated_at": "?", "completed_at": "?",
              "queue": f"'{queue}'", "body": "'{}'"}),
        ("_attempts", {"task_id": name, "attempt": "1", "ended_at": "?", "outcome": "'success'"}),
        ("_callbacks", {"task_id": name, "rerun": "0", "id": name, "attempt": "1", "queue": f"'{queue}'",
                        "kind": "'http'", "receiver": "'h:80'", "body": "'{}'", "created_at": "?"}),
    ):  # fmt: skip
        sql = f"INSERT INTO {TASKS}{table} ({', '.join(values)}) SELECT {', '.join(values.values())} {ids}"
        rows.run(sql, *[at] * sql.count("?"))


async def test_a_batch_is_bounded_and_begins_with_the_oldest(pruners: Pruners) -> None:
    fill(pruners.rows, 25)
    for number in range(25):
        pruners.rows.set(f"t{number}", created_at=f"2001-01-{number + 1:02} 00:00:00.000")
    assert await pruners.stores[0].retention.prune(limit=10) == 10
    assert pruners.ids() == sorted(f"t{number}" for number in range(10, 25))
    assert await pruners.stores[0].retention.prune(limit=20) == 15


async def test_three_at_once_share_the_work(pruners: Pruners) -> None:
    fill(pruners.rows, 3000)

    async def until_nothing_is_left(retention: Retention) -> int:
        total = 0
        while True:
            total += (pruned := await retention.prune(limit=100))
            if not pruned and not pruners.count(""):
                return total

    shares = await asyncio.gather(*(until_nothing_is_left(store.retention) for store in pruners.stores))
    assert sum(shares) == 3000, "each task is deleted by one of them"
    assert (pruners.count("_attempts"), pruners.count("_callbacks")) == (0, 0)


async def test_tasks_begin_and_end_while_others_are_deleted(pruners: Pruners) -> None:
    fill(pruners.rows, 3000)

    async def work() -> int:
        for number in range(100):
            await ended(pruners.two, f"new {number}", **CALLBACK)
        return 0

    async def prune(retention: Retention) -> int:
        total = 0
        while pruned := await retention.prune(limit=100):
            total += pruned
        return total

    shares = await asyncio.gather(work(), *(prune(store.retention) for store in pruners.stores))
    assert sum(shares) + await pruners.stores[0].retention.prune(limit=3000) == 3000
    assert len(pruners.ids()) == pruners.count("_callbacks") == 100


@pytest.mark.timeout(300)
async def test_many_go_in_bounded_time(pruners: Pruners) -> None:
    fill(pruners.rows, 20_000)
    longest, began = 0.0, time.monotonic()
    while True:
        batch_began = time.monotonic()
        if not await pruners.stores[0].retention.prune():
            break
        longest = max(longest, time.monotonic() - batch_began)
    assert pruners.count("") == 0
    print(f"{time.monotonic() - began:.1f} s, the longest batch {longest:.2f} s")
    assert time.monotonic() - began < 100
    assert longest < 10, "nobody waits for long behind a batch"


async def test_looking_for_old_tasks_does_not_read_all_the_others(pruners: Pruners) -> None:
    """Ours are young, those of a queue that keeps everything are old."""
    fill(pruners.rows, 10_000, at=FAR_AWAY)
    fill(pruners.rows, 10_000, queue="another", prefix="theirs")
    rows = pruners.rows
    query = load_queries("mysql" if rows.is_mysql else "sqlite", TableNames(TASKS))["ended_long_ago"]
    text = query.text.replace(":queue", "'q'").replace(":age", "259200").replace(":limit", "500")
    text = text.replace(":aside", "('')" if rows.is_mysql else "'[]'")
    if rows.is_mysql:
        rows.run(f"ANALYZE TABLE {TASKS}")
        tasks, callbacks = rows.run(f"EXPLAIN FORMAT=TRADITIONAL {text}")
        assert tasks["key"] == "ix_queue"
        assert int(tasks["rows"]) < 100
        assert "filesort" not in (tasks["Extra"] or "")
        assert callbacks["select_type"] == "DEPENDENT SUBQUERY"
        assert int(callbacks["rows"]) < 100
    else:
        plan = rows.run(f"EXPLAIN QUERY PLAN {text}")[0]
        assert re.search(rf"USING INDEX {TASKS}_queue \(queue=\? AND created_at<\?\)", plan["detail"])
    assert await pruners.stores[0].retention.prune() == 0
    assert pruners.count("") == 20_000
