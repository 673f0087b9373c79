"""Memory of a sidecar, its handlers apart, while it works through many tasks."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.processes import resident_mib
from benchmarks.settings import oneshot, persistent
from benchmarks.sidecar import Checkout, place, sidecar


def contestants(bench: Bench) -> list[Contestant]:
    tasks = bench.size(20_000, 40)

    def contestant(name: str, handler: dict[str, Any]) -> list[Contestant]:
        return bench.sidecars(name, lambda checkout: _round(bench, checkout, handler, tasks))

    handlers = {
        "oneshot cat, concurrency 16": oneshot(),
        "persistent no-op, 16 processes": persistent("noop.py", processes=16),
    }
    names = list(handlers)[:1] if bench.smoke else handlers
    return [each for name in names for each in contestant(name, handlers[name])]


def _round(bench: Bench, checkout: Checkout, handler: dict[str, Any], tasks: int) -> Figures:
    samples: list[tuple[float, float]] = []
    with place(bench.servers) as where:
        where.fill(tasks)
        with sidecar(checkout, where, {"default": handler}, 16, bench.processes) as running:
            began = time.monotonic()

            def look() -> None:
                samples.append((round(time.monotonic() - began, 2), round(resident_mib(running.process.pid), 1)))

            figures = running.figures(tasks, meanwhile=look)
            look()
    sizes = [mib for _, mib in samples]
    return figures | {
        "memory_over_time": samples,
        "first_mib": sizes[0],
        "last_mib": sizes[-1],
        "most_mib": max(sizes),
    }


SCENARIO = Scenario("memory", "Resident memory while tasks run", contestants, "last_mib", "MiB")
