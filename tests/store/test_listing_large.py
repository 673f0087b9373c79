"""A table of twenty thousand tasks: a page reads few of them, whatever is asked, as the database counts."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from gridsidecar.rules.task import Status
from gridsidecar.store import Position, Wanted
from gridsidecar.store.access_paths import access_path, access_path_of_ids, parameters
from gridsidecar.store.listing import SCAN, listed
from gridsidecar.store.queries import TableNames, load_queries
from tests.conftest import fresh_database
from tests.store.direct import TASKS, Direct
from tests.store.workers import migrate, open_store
from tests.support.database import mysql_session

LIMIT = 50
STEPS = 40  # of SQLite's machine for each row that is read and sorted, about
MIDDLE = Position("2026-01-01 03:00:00.000", "t5")
NAMED = {
    "none": Wanted(),
    "status": Wanted(statuses=(Status.FAILED,)),
    "statuses": Wanted(statuses=(Status.SUCCESS, Status.FAILED)),
    "type": Wanted(task_types=("mail",)),
    "type and status": Wanted(task_types=("mail",), statuses=(Status.RUNNING,)),
    "queue": Wanted(queue="q"),
    "error": Wanted(error_type="Boom"),
    "prefix": Wanted(id_prefix="t12"),
}


@pytest.fixture(scope="module", params=["sqlite", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield filled(f"sqlite:///{tmp_path_factory.mktemp('large')}/{Path('gridsidecar.db')}")
        return
    with fresh_database(request.getfixturevalue("mysql_server_url")) as url:
        yield filled(url)


def filled(url: str) -> str:
    asyncio.run(migrate(url))
    rows = Direct(url)
    digits = "(SELECT 0 AS d UNION ALL " + " UNION ALL ".join(f"SELECT {digit}" for digit in range(1, 10)) + ")"
    number = "(a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d)"
    two = "(SELECT 0 AS d UNION ALL SELECT 1)"
    if rows.is_mysql:
        name, at = f"CONCAT('t', {number})", f"'2026-01-01' + INTERVAL {number} SECOND"
    else:
        name, at = f"'t' || {number}", f"strftime('%Y-%m-%d %H:%M:%f', '2026-01-01', {number} || ' seconds')"
    columns = {
        "id": name,
        "task_type": "CASE WHEN a.d = 0 THEN 'mail' ELSE 'default' END",
        "status": "CASE WHEN b.d = 0 THEN 'failed' WHEN b.d + c.d + e.d = 3 THEN 'running' ELSE 'success' END",
        "error_type": "CASE WHEN b.d = 0 THEN 'Boom' END",
        "queue": "CASE WHEN c.d = 0 THEN 'q' ELSE 'other' END",
        "created_at": at,
        "updated_at": at,
    }
    tables = ", ".join(f"{two if place == 'f' else digits} {place}" for place in "abcef")
    rows.run(f"INSERT INTO {TASKS} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {tables}")
    return url


@pytest.mark.timeout(180)
@pytest.mark.parametrize("after", [None, MIDDLE], ids=["first page", "middle"])
@pytest.mark.parametrize("name", NAMED)
def test_a_named_question_reads_few_rows(url: str, name: str, after: Position | None) -> None:
    wanted = NAMED[name]
    dialect = "mysql" if url.startswith("mysql") else "sqlite"
    path = access_path_of_ids(wanted, dialect) if wanted.id_prefix else access_path(wanted, dialect)
    assert path.rest == ()
    query = listed(load_queries(dialect, TableNames(TASKS)), dialect, path, wanted, after, None)
    place = {} if after is None else {"at": after.created_at, "after": after.id}
    rows, read = run(url, query.text, parameters(wanted) | place | {"limit": LIMIT + 1})
    assert 0 < rows <= LIMIT + 1
    most = 2 * SCAN if wanted.id_prefix else 8 * LIMIT * (2 * len(path.branches) + 1)
    assert read <= most, "twenty thousand are there"


async def test_any_other_question_looks_at_so_many_and_goes_on(url: str) -> None:
    store = await open_store(url, migrate=None)
    try:
        wanted = Wanted(queue="nobody", statuses=(Status.SUCCESS,))
        page = await store.listing.page(wanted)
        assert page.tasks == []
        assert page.next is not None
        looked_at = await store.listing.page(Wanted(statuses=(Status.SUCCESS,)), limit=200)
        for _ in range(SCAN // 200):
            assert looked_at.next is not None
            looked_at = await store.listing.page(Wanted(statuses=(Status.SUCCESS,)), looked_at.next, 200)
        assert page.next.id in {row["task_id"] for row in looked_at.tasks}
    finally:
        await store.close()


def run(url: str, text: str, values: dict[str, Any]) -> tuple[int, int]:
    """How many rows an answer has, and how many were read for it, about."""
    return run_on_mysql(url, text, values) if url.startswith("mysql") else run_on_sqlite(url, text, values)


def run_on_mysql(url: str, text: str, values: dict[str, Any]) -> tuple[int, int]:
    with closing(mysql_session(url)) as session, session.cursor() as cursor:
        for name in sorted(values, key=len, reverse=True):
            text = text.replace(f":{name}", session.escape(values[name]))
        cursor.execute("FLUSH STATUS")
        rows = cursor.execute(text)
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return rows, sum(int(count) for _, count in cursor.fetchall())


def run_on_sqlite(url: str, text: str, values: dict[str, Any]) -> tuple[int, int]:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    with closing(sqlite3.connect(unquote(urlsplit(url).path[1:]))) as file:
        file.set_progress_handler(step, STEPS)
        return len(file.execute(text, values).fetchall()), steps
