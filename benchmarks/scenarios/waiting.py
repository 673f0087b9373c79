"""What cost tasks that are delayed, and callbacks that are owed, to those that run now."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import marks, rows
from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.environment import ROOT
from benchmarks.rates import steady_rate
from benchmarks.servers import until
from benchmarks.settings import oneshot
from benchmarks.sidecar import Checkout, Place, place, sidecar

DELAY = 86_400  # seconds: none comes due while we measure
CAT = {"default": oneshot()}


# -- delayed tasks ----------------------------------------------------------------------------------------------------


def delayed(bench: Bench) -> list[Contestant]:
    tasks, waiting = bench.size(3000, 30), bench.amount(100_000, 200)
    places: dict[Checkout, Place] = {}

    def beside(checkout: Checkout) -> Figures:
        if checkout not in places:
            places[checkout] = bench.kept.enter_context(place(bench.servers))
            _take_in(bench, checkout, places[checkout], waiting)
        return _run(bench, checkout, places[checkout], tasks)

    def taken_in(checkout: Checkout) -> Figures:
        with place(bench.servers) as where:
            return {"rate": _take_in(bench, checkout, where, tasks)}

    return [
        *bench.plain("nothing delayed", CAT, 16, tasks),
        *bench.sidecars(f"beside {waiting:,} delayed", beside),
        *([] if bench.smoke else bench.sidecars("delayed ones taken in", taken_in)),  # seen in the filling
    ]


def _take_in(bench: Bench, checkout: Checkout, where: Place, count: int) -> float:
    """Delayed tasks a second, from the work queue to a row and a delay queue each."""
    where.fill(count, defer_by=DELAY)
    with sidecar(checkout, where, CAT, 16, bench.processes) as running:
        return steady_rate(running.ends(count, status="pending"))


def _run(bench: Bench, checkout: Checkout, where: Place, tasks: int) -> Figures:
    where.fill(tasks)
    with sidecar(checkout, where, CAT, 16, bench.processes) as running:
        return running.figures(tasks)


DELAYED = Scenario("delayed", "Oneshot `cat`, concurrency 16, beside delayed tasks", delayed)


# -- owed callbacks ---------------------------------------------------------------------------------------------------


def callbacks(bench: Bench) -> list[Contestant]:
    tasks, owed = bench.size(3000, 30), bench.amount(10_000, 50)

    def beside(checkout: Checkout) -> Figures:
        with _receiver() as (url, received), place(bench.servers) as where:
            rows.tables(checkout, bench.servers, where.schema)
            rows.owed_callbacks(bench.servers, where.schema, where.queue, owed, url)
            where.fill(tasks)
            with sidecar(checkout, where, CAT, 16, bench.processes) as running:
                figures = running.figures(tasks)
                until(lambda: marks.count(received) >= owed, f"fewer than {owed} callbacks were received")
            return figures | {"callbacks_rate": steady_rate(marks.times(received))}

    return [*bench.plain("none owed", CAT, 16, tasks), *bench.sidecars(f"{owed:,} owed", beside)]


@contextmanager
def _receiver() -> Iterator[tuple[str, Path]]:
    """Its URL, and the file of its marks."""
    with tempfile.TemporaryDirectory() as folder:
        received = Path(folder, "marks")
        command = [sys.executable, "-m", "benchmarks.receiver"]
        environment = os.environ | {marks.VARIABLE: str(received)}
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield f"http://127.0.0.1:{int(process.stdout.readline())}/", received
            finally:
                process.kill()


CALLBACKS = Scenario("callbacks", "Oneshot `cat`, concurrency 16, while callbacks are owed", callbacks)
