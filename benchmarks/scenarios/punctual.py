"""How late delayed tasks start when many are due within the same minute."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.rates import percentile
from benchmarks.servers import TASKS
from benchmarks.settings import persistent
from benchmarks.sidecar import Checkout, Place, place, sidecar

FIRST_DUE = 60.0  # seconds after they are sent: until then each has its row and is in a delay queue
WITHIN = 60.0  # seconds


def contestants(bench: Bench) -> list[Contestant]:
    tasks = bench.size(10_000, 20)
    first, within = (5.0, 3.0) if bench.smoke else (FIRST_DUE, WITHIN)
    name = f"{tasks:,} due within {within:g} s"
    return bench.sidecars(name, lambda checkout: _round(bench, checkout, tasks, first, within))


def _round(bench: Bench, checkout: Checkout, tasks: int, first: float, within: float) -> Figures:
    handlers = {"default": persistent("noop.py", processes=4)}
    with place(bench.servers) as where:
        where.servers.publish(where.queue, _deferred(tasks, time.time() + first, within))
        with sidecar(checkout, where, handlers, 16, bench.processes) as running:
            running.ends(tasks)
        late = _lateness(where)
    return {
        "p50_ms": percentile(late, 0.5),
        "p99_ms": percentile(late, 0.99),
        "most_ms": late[-1],
        "over_a_second": 100 * sum(each > 1000 for each in late) / len(late),
    }


def _deferred(tasks: int, first: float, within: float) -> Iterator[dict[str, Any]]:
    """Evenly spread; the id says when, in milliseconds."""
    for number in range(tasks):
        due = round(1000 * (first + within * number / tasks))
        at = datetime.fromtimestamp(due / 1000, UTC).isoformat()
        yield {"task_id": f"{due}-{os.urandom(8).hex()}", "data": {}, "defer_until": at}


def _lateness(where: Place) -> list[float]:
    """Milliseconds from when each was due to its start, ascending; below zero it would be too early."""
    with where.servers.session(where.schema) as run:
        return sorted(
            1000 * started.replace(tzinfo=UTC).timestamp() - int(task_id.partition("-")[0])
            for task_id, started in run(f"SELECT id, started_at FROM {TASKS}")
        )


SCENARIO = Scenario(
    "punctual", "Delayed tasks, no-op, 4 processes: due → start", contestants, "p50_ms", "ms late, median"
)
