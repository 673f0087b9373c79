"""Celery with two tasks; where it finds its servers comes from variables. `celery -A benchmarks.peers.celery_app`."""

from __future__ import annotations

import os
import subprocess

from celery import Celery

from benchmarks.marks import VARIABLE, Marks

QUEUE, BROKER, RESULTS = "BENCHMARK_QUEUE", "BENCHMARK_BROKER", "BENCHMARK_RESULTS"

app = Celery("peer", broker=os.environ[BROKER], backend=os.environ.get(RESULTS) or None)
app.conf.task_default_queue = os.environ[QUEUE]
app.conf.task_ignore_result = not os.environ.get(RESULTS)
marks = Marks() if VARIABLE in os.environ else None


@app.task(name="cat")
def cat() -> None:
    subprocess.run(["cat"], check=True, stdin=subprocess.DEVNULL)
    assert marks is not None
    marks.ended()


@app.task(name="noop")
def noop() -> None:
    assert marks is not None
    marks.ended()
