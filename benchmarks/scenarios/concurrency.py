"""Oneshot tasks a second at each concurrency, and persistent ones with each number of warm processes."""

from __future__ import annotations

from benchmarks.bench import Bench, Contestant, Scenario
from benchmarks.settings import CONCURRENCIES, WARM_PROCESSES, oneshot, persistent


def by_concurrency(bench: Bench) -> list[Contestant]:
    tasks = bench.size(2000, 30)
    return [
        contestant
        for number in ((8,) if bench.smoke else CONCURRENCIES)
        for contestant in bench.rated(
            f"oneshot cat · {number}", {"default": oneshot()}, number, min(tasks, 500 * number), number
        )
    ]


def by_processes(bench: Bench) -> list[Contestant]:
    tasks = bench.size(4000, 30)
    return [
        contestant
        for number in ((2,) if bench.smoke else WARM_PROCESSES)
        for contestant in bench.rated(
            f"persistent no-op · {number}",
            {"default": persistent("noop.py", processes=number)},
            *(number, min(tasks, 2000 * number), number),
        )
    ]


CONCURRENCY = Scenario(
    "concurrency", "Oneshot `cat` by concurrency", by_concurrency, axis="tasks at the same time (worker.concurrency)"
)
WARM = Scenario(
    "warm", "Persistent no-op by warm processes", by_processes, axis="warm processes, as many tasks at a time"
)
