"""An adoption in a live installation: the plugin writes, processes die and race, the table is large."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import pytest

from gridsidecar.errors import StoreUnavailable
from gridsidecar.rules.task import Succeeded
from tests.store.cutting import cutting
from tests.store.direct import TASKS, Direct, Row
from tests.store.migrating import migrate_at_once
from tests.store.plugin import SHAPES, Plugin, numbers, writing
from tests.store.test_migration import OURS
from tests.store.workers import A, end, migrate, open_store, task
from tests.support.waiting import eventually

SMALL = ("new server", "old server")
WAITING = (
    "SELECT id FROM information_schema.processlist "
    "WHERE db = DATABASE() AND state LIKE '%metadata lock%' AND info LIKE 'ALTER%'"
)
live = pytest.mark.parametrize("plugin", SMALL, indirect=True)


def schema(url: str) -> list[Row]:
    """Everything that the database holds, but for names of its own and times."""
    direct = Direct(url)
    made = [next(iter(direct.run(f"SHOW CREATE TABLE `{name}`"))) for name in sorted(direct.tables())]
    versions = direct.run(f"SELECT version FROM {TASKS}_schema_version ORDER BY version")
    return [{"text": row.get("Create Table") or row["Create View"].replace(url, "")} for row in made] + versions


@pytest.mark.parametrize("plugin", list(SHAPES), indirect=True)
async def test_the_plugin_writes_on_without_one_error(mysql_url: str, plugin: Plugin) -> None:
    with writing(mysql_url, plugin.shape) as writer:
        await eventually(lambda: writer.error or len(writer.done) > 20)
        store = await open_store(mysql_url)
        try:
            seen = len(writer.done)
            for number in range(20):
                claim = (await store.tasks.claim(task(f"ours-{number}"), A, 0)).claim
                assert claim is not None
                await end(store, claim, Succeeded({"w": 1}))
            await eventually(lambda: writer.error or len(writer.done) > seen + 40)
        finally:
            await store.close()
    assert writer.error is None
    rows = plugin.run(
        "SELECT id, status, progress, JSON_EXTRACT(result, '$.ok') AS ok, callback_type, attempt, worker_id, "
        "started_at <= completed_at AND completed_at <= updated_at "
        "AND created_at > NOW() - INTERVAL 5 MINUTE AND completed_at <= NOW() AS timed "
        "FROM {table} WHERE task_type = 'old'"
    )
    assert {row.pop("id") for row in rows} == set(writer.done)
    written = {"status": "success", "progress": 100, "ok": "true", "callback_type": "http"}
    assert rows == [written | {"attempt": 0, "worker_id": None, "timed": 1}] * len(writer.done)
    # Before, the old server set created_at anew at each UPDATE.
    later = ", ".join(f"'{task_id}'" for task_id in writer.done[seen + 2 :])
    assert plugin.run(f"SELECT id FROM {{table}} WHERE id IN ({later}) AND created_at > started_at") == []
    ours = plugin.run("SELECT COUNT(*) AS n FROM {table} WHERE id LIKE 'ours-%' AND status = 'success'")
    assert ours == [{"n": 20}]


@live
async def test_broken_off_after_any_write_it_is_completed(
    mysql_url: str, plugin: Plugin, mysql_server_url: str
) -> None:
    plugin.run("DELETE FROM {table} WHERE id = 'huge'")
    before = plugin.answers()
    plugin.run("CREATE TABLE kept LIKE {table}")
    plugin.run("INSERT INTO kept SELECT * FROM {table}")
    await migrate(mysql_url)
    whole = schema(mysql_url)
    cut_off: list[bytes] = []
    for after in range(1, 100):
        start_again(mysql_url, plugin)
        async with cutting(mysql_url, after) as (cut, through):
            try:
                await migrate(through)
            except StoreUnavailable:
                assert cut.done
                cut_off.append(cut.last)
            else:
                break
        await migrate(mysql_url)
        assert schema(mysql_url) == whole
        assert plugin.answers() == before
    # Adoption, the tables of both migrations, their changes to the adopted one, and the notes of what was done.
    assert len(cut_off) >= 14
    assert cut_off[0].startswith(b"ALTER TABLE `grid_async_task_tasks` MODIFY COLUMN `id`")
    assert cut_off[-1].startswith(b"INSERT INTO `grid_async_task_tasks_schema_version`")


def start_again(url: str, plugin: Plugin) -> None:
    """The old table as it was, and nothing of ours."""
    plugin.run(f"DROP VIEW IF EXISTS {TASKS}_owed_work")
    plugin.run("DROP TABLE IF EXISTS " + ", ".join(name for name in OURS if not name.endswith("_owed_work")))
    plugin.run("CREATE TABLE {table} LIKE kept")
    plugin.run("INSERT INTO {table} SELECT * FROM kept")
    assert Direct(url).tables() == {"kept", TASKS}


@pytest.mark.parametrize("plugin", ["old server"], indirect=True)
async def test_ten_processes_at_once_adopt_one_table(mysql_url: str, plugin: Plugin) -> None:
    before = plugin.answers()
    with writing(mysql_url, plugin.shape) as writer:
        assert migrate_at_once(mysql_url, 10) == [(0, "done\n", "")] * 10
    assert writer.error is None
    assert Direct(mysql_url).tables() == OURS
    assert Direct(mysql_url).run(f"SELECT id, attempt FROM {TASKS} WHERE attempt > 0") == [
        {"id": "first of all", "attempt": 1}
    ]
    plugin.run("DELETE FROM {table} WHERE id = 'first of all' OR task_type = 'old'")
    assert plugin.answers() == before


@live
async def test_a_hundred_thousand_rows(mysql_url: str, plugin: Plugin) -> None:
    plugin.run(
        "INSERT INTO {table} (id, task_type, status, data, created_at, updated_at) "
        "SELECT CONCAT('many-', seq), 'bulk', IF(seq % 10, 'success', 'pending'), '{\"n\": 7}', NOW(), NOW() FROM ("
        + numbers(100_000)
        + ") n"
    )
    question = "SELECT status, COUNT(*) AS n FROM {table} GROUP BY status ORDER BY status"
    before = plugin.run(question)
    assert {row["status"]: row["n"] // 10_000 for row in before if row["n"] > 100} == {"pending": 1, "success": 9}
    with writing(mysql_url, plugin.shape) as writer:
        start = time.monotonic()
        await migrate(mysql_url)
        took = time.monotonic() - start
        seen = len(writer.done)
        await eventually(lambda: writer.error or len(writer.done) > seen)
    assert writer.error is None
    plugin.run("DELETE FROM {table} WHERE task_type = 'old'")
    assert plugin.run(question) == before
    assert plugin.run("SELECT COUNT(*) AS n FROM {table} WHERE completed_at = 0") == [{"n": 0}]
    assert took < 60


@live
async def test_a_table_that_somebody_holds_is_waited_for_and_its_writers_with_it(
    mysql_url: str, plugin: Plugin
) -> None:
    with closing(Plugin(mysql_url, plugin.shape)) as reader, writing(mysql_url, plugin.shape) as writer:
        reader.run("BEGIN")
        reader.run("SELECT COUNT(*) FROM {table}")
        adoption = asyncio.create_task(migrate(mysql_url))
        try:
            await eventually(lambda: plugin.run(WAITING))
            assert not adoption.done()
        finally:
            reader.run("COMMIT")
            await adoption
        seen = len(writer.done)
        await eventually(lambda: writer.error or len(writer.done) > seen)
    assert writer.error is None
