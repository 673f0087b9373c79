"""Dramatiq with two actors; where its broker is comes from variables. `dramatiq benchmarks.peers.dramatiq_app`."""

from __future__ import annotations

import os
import subprocess

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from benchmarks.marks import VARIABLE, Marks

QUEUE, BROKER = "BENCHMARK_QUEUE", "BENCHMARK_BROKER"

dramatiq.set_broker(RabbitmqBroker(url=os.environ[BROKER]))
marks = Marks() if VARIABLE in os.environ else None


@dramatiq.actor(queue_name=os.environ[QUEUE])
def cat() -> None:
    subprocess.run(["cat"], check=True, stdin=subprocess.DEVNULL)
    assert marks is not None
    marks.ended()


@dramatiq.actor(queue_name=os.environ[QUEUE])
def noop() -> None:
    assert marks is not None
    marks.ended()
