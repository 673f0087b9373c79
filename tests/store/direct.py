"""A look at the tables past the store, and a hand on them: what time, a crash or another program would do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import pymysql
import pymysql.cursors

from tests.support.database import mysql_session

TASKS = "grid_async_task_tasks"
LONG_AGO = "2001-01-01 00:00:00.000"
FAR_AWAY = "2099-01-01 00:00:00.000"

Row = dict[str, Any]


class Direct:
    """Plain SQL with `?` for parameters, each statement by itself and in force at once."""

    def __init__(self, url: str) -> None:
        self.is_mysql = url.startswith("mysql")
        self.url = url
        self._url = urlsplit(url)

    def run(self, sql: str, *params: object) -> list[Row]:
        with self._cursor() as cursor:
            cursor.execute(sql.replace("?", "%s") if self.is_mysql else sql, params)
            return [dict(row) for row in cursor.fetchall()]

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        if self.is_mysql:
            connection = mysql_session(self._url.geturl(), cursorclass=pymysql.cursors.DictCursor)
            with closing(connection), connection.cursor() as cursor:
                yield cursor
            return
        with closing(sqlite3.connect(unquote(self._url.path[1:]), timeout=30, isolation_level=None)) as file:
            file.row_factory = sqlite3.Row
            yield file.cursor()

    # -- what the tests want to know ----------------------------------------------------------------------------------

    def row(self, task_id: str = "t") -> Row:
        (row,) = self.run(f"SELECT * FROM {TASKS} WHERE id = ?", task_id)
        return row

    def history(self, task_id: str = "t") -> list[tuple[int, str]]:
        rows = self.run(f"SELECT attempt, outcome FROM {TASKS}_attempts WHERE task_id = ? ORDER BY attempt", task_id)
        return [(row["attempt"], row["outcome"]) for row in rows]

    def tables(self) -> set[str]:
        if self.is_mysql:
            return {next(iter(row.values())) for row in self.run("SHOW TABLES")}
        return {row["name"] for row in self.run("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}

    def waiting_for_locks(self) -> int:
        """Sessions on this database that wait for a row which another one holds. MySQL only."""
        ours = "JOIN information_schema.processlist p ON p.id = trx_mysql_thread_id AND p.db = DATABASE()"
        return len(self.run(f"SELECT 1 FROM information_schema.innodb_trx {ours} WHERE trx_state = 'LOCK WAIT'"))

    # -- what time and accidents do -----------------------------------------------------------------------------------

    def set(self, task_id: str = "t", /, **columns: object) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        self.run(f"UPDATE {TASKS} SET {names} WHERE id = ?", *columns.values(), task_id)

    def make_due(self, task_id: str = "t") -> None:
        self.set(task_id, next_run_at=LONG_AGO)

    def make_overdue(self, task_id: str = "t") -> None:
        self.set(task_id, next_run_at=LONG_AGO, next_check_at=LONG_AGO)

    def expire(self, worker_id: str) -> None:
        self.run(f"UPDATE {TASKS}_workers SET expires_at = ? WHERE id = ?", LONG_AGO, worker_id)

    def empty(self) -> None:
        sides = "attempts callbacks workers pauses rates output operations operation_ids minutes"
        for table in ("", *(f"_{side}" for side in sides.split())):
            self.run(f"DELETE FROM {TASKS}{table}")


def changed(url: str, *, netloc: str | None = None, path: str | None = None, query: str = "") -> str:
    """The URL with another host and user, database or options."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=netloc or parts.netloc, path=path or parts.path, query=query))
