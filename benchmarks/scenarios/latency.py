"""How long a task takes from the producer to an idle sidecar's handler: publish → first byte on its stdin."""

from __future__ import annotations

import os
import random
import select
import tempfile
import time
from pathlib import Path
from typing import Any

import pika

from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.rates import percentile
from benchmarks.servers import PATIENCE
from benchmarks.settings import oneshot, persistent
from benchmarks.sidecar import Checkout, Place, place, sidecar

WARM_UP = 10  # tasks that do not count


def contestants(bench: Bench) -> list[Contestant]:
    tasks = bench.size(300, 10)

    def contestant(name: str, kind: Any) -> list[Contestant]:
        return bench.sidecars(name, lambda checkout: _round(bench, checkout, kind, tasks))

    return [
        # `tee` stands for any small command: what it takes to start it is in the figure.
        *contestant("oneshot", lambda pipe: oneshot("tee", pipe)),
        *contestant("persistent", lambda pipe: persistent("first_byte.py", pipe, processes=1)),
    ]


def _round(bench: Bench, checkout: Checkout, kind: Any, tasks: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder, place(bench.servers) as where:
        pipe = str(Path(folder, "pipe"))
        os.mkfifo(pipe)
        reading = os.open(pipe, os.O_RDWR)  # so that it is never at its end
        try:
            with sidecar(checkout, where, {"default": kind(pipe)}, 1, bench.processes):
                latencies = _latencies(where, reading, tasks + WARM_UP)[WARM_UP:]
        finally:
            os.close(reading)
    return {"p50_ms": percentile(latencies, 0.5), "p99_ms": percentile(latencies, 0.99)}


def _latencies(where: Place, pipe: int, tasks: int) -> list[float]:
    """Milliseconds. Each task finds the one before it ended and the sidecar idle, at no fixed beat."""
    pauses, latencies = random.Random(1), []
    with where.servers.channel() as channel:
        for number in range(tasks):
            time.sleep(pauses.uniform(0.03, 0.06))
            body = f'{{"task_id": "{number}", "data": {{}}}}'.encode()
            published = time.monotonic()
            channel.basic_publish("", where.queue, body, pika.BasicProperties(delivery_mode=2))
            if not select.select([pipe], [], [], PATIENCE)[0]:
                raise TimeoutError("a task did not reach its handler")
            latencies.append(1000 * (time.monotonic() - published))
            os.read(pipe, 65536)
    return latencies


SCENARIO = Scenario(
    "latency", "An idle sidecar: publish → first byte on the handler's stdin", contestants, "p50_ms", "ms, median"
)
