"""What tasks that ended long ago cost those that run now."""

from __future__ import annotations

from benchmarks import rows
from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.settings import oneshot
from benchmarks.sidecar import Checkout, place, sidecar


def contestants(bench: Bench) -> list[Contestant]:
    tasks = bench.size(3000, 30)
    sizes = (1000,) if bench.smoke else (0, 100_000, 1_000_000)
    return [contestant for size in sizes for contestant in _contestants(bench, size, tasks)]


def _contestants(bench: Bench, size: int, tasks: int) -> list[Contestant]:
    """The table is filled before the first of the rounds, and used by all of them."""
    filled: dict[Checkout, str] = {}

    def run(checkout: Checkout) -> Figures:
        if checkout not in filled:
            filled[checkout] = rows.filled(bench, checkout, size)
        with place(bench.servers, filled[checkout]) as where:
            where.fill(tasks)
            with sidecar(checkout, where, {"default": oneshot()}, 16, bench.processes) as running:
                return running.figures(tasks)

    return bench.sidecars(f"rows · {size:,}", run, size)


SCENARIO = Scenario(
    "table_size",
    "Oneshot `cat`, concurrency 16, by rows in the table",
    contestants,
    axis="tasks in the table that ended earlier",
)
