"""Rows that earlier work has left behind, written straight into the tables that a sidecar has made."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.servers import TASKS, Servers
from benchmarks.sidecar import Checkout, place, sidecar

_DIGITS = "(SELECT 0 AS d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
_SLICES = "0123456789abcdef"  # of the ids, a statement each
SINCE_S = 3600  # seconds since the newest of them; in each second before as many as there are slices


_ALIKE = "'default', 'success', NULL, 'earlier'"
_VARIOUS = """
    IF(n % 10 = 0, 'mail', 'default'), IF(n % 7 = 0, 'failed', 'success'), IF(n % 7 = 0, 'TimeoutError', NULL),
    IF(n % 10 = 3, 'other', 'earlier')"""


def filled(bench: Bench, checkout: Checkout, count: int, *, various: bool = False) -> str:
    """A database with so many tasks that ended earlier, for as long as the scenario. `various`: of several types and
    queues, and some failed."""
    schema = bench.kept.enter_context(bench.servers.schema())
    tables(checkout, bench.servers, schema)
    if count:
        ended(bench.servers, schema, count, _VARIOUS if various else _ALIKE)
        bench.servers.settle()
    return schema


def tables(checkout: Checkout, servers: Servers, schema: str) -> None:
    """Let a sidecar of this code create them."""
    with place(servers, schema) as where, sidecar(checkout, where, {"default": {"command": ["cat"]}}):
        pass


def ended(servers: Servers, schema: str, count: int, kinds: str = _ALIKE) -> None:
    """Tasks that ended an hour and more ago, each with its attempt; `kinds` is SQL for type, status, error and queue.

    Their ids are as random as real ones, so that new tasks come to lie between them, and are written in order:
    otherwise the filling alone would take many minutes.
    """
    with servers.session(schema) as run:
        for first in _SLICES:
            hashed = _hashed(f"CONCAT('{first}', n)")
            ids = f"SELECT CONCAT('{first}', {hashed}) AS id, n FROM {_numbers(count // 16)}"
            timed = f"SELECT id, n, UTC_TIMESTAMP(3) - INTERVAL ({SINCE_S} + n) SECOND AS t FROM ({ids}) ids"
            run(
                f"INSERT INTO {TASKS} (id, task_type, status, error_type, queue, data, progress, attempt, message_id, "
                "body, created_at, updated_at, started_at, completed_at) "
                f"SELECT id, {kinds}, '{{}}', 100, 1, id, "
                """CONCAT('{"task_id": "', id, '", "data": {}}'), """
                f"t, t, t, t FROM ({timed}) tasks ORDER BY id"
            )
            run(
                f"INSERT INTO {TASKS}_attempts (task_id, attempt, worker_id, started_at, ended_at, outcome, exit_code) "
                f"SELECT id, 1, 'earlier', t, t, 'success', 0 FROM ({timed}) tasks ORDER BY id"
            )
        run(f"ANALYZE TABLE {TASKS}, {TASKS}_attempts")


def owed_callbacks(servers: Servers, schema: str, queue: str, count: int, url: str) -> None:
    """Callbacks that are due, all for one receiver."""
    with servers.session(schema) as run:
        run(
            f"INSERT INTO {TASKS}_callbacks (task_id, rerun, id, attempt, queue, kind, url, receiver, size, body, "
            f"next_try_at, created_at) SELECT {_hashed('n')}, 0, {_hashed('n')}, 1, %s, 'http', %s, %s, 100, "
            f"""CONCAT('{{"task_id": "', {_hashed("n")}, '", "status": "success", "result": null}}'), """
            f"UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) FROM {_numbers(count)}",
            *(queue, url, url),
        )
        run(f"ANALYZE TABLE {TASKS}_callbacks")


def _hashed(sql: str) -> str:
    """40 hexadecimal digits, on every server: MySQL has given up SHA1."""
    return f"LEFT(SHA2({sql}, 256), 40)"


def _numbers(count: int) -> str:
    """A table of the numbers below `count`."""
    places = range(len(str(count - 1)))
    digits = [f"d{place}.d * {10**place}" for place in places]
    tables = ", ".join(f"{_DIGITS} d{place}" for place in places)
    return f"(SELECT n FROM (SELECT {' + '.join(digits)} AS n FROM {tables}) every_one WHERE n < {count}) numbers"
