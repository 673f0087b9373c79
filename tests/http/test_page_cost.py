"""Five pages that stay open cost so much and no more, however large the table of tasks is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.pages import OVERVIEW
from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import Settings
from gridsidecar.http import ApiServer
from gridsidecar.store.queries import Query
from tests.conftest import fresh_database
from tests.store.direct import TASKS, Direct, mysql_session
from tests.store.workers import migrate

ROWS = 1_000_000
RUNNING = 64
PAGES = 5
MOST_STATEMENTS = 400  # a minute, of all pages together
MOST_READ = {  # a minute
    "sqlite": 25_000_000,  # steps of its machine: a row that is counted takes a few
    "mysql": 5_000_000,  # rows, of tables and indexes
}


class Ahead(SystemClock):
    """Goes as the system's does, and is put forward by the test: a minute of polling does not take one."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture(scope="module", params=["sqlite", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A million tasks, 64 of them running."""
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp("million") / "gridsidecar.db"
        yield filled(f"sqlite:///{file}")
        Path(file).unlink()
        return
    with fresh_database(request.getfixturevalue("mysql_server_url")) as url:
        yield filled(url)


def filled(url: str) -> str:
    asyncio.run(migrate(url))
    on_mysql = url.startswith("mysql")
    at = "strftime('%Y-%m-%d %H:%M:%f', '2026-01-01', n || ' seconds')"
    task_id, task_type = "'t' || n", "'type' || (n % 8)"
    if on_mysql:
        at, task_id, task_type = "'2026-01-01' + INTERVAL n SECOND", "CONCAT('t', n)", "CONCAT('type', n %% 8)"
    status = f"CASE WHEN n > {ROWS - RUNNING} THEN 'running' WHEN n % 10 = 0 THEN 'failed' ELSE 'success' END"
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})"
    if on_mysql:  # where a recursion is bounded
        digits = " UNION ALL ".join(f"SELECT {n} AS n" for n in range(10))
        places = ", ".join(f"({digits}) d{place}" for place in range(6))
        number = " + ".join(f"d{place}.n * {10**place}" for place in range(6))
        numbers, status = f"WITH numbers AS (SELECT 1 + {number} AS n FROM {places})", status.replace("%", "%%")
    Direct(url).run(
        f"INSERT INTO {TASKS} (id, task_type, status, queue, created_at, updated_at) {numbers} "
        f"SELECT {task_id}, {task_type}, {status}, 'q', {at}, {at} FROM numbers"
    )
    return url


@pytest.mark.timeout(300)
async def test_five_open_pages_cost_so_much_a_minute(url: str, tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "broker": {"url": f"sqlite:///{tmp_path}/broker.db", "queue": "q"},
            "store": {"url": url},
            "handlers": {"default": {"command": ["true"]}},
            "http": {"listen": "127.0.0.1:0"},
        }
    )
    clock = Ahead()
    server = ApiServer(settings, clock)
    asked: list[tuple[Query, Any]] = []
    server.start()
    database = (await server._api.store()).reading._database
    fetch = database.fetch

    async def noted(query: Any, params: Any) -> Any:
        asked.append((query, params))
        return await fetch(query, params)

    database.fetch = noted  # type: ignore[method-assign]
    try:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            answers = [await _minute(client, clock)]
    finally:
        await server.stop(2.0)
    (statuses,) = answers
    on_mysql = url.startswith("mysql")
    read = _rows_read(url, asked) if on_mysql else sum(_steps(url, query.text, params) for query, params in asked)
    print(f"{len(asked)} statements, {read:,} {'rows' if on_mysql else 'steps'}, answers {statuses}")
    assert 0 < len(asked) <= MOST_STATEMENTS
    assert read <= MOST_READ["mysql" if on_mysql else "sqlite"]
    assert statuses[304] > statuses[200], "nothing changes, so nothing is sent"


async def _minute(client: httpx.AsyncClient, clock: Ahead) -> dict[int, int]:
    """A minute of five pages, each a little later than the other; how many answers of which status."""
    statuses = {200: 0, 304: 0}
    tags: dict[tuple[int, str], str] = {}
    for second in range(60):
        for page in range(PAGES):
            clock.ahead += 1 / PAGES
            for path, every in OVERVIEW.items():
                if second % every == 0:
                    known = tags.get((page, path))
                    response = await client.get(path, headers={"If-None-Match": known} if known else {})
                    statuses[response.status_code] += 1
                    tags[page, path] = response.headers.get("etag", "")
    return statuses


def _rows_read(url: str, asked: list[tuple[Query, Any]]) -> int:
    """By the server's own count, in a session of our own: others use it, too."""
    with closing(mysql_session(url)) as connection, connection.cursor() as cursor:
        before = _handled(cursor)
        for query, params in asked:
            cursor.execute(query.template, [params[name] for name in query.names])
            cursor.fetchall()
        return _handled(cursor) - before


def _handled(cursor: Any) -> int:
    cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(count) for name, count in cursor.fetchall() if name != "Handler_read_rnd_deleted")


def _steps(url: str, text: str, params: Any) -> int:
    """Of SQLite's machine, in hundreds, for one statement."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 100
        return 0

    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.set_progress_handler(step, 100)
        connection.execute(text, params).fetchall()
    return count
