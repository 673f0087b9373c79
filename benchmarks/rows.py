"""Rows that earlier work has left behind, written straight into the tables that a sidecar has made."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.servers import TASKS, Servers
from benchmarks.sidecar import Checkout, place, sidecar

_DIGITS = "(SELECT 0 AS d" + "".join(f" UNION ALL SELECT {digit}" for digit in range(1, 10)) + ")"
_SLICES = "0123456789abcdef"  # of the ids, a statement each


def filled(bench: Bench, checkout: Checkout, count: int) -> str:
    """A database with so many tasks that ended earlier, for as long as the scenario."""
    schema = bench.kept.enter_context(bench.servers.schema())
    tables(checkout, bench.servers, schema)
    if count:
        ended(bench.servers, schema, "earlier", count)
        bench.servers.settle()
    return schema


def tables(checkout: Checkout, servers: Servers, schema: str) -> None:
    """Let a sidecar of this code create them."""
    with place(servers, schema) as where, sidecar(checkout, where, {"default": {"command": ["cat"]}}):
        pass


def ended(servers: Servers, schema: str, queue: str, count: int) -> None:
    """Tasks that ended well an hour and more ago, each with its attempt.

    Their ids are as random as real ones, so that new tasks come to lie between them, and are written in order:
    otherwise the filling alone would take many minutes.
    """
    with servers.session(schema) as run:
        for first in _SLICES:
            ids = f"SELECT CONCAT('{first}', SHA1(CONCAT('{first}', n))) AS id, n FROM {_numbers(count // 16)}"
            run(
                f"INSERT INTO {TASKS} (id, task_type, status, data, progress, attempt, message_id, queue, body, "
                "created_at, updated_at, started_at, completed_at) "
                "SELECT id, 'default', 'success', '{}', 100, 1, id, %s, "
                """CONCAT('{"task_id": "', id, '", "data": {}}'), """
                "t, t, t, t FROM (SELECT id, UTC_TIMESTAMP(3) - INTERVAL (3600 + n) SECOND AS t "
                f"FROM ({ids}) ids) tasks ORDER BY id",
                queue,
            )
            run(
                f"INSERT INTO {TASKS}_attempts (task_id, attempt, worker_id, started_at, ended_at, outcome, exit_code) "
                "SELECT id, 1, 'earlier', t, t, 'success', 0 FROM "
                f"(SELECT id, UTC_TIMESTAMP(3) - INTERVAL (3600 + n) SECOND AS t FROM ({ids}) ids) tasks ORDER BY id"
            )
        run(f"ANALYZE TABLE {TASKS}, {TASKS}_attempts")


def owed_callbacks(servers: Servers, schema: str, queue: str, count: int, url: str) -> None:
    """Callbacks that are due, all for one receiver."""
    with servers.session(schema) as run:
        run(
            f"INSERT INTO {TASKS}_callbacks (task_id, rerun, id, attempt, queue, kind, url, receiver, size, body, "
            "next_try_at, created_at) SELECT SHA1(n), 0, SHA1(n), 1, %s, 'http', %s, %s, 100, "
            """CONCAT('{"task_id": "', SHA1(n), '", "status": "success", "result": null}'), """
            f"UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) FROM {_numbers(count)}",
            *(queue, url, url),
        )
        run(f"ANALYZE TABLE {TASKS}_callbacks")


def _numbers(count: int) -> str:
    """A table of the numbers below `count`."""
    places = range(len(str(count - 1)))
    digits = [f"d{place}.d * {10**place}" for place in places]
    tables = ", ".join(f"{_DIGITS} d{place}" for place in places)
    return f"(SELECT n FROM (SELECT {' + '.join(digits)} AS n FROM {tables}) every_one WHERE n < {count}) numbers"
