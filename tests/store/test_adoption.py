"""The table of the earlier plugin, adopted: dashboards and the plugin find what they knew, our store what it needs."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gridsidecar.errors import AccessRefused
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Failed, Progress, Succeeded
from gridsidecar.store.mysql.adoption import changes
from gridsidecar.store.mysql.definition import Table
from gridsidecar.store.queries import SCHEMA_VERSION, TableNames, load_migrations
from tests.conftest import execute_on_server
from tests.store.direct import TASKS, Direct, Row, changed
from tests.store.plugin import SHAPES, Plugin, numbers, without
from tests.store.test_migration import OURS
from tests.store.workers import A, cancel, counts, end, migrate, open_store, task

ROOT = Path(__file__).parents[2]


def columns(url: str, table: str = TASKS) -> dict[str, Row]:
    rows = Direct(url).run(
        "SELECT column_name AS name, column_type AS type, is_nullable AS nullable, column_default AS fallback, "
        "extra AS extra, collation_name AS collation FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = ?",
        table,
    )
    return {row["name"]: row for row in rows}


def definition(url: str, table: str = TASKS) -> Table:
    ((name, text),) = (row.items() for row in Direct(url).run(f"SHOW CREATE TABLE `{table}`"))
    assert name == ("Table", table)
    return Table.of(text[1])


# -- what is there afterwards -----------------------------------------------------------------------------------------


async def test_dashboards_get_the_same_answers(mysql_url: str, plugin: Plugin) -> None:
    before = plugin.answers()
    await migrate(mysql_url)
    assert plugin.answers() == before


async def test_dashboards_get_the_same_answers_when_one_old_task_is_run(mysql_url: str, plugin: Plugin) -> None:
    before, was = plugin.answers(), plugin.row("waiting")
    store = await open_store(mysql_url)
    try:
        (start,) = plugin.run("SELECT NOW() - INTERVAL 1 SECOND AS moment")
        claim = (await store.tasks.claim(task("waiting"), A, 0)).claim
        assert claim is not None
        await end(store, claim, Succeeded({"w": 1}))
        (stop,) = plugin.run("SELECT NOW() + INTERVAL 1 SECOND AS moment")
    finally:
        await store.close()
    after = plugin.answers()
    by_id = [question for question in before if question.startswith("SELECT id")]
    assert len(by_id) > 6
    for question in by_id:
        assert without(after, "waiting")[question] == without(before, "waiting")[question]
    row = plugin.row("waiting")
    assert (row["status"], row["progress"], row["created_at"]) == ("success", 100, was["created_at"])
    assert start["moment"] <= row["started_at"] <= row["completed_at"] <= stop["moment"]
    assert start["moment"] <= row["updated_at"] <= stop["moment"]
    (count,) = plugin.run("SELECT COUNT(*) AS n FROM {table} WHERE task_type = 'resize' AND status = 'success'")
    assert count["n"] == 1 + sum(row["status"] == "success" for row in before[by_id[0]])


async def test_the_table_has_all_that_ours_has(mysql_url: str, plugin: Plugin) -> None:
    await migrate(mysql_url)
    await migrate(mysql_url, table_prefix="own_")
    assert columns(mysql_url).keys() == columns(mysql_url, "own_tasks").keys()
    ours, theirs = definition(mysql_url, "own_tasks"), definition(mysql_url)
    assert ours.key_names <= theirs.key_names
    assert theirs.engine == "innodb"
    assert list(changes(Table.of(load_migrations("mysql", TableNames("x"))[0][1][0]), theirs)) == []
    assert Direct(mysql_url).tables() == OURS | {name.replace(TASKS, "own_tasks") for name in OURS}


async def test_the_page_names_what_is_added(mysql_url: str, plugin: Plugin) -> None:
    """Tables and the number of indexes, in both languages."""

    def indexes() -> set[str]:
        return {row["Key_name"] for row in Direct(mysql_url).run(f"SHOW INDEX FROM `{TASKS}`")}

    before = indexes()
    await migrate(mysql_url)
    tables = {name for row in Direct(mysql_url).run("SHOW TABLES") for name in row.values()}
    assert len(indexes() - before) == 7
    for page, words in (("migration.md", "seven indexes"), ("migration.zh-CN.md", "七个索引")):
        text = (ROOT / "docs" / page).read_text()
        assert text.count(words) == 2, page
        assert {TASKS + ending for ending in re.findall(r"`…(_\w+)`", text)} == tables - {TASKS}, page


async def test_types_that_queries_rely_on_stay(mysql_url: str, plugin: Plugin) -> None:
    before = columns(mysql_url)
    await migrate(mysql_url)
    after = columns(mysql_url)
    for name in ("data", "result", "progress", "retry_count", "max_retry_count", "callback_type"):
        assert after[name] == before[name]
    for name in ("created_at", "updated_at", "started_at", "completed_at"):
        assert after[name]["type"] == "timestamp"
    assert after["status"] == before["status"] | {"type": before["status"]["type"].replace(")", ",'cancelled')")}
    assert after["id"]["collation"] == "utf8mb4_bin"


async def test_no_time_is_set_to_now_behind_our_back(mysql_url: str, plugin: Plugin) -> None:
    await migrate(mysql_url)
    after = columns(mysql_url)
    for name in ("created_at", "started_at", "completed_at"):
        assert "on update" not in after[name]["extra"].lower()
    for name in ("created_at", "updated_at"):
        assert "current_timestamp" in after[name]["fallback"].lower()
    for name in ("started_at", "completed_at"):
        assert after[name]["nullable"] == "YES"
        assert after[name]["fallback"] in (None, "NULL")


async def test_a_time_that_was_never_set_becomes_null_and_nothing_else_changes(mysql_url: str) -> None:
    with closing(Plugin(mysql_url, SHAPES["old server"])) as plugin:
        plugin.create()
        rows = 1203  # more than are changed at once
        plugin.run(
            "INSERT INTO {table} (id, task_type) SELECT CONCAT('many-', seq), 'x' FROM (" + numbers(rows) + ") n"
        )
        plugin.insert("begun", "running", 50, started_at=40)
        plugin.run("UPDATE {table} SET updated_at = 0, created_at = '2020-01-01 00:00:00' WHERE id = 'many-7'")
        zero = "SELECT COUNT(*) AS n FROM {table} WHERE started_at = 0 OR completed_at = 0"
        assert plugin.run(zero) == [{"n": rows + 1}]
        before = plugin.run("SELECT id, created_at, updated_at, NULLIF(started_at, 0) AS s FROM {table} ORDER BY id")
        await migrate(mysql_url)
        assert plugin.run(zero) == [{"n": 0}]
        after = plugin.run("SELECT id, created_at, updated_at, started_at AS s FROM {table} ORDER BY id")
        assert [row | {"s": str(row["s"])} for row in after] == [row | {"s": str(row["s"])} for row in before]
        assert plugin.row("many-7")["completed_at"] is None


async def test_ids_are_told_apart_byte_by_byte(mysql_url: str, plugin: Plugin) -> None:
    store = await open_store(mysql_url)
    try:
        for other in ("Waiting", "waitíng", "waiting🦜"):
            claim = (await store.tasks.claim(task(other), A, 0)).claim
            assert claim is not None
            await store.tasks.progress(claim, Progress(50))
        assert (await store.tasks.claim(task("good-0"), A, 0)).claim is None
        assert await store.reading.get("GOOD-0") is None
    finally:
        await store.close()
    rows = Direct(mysql_url).run(f"SELECT id FROM {TASKS} WHERE progress = 50")
    assert {row["id"] for row in rows} == {"Waiting", "waitíng", "waiting🦜"}
    assert plugin.row("waiting")["status"] == "pending"


async def test_whatever_we_write_can_be_stored(mysql_url: str, plugin: Plugin) -> None:
    store = await open_store(mysql_url)
    try:
        claim = (await store.tasks.claim(task("🦜", fields={"data": {"名": "🦜"}, "task_type": "类"}), A, 0)).claim
        assert claim is not None
        await end(store, claim, Failed(error="🦜 " * 2000, error_type="🦜", traceback="🦜"))
        view = await store.reading.get("🦜")
    finally:
        await store.close()
    assert view is not None
    assert (view["data"], view["error_message"], view["task_type"]) == ({"名": "🦜"}, "🦜 " * 2000, "类")


@pytest.mark.parametrize(("prefix", "name"), [("", "tasks"), ("acme_", "jobs"), ("", "order"), ("", "2026_Tasks")])
async def test_prefix_and_name_are_those_of_the_old_table(mysql_url: str, prefix: str, name: str) -> None:
    with closing(Plugin(mysql_url, SHAPES["old server"], f"{prefix}{name}")) as plugin:
        plugin.create()
        plugin.fill()
        before = plugin.answers()
        store = await open_store(mysql_url, table_prefix=prefix, table_name=name)
        try:
            assert (await counts(store))["pending"] == 4
            assert (await store.tasks.claim(task("waiting"), A, 0)).claim is not None
            assert (await store.tasks.claim(task("new"), A, 0)).claim is not None
        finally:
            await store.close()
        assert plugin.answers().keys() == before.keys()
    side = {table.removeprefix(TASKS) for table in OURS}
    assert Direct(mysql_url).tables() == {f"{prefix}{name}{ending}" for ending in side}


async def test_another_installation_beside_it_is_left_alone(mysql_url: str, plugin: Plugin) -> None:
    before = definition(mysql_url)
    await migrate(mysql_url, table_prefix="own_")
    assert definition(mysql_url) == before


@pytest.mark.parametrize("plugin", ["new server", "old server"], indirect=True)
async def test_the_rights_that_are_asked_for_are_enough(
    mysql_url: str, mysql_server_url: str, plugin: Plugin, stranger: str
) -> None:
    database, host = urlsplit(mysql_url).path[1:], urlsplit(mysql_url).netloc.rpartition("@")[2]
    rights = "select, insert, update, delete, alter, create, drop, create view"
    execute_on_server(mysql_server_url, f"grant {rights} on {database}.* to '{stranger}'@'%'")
    before = plugin.answers()
    await migrate(changed(mysql_url, netloc=f"{stranger}:right%2Fp%40ss@{host}"))
    assert plugin.answers() == before
    assert Direct(mysql_url).tables() == OURS


# -- tables that somebody changed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", ["new server", "old server"], indirect=True)
async def test_columns_and_keys_of_others_stay(mysql_url: str, plugin: Plugin) -> None:
    plugin.run(
        "ALTER TABLE {table} ADD tenant VARCHAR(20) NOT NULL DEFAULT 'it''s', ADD `odd name` DECIMAL(9, 2) NULL, "
        "ADD serial BIGINT NOT NULL AUTO_INCREMENT, ADD picture BLOB NULL, ADD day DATE NULL, "
        "ADD done INT AS (progress + 1) STORED, ADD KEY by_serial (serial), ADD UNIQUE KEY by_day (day, tenant), "
        "ADD UNIQUE KEY again (id), ADD KEY ix_status (status), ADD KEY by_start (error_message(20), `odd name`)"
    )
    plugin.run("UPDATE {table} SET `odd name` = 1.50, picture = 'a', day = '2026-01-02' WHERE id = 'good-0'")
    before, keys = columns(mysql_url), definition(mysql_url).keys
    await migrate(mysql_url)
    after = columns(mysql_url)
    for name in ("tenant", "odd name", "serial", "picture", "day", "done"):
        assert after[name] == before[name]
    assert set(keys) < set(definition(mysql_url).keys)
    store = await open_store(mysql_url)
    try:
        for task_id in ("one", "two", "waiting"):
            assert (await store.tasks.claim(task(task_id), A, 0)).claim is not None
        view = await store.reading.get("good-0")
        assert view is not None
        assert "picture" not in view
    finally:
        await store.close()


@pytest.mark.parametrize("plugin", ["new server", "old server"], indirect=True)
async def test_columns_that_are_missing_are_added(mysql_url: str, plugin: Plugin) -> None:
    missing = ("created_at", "updated_at", "started_at", "completed_at", "result", "callback_url", "retry_count")
    plugin.run("ALTER TABLE {table} " + ", ".join(f"DROP {name}" for name in missing))
    store = await open_store(mysql_url)
    try:
        plugin.run("INSERT INTO {table} (id, task_type) VALUES ('later', 'x')")
        for task_id in ("waiting", "later", "ours"):
            claim = (await store.tasks.claim(task(task_id), A, 0)).claim
            assert claim is not None
            await end(store, claim, Succeeded({"w": 1}))
        assert (await counts(store))["success"] == 8
    finally:
        await store.close()
    rows = plugin.run("SELECT id FROM {table} WHERE created_at > NOW() - INTERVAL 1 MINUTE AND created_at <= NOW()")
    assert len(rows) == len(plugin.run("SELECT id FROM {table}"))


@pytest.mark.parametrize("plugin", ["new server", "old server"], indirect=True)
async def test_columns_that_are_too_narrow_or_strict_are_widened(mysql_url: str, plugin: Plugin) -> None:
    plugin.run("SET sql_mode = ''")
    plugin.run("DELETE FROM {table} WHERE id = 'huge'")
    plugin.run("UPDATE {table} SET status = 'pending', progress = 0 WHERE status IS NULL")
    plugin.run(
        "ALTER TABLE {table} MODIFY id CHAR(40), MODIFY status VARCHAR(8) NOT NULL, MODIFY result TEXT, "
        "MODIFY error_message VARCHAR(100) CHARACTER SET utf8mb3 NOT NULL DEFAULT '', "
        "MODIFY callback_url VARCHAR(200) NOT NULL DEFAULT '', MODIFY progress INT NOT NULL, "
        "MODIFY callback_type CHAR(8)"
    )
    before = plugin.answers()
    store = await open_store(mysql_url)
    try:
        assert plugin.answers() == before
        long = task("i" * 255, fields={"max_retry_count": 0})
        claim = (await store.tasks.claim(long, A, 0)).claim
        assert claim is not None
        await end(store, claim, Failed(error="🦜" * 9000, error_type="Odd"))
        claim = (await store.tasks.claim(task("good"), A, 0)).claim
        assert claim is not None
        await end(store, claim, Succeeded("x" * 100_000))
        assert await cancel(store, "waiting") is Steered.CANCELLED
    finally:
        await store.close()
    assert plugin.row("i" * 255)["error_message"] == "🦜" * 9000
    assert len(plugin.row("good")["result"]) == 100_002


@pytest.mark.parametrize("plugin", ["new server", "old server"], indirect=True)
async def test_a_status_that_takes_every_word_stays(mysql_url: str, plugin: Plugin) -> None:
    plugin.run("ALTER TABLE {table} MODIFY status VARCHAR(50) CHARACTER SET latin1 NULL DEFAULT 'pending' COMMENT 'x'")
    before = columns(mysql_url)["status"]
    await migrate(mysql_url)
    assert columns(mysql_url)["status"] == before


async def test_words_of_an_enum_that_others_added_keep_their_numbers(mysql_url: str) -> None:
    with closing(Plugin(mysql_url, SHAPES["new server"])) as plugin:
        plugin.create()
        plugin.run("ALTER TABLE {table} MODIFY status ENUM('pending','it''s, ok)','running','success','failed')")
        plugin.insert("odd", "it's, ok)")
        await migrate(mysql_url)
        assert plugin.run("SELECT status, status + 0 AS n FROM {table}") == [{"status": "it's, ok)", "n": 2}]
        enum = columns(mysql_url)["status"]["type"]
        assert enum == "enum('pending','it''s, ok)','running','success','failed','retrying','cancelled')"


async def test_only_checking_an_old_table_names_the_command_and_changes_nothing(mysql_url: str, plugin: Plugin) -> None:
    before = definition(mysql_url)
    with pytest.raises(AccessRefused, match="run `gridsidecar migrate`"):
        await open_store(mysql_url, migrate=False)
    assert definition(mysql_url) == before
    assert Direct(mysql_url).tables() == {TASKS}
    await migrate(mysql_url)
    await (await open_store(mysql_url, migrate=False)).close()
    rows = Direct(mysql_url).run(f"SELECT version FROM {TASKS}_schema_version ORDER BY version")
    assert [row["version"] for row in rows] == list(range(1, SCHEMA_VERSION + 1))
