"""Tables that cannot be adopted: one sentence says why and what to do, and nothing was changed."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from gridsidecar.errors import AccessRefused
from tests.conftest import execute_on_server
from tests.store.direct import TASKS, Direct, changed
from tests.store.plugin import Plugin
from tests.store.workers import A, migrate, open_store, task

pytestmark = pytest.mark.parametrize("plugin", ["new server", "old server"], indirect=True)


def everything(url: str) -> list[Any]:
    direct = Direct(url)
    return [(name, direct.run(f"SHOW CREATE TABLE `{name}`")) for name in sorted(direct.tables())]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            "CHANGE id task_id VARCHAR(255)",
            "has no column id, so it is no table of tasks; choose another store.table_n",
        ),
        ("DROP PRIMARY KEY", r"primary key must be id alone, and is none; ALTER TABLE … ADD PRIMARY KEY \(id\)"),
        ("DROP PRIMARY KEY, ADD PRIMARY KEY (id, task_type)", "must be id alone, and is id, task_type"),
        ("DROP PRIMARY KEY, ADD PRIMARY KEY (id(50))", r"must be id alone, and is id`?\(50\)"),
        ("MODIFY id INT NOT NULL AUTO_INCREMENT", r"column id is int(\(11\))?, and the ids of tasks are text"),
        ("MODIFY id VARBINARY(255)", r"column id is varbinary\(255\), and the ids of tasks are text; make it VARCHAR"),
        (
            "ADD tenant VARCHAR(20) NOT NULL",
            r"column tenant has neither a default nor NULL.* MODIFY COLUMN `tenant` varc",
        ),
        ("ADD t TIMESTAMP(3) NOT NULL DEFAULT NOW(3), ADD x JSON NOT NULL", "column x has neither a default"),
        (
            "ADD UNIQUE KEY one_type (task_type, created_at)",
            "unique key one_type on task_type, created_at would refuse",
        ),
        ("ADD r VARCHAR(9) NOT NULL DEFAULT '', ADD UNIQUE KEY rr (r)", "unique key rr on r would refuse"),
        ("MODIFY data BLOB", "column data is blob, and must take longtext; rename it, or change its type"),
        ("DROP created_at, ADD created_at BIGINT NULL", r"created_at is bigint(\(20\))?, and must take datetime\(3\)"),
        ("MODIFY status TEXT", r"column status is text, and must take varchar\(12\)"),
        ("DROP status, ADD status TINYINT", r"column status is tinyint(\(4\))?, and must"),
        ("DROP progress, ADD progress INT AS (retry_count * 10) VIRTUAL", "column progress is computed, and must"),
        ("ADD queue DATE NULL", r"column queue is date, and must take varchar\(255\)"),
    ],
)
async def test_a_table_that_differs_too_much(mysql_url: str, plugin: Plugin, change: str, problem: str) -> None:
    plugin.run("DELETE FROM {table}")
    plugin.run(f"ALTER TABLE {{table}} {change}")
    before = everything(mysql_url)
    with pytest.raises(AccessRefused, match=problem) as caught:
        await migrate(mysql_url)
    assert str(caught.value).startswith(f"cannot adopt the table {TASKS} in root@")
    assert "\n" not in str(caught.value)
    assert everything(mysql_url) == before


async def test_the_advice_for_a_column_without_default_helps(mysql_url: str, plugin: Plugin) -> None:
    plugin.run("ALTER TABLE {table} ADD tenant VARCHAR(20) NOT NULL COMMENT 'whose'")
    with pytest.raises(AccessRefused) as caught:
        await migrate(mysql_url)
    advice = re.search(r"ALTER TABLE … (MODIFY .*), or give", str(caught.value))
    assert advice is not None
    plugin.run(f"ALTER TABLE {{table}} {advice[1]}")
    store = await open_store(mysql_url)
    try:
        assert (await store.tasks.claim(task(), A, 0)).claim is not None
    finally:
        await store.close()


async def test_a_view(mysql_url: str, plugin: Plugin) -> None:
    plugin.run(f"RENAME TABLE {TASKS} TO real_tasks")
    plugin.run(f"CREATE VIEW {TASKS} AS SELECT * FROM real_tasks")
    with pytest.raises(AccessRefused, match=f"{TASKS} in .*: it is no table; choose another store.table_name"):
        await migrate(mysql_url)
    assert Direct(mysql_url).tables() == {TASKS, "real_tasks"}


async def test_a_table_that_others_refer_to(mysql_url: str, plugin: Plugin) -> None:
    plugin.run("CREATE TABLE child (id VARCHAR(255), CONSTRAINT of_task FOREIGN KEY (id) REFERENCES {table} (id))")
    before = everything(mysql_url)
    with pytest.raises(
        AccessRefused, match=r"of_task.*\(error (1832|1833|3780)\); drop that constraint, migrate, and create"
    ):
        await migrate(mysql_url)
    assert everything(mysql_url) == before


async def test_no_right_to_change_the_table(
    mysql_url: str, mysql_server_url: str, plugin: Plugin, stranger: str
) -> None:
    database, host = urlsplit(mysql_url).path[1:], urlsplit(mysql_url).netloc.rpartition("@")[2]
    execute_on_server(mysql_server_url, f"grant select, insert, update, create on {database}.* to '{stranger}'@'%'")
    before = everything(mysql_url)
    with pytest.raises(
        AccessRefused, match=r"ALTER command denied.*\(error 1142\); grant ALTER, CREATE and INS"
    ) as caught:
        await migrate(changed(mysql_url, netloc=f"{stranger}:right%2Fp%40ss@{host}"))
    assert "\n" not in str(caught.value)
    assert everything(mysql_url) == before
