"""The same work by the sidecar, which stores everything, and by its peers."""

from __future__ import annotations

import shutil
import sys

from benchmarks.bench import Bench, Contestant, Scenario
from benchmarks.peers import amqp_consume
from benchmarks.peers.workers import Peer
from benchmarks.settings import oneshot, persistent
from tests.support.debian import CannotInstall, install

AMQP_CONSUME = "amqp-consume, cat"
ONESHOT_8, ONESHOT_16 = "oneshot cat, concurrency 8", "oneshot cat, concurrency 16"
WARM_2, WARM_16 = "persistent no-op, 2 processes", "persistent no-op, 16 processes"
CELERY_CAT, CELERY_CAT_MYSQL = "Celery, cat", "Celery, cat, MySQL"
CELERY_NOOP, CELERY_NOOP_MYSQL = "Celery, no-op", "Celery, no-op, MySQL"
DRAMATIQ_CAT, DRAMATIQ_NOOP = "Dramatiq, cat", "Dramatiq, no-op"


def contestants(bench: Bench) -> list[Contestant]:
    tasks = bench.size(3000, 60)
    found = [
        *bench.rated(ONESHOT_8, {"default": oneshot()}, 8, tasks),
        *bench.plain(ONESHOT_16, {"default": oneshot()}, 16, tasks),
        *bench.rated(WARM_2, {"default": persistent("noop.py", processes=2)}, 2, 2 * tasks),
        *bench.plain(WARM_16, {"default": persistent("noop.py", processes=16)}, 16, 3 * tasks),
    ]
    if _amqp_consume_is_here():
        found.insert(0, Contestant(AMQP_CONSUME, lambda: amqp_consume.run(bench.servers, tasks)))
    return found + _workers(bench, tasks)


def _workers(bench: Bench, tasks: int) -> list[Contestant]:
    """Those that are installed. A no-op that stores nothing is quick, and gets three times the tasks."""
    peers = {
        CELERY_CAT: Peer(bench.servers, "celery", "cat", tasks),
        CELERY_CAT_MYSQL: Peer(bench.servers, "celery", "cat", tasks, stores=True),
        DRAMATIQ_CAT: Peer(bench.servers, "dramatiq", "cat", tasks),
        CELERY_NOOP: Peer(bench.servers, "celery", "noop", 3 * tasks),
        CELERY_NOOP_MYSQL: Peer(bench.servers, "celery", "noop", tasks, stores=True),
        DRAMATIQ_NOOP: Peer(bench.servers, "dramatiq", "noop", 3 * tasks),
    }
    return [Contestant(name, peer.run) for name, peer in peers.items() if peer.is_installed()]


def _amqp_consume_is_here() -> bool:
    if shutil.which("amqp-consume") is None:
        try:
            install("amqp-tools")
        except CannotInstall as error:
            print(f"without amqp-consume: {error}", file=sys.stderr)
    return shutil.which("amqp-consume") is not None


SCENARIO = Scenario("peers", "Beside others, on the same servers with the same work", contestants)
