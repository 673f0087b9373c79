"""Many tasks at once in one warm process, in each language, beside as many processes of one task."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.processes import handlers_mib
from benchmarks.settings import HANDLERS, MANY_AT_ONCE, MANY_WAIT_S, oneshot
from benchmarks.sidecar import Checkout, place, sidecar

SDKS = HANDLERS.parents[1] / "sdks"


def contestants(bench: Bench) -> list[Contestant]:
    found = []
    for language, command in _languages(bench).items():
        for seconds in (0.0, MANY_WAIT_S):
            for number in (8,) if bench.smoke else MANY_AT_ONCE:
                what = f"waits {1000 * seconds:.0f} ms" if seconds else "no-op"
                for name, processes, at_once in _ways(number):
                    handler = _handler([*command, str(at_once), str(seconds)], processes, at_once)
                    run = partial(_round, bench, handler, number, bench.size(400 * number, 30), seconds)
                    found += bench.sidecars(f"{language}, {what}, {number} tasks, {name}", run)
    return found


def _ways(number: int) -> list[tuple[str, int, int]]:
    """What it is called, processes, and tasks in each."""
    ways = [("one process", 1, number)]
    return ways if number == 1 else [*ways, ("a process each", number, 1)]


def _handler(command: list[str], processes: int, at_once: int) -> dict[str, Any]:
    persistent = {"processes": processes} | ({"concurrency": at_once} if at_once > 1 else {})
    return oneshot(*command, mode="persistent", persistent=persistent)


def _round(
    bench: Bench, handler: dict[str, Any], number: int, tasks: int, seconds: float, checkout: Checkout
) -> Figures:
    sizes: list[float] = []
    with place(bench.servers) as where:
        where.fill(min(tasks, 4000))
        with sidecar(checkout, where, {"default": handler}, number, bench.processes) as running:
            figures = running.figures(
                min(tasks, 4000), meanwhile=lambda: sizes.append(handlers_mib(running.process.pid))
            )
    return figures | {"handlers_mib": max(sizes), "handlers_mib_each": max(sizes) / number}


def _languages(bench: Bench) -> dict[str, list[str]]:
    """How its program is started, for each language of this machine."""
    found = {"Python": [sys.executable, str(HANDLERS / "many.py")]}
    if shutil.which("node") and not bench.smoke:
        found["Node"] = ["node", str(HANDLERS / "many.js")]
    if shutil.which("go") and not bench.smoke:
        folder = Path(bench.kept.enter_context(tempfile.TemporaryDirectory()))
        environment = os.environ | {"GOPROXY": "off", "GOFLAGS": "-mod=mod"}
        subprocess.run(
            ["go", "build", "-o", folder / "many", "./benchmark"], cwd=SDKS / "go", env=environment, check=True
        )
        found["Go"] = [str(folder / "many")]
    return found


SCENARIO = Scenario("many", "Warm processes with many tasks at once", contestants)
