"""The same work by the sidecar, which stores everything, and by its peers."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace

from benchmarks.bench import Bench, Contestant, Scenario
from benchmarks.peers import amqp_consume
from benchmarks.peers.workers import Peer
from benchmarks.settings import oneshot, persistent
from tests.support.debian import CannotInstall, install

AMQP_CONSUME = "amqp-consume, cat"
ONESHOT_8, ONESHOT_16 = "oneshot cat, concurrency 8", "oneshot cat, concurrency 16"
ONESHOT_IN_2 = "oneshot cat, worker.processes: 2"
WARM_2, WARM_16 = "persistent no-op, 2 processes", "persistent no-op, 16 processes"
CELERY_CAT, CELERY_CAT_MYSQL = "Celery, cat", "Celery, cat, MySQL"
CELERY_NOOP, CELERY_NOOP_MYSQL = "Celery, no-op", "Celery, no-op, MySQL"
DRAMATIQ_CAT, DRAMATIQ_NOOP = "Dramatiq, cat", "Dramatiq, no-op"


def contestants(bench: Bench) -> list[Contestant]:
    """Those that start `cat`, then those that do nothing. What stores nothing is quick there, and gets more tasks."""
    tasks = bench.size(3000, 60)
    servers = bench.servers
    found = [
        *_amqp_consume(bench, tasks),
        *bench.rated(ONESHOT_8, {"default": oneshot()}, 8, tasks),
        *bench.plain(ONESHOT_16, {"default": oneshot()}, 16, tasks),
        *_in_2_processes(bench).plain(ONESHOT_IN_2, {"default": oneshot()}, 16, tasks),
        *_peer(CELERY_CAT, Peer(servers, "celery", "cat", tasks)),
        *_peer(CELERY_CAT_MYSQL, Peer(servers, "celery", "cat", tasks, stores=True)),
        *_peer(DRAMATIQ_CAT, Peer(servers, "dramatiq", "cat", tasks)),
        *bench.rated(WARM_2, {"default": persistent("noop.py", processes=2)}, 2, 2 * tasks),
        *bench.plain(WARM_16, {"default": persistent("noop.py", processes=16)}, 16, 3 * tasks),
        *_peer(CELERY_NOOP, Peer(servers, "celery", "noop", 3 * tasks)),
        *_peer(CELERY_NOOP_MYSQL, Peer(servers, "celery", "noop", tasks, stores=True)),
        *_peer(DRAMATIQ_NOOP, Peer(servers, "dramatiq", "noop", 3 * tasks)),
    ]
    missing = {AMQP_CONSUME, CELERY_CAT, DRAMATIQ_CAT} - {each.name for each in found}
    if missing:
        print(f"without {', '.join(sorted(missing))}: not installed", file=sys.stderr)
    return found


def _in_2_processes(bench: Bench) -> Bench:
    """As Celery and Dramatiq run here; another checkout may not know how."""
    return replace(bench, processes="2", checkouts=bench.checkouts[:1])


def _peer(name: str, peer: Peer) -> list[Contestant]:
    return [Contestant(name, peer.run)] if peer.is_installed() else []


def _amqp_consume(bench: Bench, tasks: int) -> list[Contestant]:
    if not _amqp_consume_is_here():
        return []
    return [Contestant(AMQP_CONSUME, lambda: amqp_consume.run(bench.servers, tasks))]


def _amqp_consume_is_here() -> bool:
    if shutil.which("amqp-consume") is None:
        try:
            install("amqp-tools")
        except CannotInstall as error:
            print(error, file=sys.stderr)
    return shutil.which("amqp-consume") is not None


SCENARIO = Scenario("peers", "Beside others, on the same servers with the same work", contestants)
