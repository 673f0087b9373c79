"""The earlier plugin, as far as its table shows it: how it made it, wrote to it, and what dashboards ask of it.

Its sessions have the time zone +08:00, and the options of the server that it grew up on.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql.cursors

from tests.store.direct import TASKS, Row
from tests.support.database import mysql_session

DDL = """
CREATE TABLE `{table}` (
  id VARCHAR(255) PRIMARY KEY,
  task_type VARCHAR(100) NOT NULL,
  status ENUM('pending','running','success','failed','retrying') DEFAULT 'pending',
  data JSON,
  result JSON,
  error_message TEXT,
  progress INT DEFAULT 0,
  retry_count INT DEFAULT 0,
  max_retry_count INT DEFAULT 0,
  callback_url VARCHAR(500),
  callback_type ENUM('http','rabbitmq') DEFAULT 'http',
  created_at TIMESTAMP{created},
  updated_at TIMESTAMP{updated},
  started_at TIMESTAMP{ended},
  completed_at TIMESTAMP{ended}{keys}
) {options}
"""
HUGE = 3_000_000  # characters of a value of JSON


@dataclass(frozen=True)
class Shape:
    """One way in which that table came to be."""

    explicit_defaults: bool  # explicit_defaults_for_timestamp; off, TIMESTAMP columns get odd defaults
    options: str = "DEFAULT CHARACTER SET utf8mb4"
    created: str = ""
    updated: str = ""
    ended: str = ""
    keys: str = ""

    def create(self, table: str = TASKS) -> str:
        words = {"created": self.created, "updated": self.updated, "ended": self.ended, "keys": self.keys}
        return DDL.format(table=table, options=self.options, **words)


SHAPES = {
    "new server": Shape(explicit_defaults=True),
    "old server": Shape(explicit_defaults=False),
    "three-byte text, compact rows": Shape(False, "DEFAULT CHARACTER SET utf8mb3 ROW_FORMAT=COMPACT"),
    "latin, MyISAM": Shape(True, "ENGINE=MyISAM DEFAULT CHARACTER SET latin1"),
    "written out": Shape(
        True,
        "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci COMMENT='a\nb) ENGINE=x'",
        created=" NULL DEFAULT CURRENT_TIMESTAMP COMMENT 'it''s NOT NULL,\n (`id`)'",
        updated=" NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP",
        ended=" NULL DEFAULT NULL",
        keys=", KEY idx_status (status), KEY idx_type (task_type, status), KEY idx_created_at (created_at)",
    ),
}


class Plugin:
    """One process of the plugin, with one session of its own."""

    def __init__(self, url: str, shape: Shape, table: str = TASKS) -> None:
        self._table = table
        self.shape = shape
        self._session = mysql_session(url, cursorclass=pymysql.cursors.DictCursor)
        self.run("SET time_zone = '+08:00', sort_buffer_size = 16777216")
        if not shape.explicit_defaults:
            self.run("SET explicit_defaults_for_timestamp = OFF, sql_mode = ''")

    def close(self) -> None:
        self._session.close()

    def run(self, sql: str, *params: object) -> list[Row]:
        with self._session.cursor() as cursor:
            cursor.execute(sql.replace("{table}", f"`{self._table}`"), params or None)
            return [dict(row) for row in cursor.fetchall()]

    def create(self) -> None:
        self.run(self.shape.create(self._table))

    def insert(self, task_id: str, status: str | None = "pending", /, ago: int = 0, **columns: object) -> None:
        """A row that was created so many seconds ago; a time is given in seconds before now."""
        columns = {"id": task_id, "task_type": "resize", "status": status, "data": '{"n": 1}', **columns}
        times = {"created_at": ago, "updated_at": ago}
        times |= {name: value for name, value in columns.items() if name in ("started_at", "completed_at")}
        plain = {name: value for name, value in columns.items() if name not in times}
        marks = ["%s"] * len(plain) + ["NOW() - INTERVAL %s SECOND"] * len(times)
        self.run(
            f"INSERT INTO {{table}} ({', '.join([*plain, *times])}) VALUES ({', '.join(marks)})",
            *plain.values(),
            *times.values(),
        )

    def fill(self) -> None:
        """Rows of all kinds, also odd ones."""
        for number in range(3):
            days = 86_400 * number
            self.insert(f"good-{number}", "success", days + 90, started_at=days + 60, completed_at=days + 7 * number,
                        progress=100, result='{"w": 640}')  # fmt: skip
            self.insert(f"bad-{number}", "failed", days + 90, task_type="mail", started_at=days + 50,
                        completed_at=days + 30, error_message="timed out 🕰"[: 9 + 2 * self.takes_emoji])  # fmt: skip
        self.insert("waiting", max_retry_count=2)
        self.insert("again", "retrying", 40, started_at=30, retry_count=1, max_retry_count=3, error_message="429")
        self.insert("busy", "running", 40, started_at=20, progress=40)
        self.insert("nothing", None, progress=None, retry_count=None, max_retry_count=None, callback_type=None)
        self.insert("emoji", data='{"name": "Zoë 🦜", "tab": "\\t\\\\"}')
        self.insert("null", "success", 9, started_at=8, completed_at=7, data="null", result="null")
        self.insert("huge", data='{"text": "%s"}' % ("x" * HUGE))
        self.insert("last-year", "success", 86_400 * 365, started_at=86_400 * 364, completed_at=86_400 * 363)

    @property
    def takes_emoji(self) -> bool:
        return "utf8mb4" in self.shape.options

    def row(self, task_id: str) -> Row:
        (row,) = self.run("SELECT * FROM {table} WHERE id = %s", task_id)
        return row

    # -- what dashboards ask ------------------------------------------------------------------------------------------

    def answers(self) -> dict[str, list[Row]]:
        """Every question with its answer."""
        return {question: self.run(question) for question in QUESTIONS}


_COLUMNS = (
    "id, task_type, status, data, result, error_message, progress, retry_count, max_retry_count, callback_url, "
    "callback_type, created_at, updated_at"
)
QUESTIONS = (
    "SELECT status, progress, error_message FROM {table} WHERE id = 'again'",
    "SELECT progress FROM {table} WHERE id = 'busy'",
    f"SELECT {_COLUMNS} FROM {{table}} ORDER BY id",
    "SELECT id, started_at, completed_at FROM {table} WHERE status IN ('success', 'failed') ORDER BY id",
    "SELECT task_type, status, COUNT(*) AS n FROM {table} GROUP BY task_type, status ORDER BY task_type, status",
    "SELECT task_type, AVG(TIMESTAMPDIFF(SECOND, started_at, completed_at)) AS seconds FROM {table} "
    "WHERE status = 'success' GROUP BY task_type ORDER BY task_type",
    "SELECT id, TIMESTAMPDIFF(SECOND, started_at, completed_at) AS seconds FROM {table} ORDER BY id",
    "SELECT id FROM {table} WHERE created_at >= NOW() - INTERVAL 1 HOUR ORDER BY id",
    "SELECT DATE(created_at) AS day, COUNT(*) AS n FROM {table} GROUP BY DATE(created_at) ORDER BY day",
    "SELECT id, status, status + 0 AS number FROM {table} ORDER BY status, id",
    "SELECT id FROM {table} WHERE status = 'FAILED' AND task_type = 'Mail' ORDER BY id",
    "SELECT id FROM {table} WHERE status > 'pending' ORDER BY id",
    "SELECT id, JSON_EXTRACT(data, '$.n') AS n, JSON_EXTRACT(result, '$.w') AS w FROM {table} ORDER BY id",
)


# -- the plugin goes on -----------------------------------------------------------------------------------------------


LIFE = (
    "INSERT INTO {table} (id, task_type, status, data, max_retry_count, callback_url, callback_type, created_at, "
    "updated_at) VALUES (%s, 'old', 'pending', '{\"a\": 1}', 3, NULL, 'http', NOW(), NOW())",
    "UPDATE {table} SET status = 'running', started_at = NOW(), updated_at = NOW() WHERE id = %s",
    "UPDATE {table} SET progress = 50, updated_at = NOW() WHERE id = %s",
    "UPDATE {table} SET status = 'success', progress = 100, result = '{\"ok\": true}', completed_at = NOW(), "
    "updated_at = NOW() WHERE id = %s AND status = 'running'",
)


@dataclass
class Writer:
    """A process of the plugin that never stops: it inserts a task, runs it, ends it, and looks at it."""

    plugin: Plugin
    done: list[str] = field(default_factory=list)
    error: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                self._one_task(f"written-{number}")
        except BaseException as error:
            self.error = error

    def _one_task(self, task_id: str) -> None:
        for statement in LIFE:
            self.plugin.run(statement, task_id)
        row = self.plugin.row(task_id)
        assert (row["status"], row["progress"]) == ("success", 100), row
        self.done.append(task_id)

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def writing(url: str, shape: Shape) -> Iterator[Writer]:
    """A plugin that writes meanwhile."""
    with closing(Plugin(url, shape)) as plugin:
        writer = Writer(plugin)
        thread = threading.Thread(target=writer.run)
        thread.start()
        try:
            yield writer
        finally:
            writer.stop()
            thread.join()


def without(answers: dict[str, list[Any]], task_id: str) -> dict[str, list[Any]]:
    """The answers without what they say of one task by its id."""
    return {question: [row for row in rows if row.get("id") != task_id] for question, rows in answers.items()}


def numbers(count: int) -> str:
    """A query for 1 … count, count below 1,000,000, in the column seq."""
    digits = " UNION ALL SELECT ".join("0123456789")
    places = [f"(SELECT {digits.replace('0', '0 AS d', 1)}) p{place}" for place in range(6)]
    total = " + ".join(f"p{place}.d * {10**place}" for place in range(6))
    return f"SELECT {total} + 1 AS seq FROM {', '.join(reversed(places))} WHERE {total} < {count}"
