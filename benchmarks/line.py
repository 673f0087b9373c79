"""Oneshot `cat` through RabbitMQ and MySQL, everything stored, beside `amqp-consume … cat`, which stores nothing.

Also the machine's bare spawn rate. Private servers; the three alternate in one run; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pika
import pymysql
import yaml

from benchmarks.processes import children_cpu, own_cpu, resident_mib, tree_cpu
from tests.support.services import private_mysql, private_rabbitmq

BUDGETS = {"ratio": 0.8, "start_s": 0.8, "idle_mib": 64.0}
PATIENCE = 180.0  # seconds for one round of one contestant


@dataclass
class Figures:
    """What the rounds showed. Rates are tasks a second; CPU is milliseconds a task."""

    spawn: list[float] = field(default_factory=list)
    amqp_consume: list[float] = field(default_factory=list)
    gridsidecar: list[float] = field(default_factory=list)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    start_s: list[float] = field(default_factory=list)
    idle_mib: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Median over the rounds of one round's own ratio: what disturbs a round disturbs both sides of it."""
        return median(ours / theirs for ours, theirs in zip(self.gridsidecar, self.amqp_consume, strict=True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tasks", type=int, default=2000, help="tasks a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--concurrency", type=int, default=8, help="tasks at a time (default 8)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def main(arguments: argparse.Namespace) -> int:
    """Run the rounds, print the figures; 0 when all are within the budgets."""
    if shutil.which("amqp-consume") is None:
        print("amqp-consume is missing: apt-get install amqp-tools", file=sys.stderr)
        return 69
    figures = Figures()
    with private_rabbitmq() as broker, private_mysql() as database:
        bench = _Bench(broker.url, database.url, arguments)
        servers = {"RabbitMQ": broker.process.pid, "MySQL": database.process.pid}
        for number in range(arguments.rounds):
            figures.spawn.append(bench.spawn())
            figures.amqp_consume.append(bench.amqp_consume())
            bench.gridsidecar(figures, servers)
            print(
                f"round {number + 1}/{arguments.rounds}: spawn {figures.spawn[-1]:.0f}/s, amqp-consume "
                f"{figures.amqp_consume[-1]:.0f}/s, gridsidecar {figures.gridsidecar[-1]:.0f}/s",
                file=sys.stderr,
            )
    return _report(figures, arguments)


class _Bench:
    def __init__(self, amqp_url: str, mysql_url: str, arguments: argparse.Namespace) -> None:
        self._amqp_url = amqp_url
        self._mysql_url = mysql_url
        self._tasks: int = arguments.tasks
        self._concurrency: int = arguments.concurrency

    def spawn(self) -> float:
        """The ceiling: `cat` on an empty input, two at a time, by posix_spawn."""
        null = os.open(os.devnull, os.O_RDWR)
        cat = shutil.which("cat") or "/bin/cat"
        started = time.monotonic()
        running = 0
        for _ in range(self._tasks):
            os.posix_spawn(cat, ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, null, 0)])
            running += 1
            if running == 2:
                os.wait()
                running -= 1
        while running:
            os.wait()
            running -= 1
        os.close(null)
        return self._tasks / (time.monotonic() - started)

    def amqp_consume(self) -> float:
        """Debian's consumer: one command a message, acked when it succeeds; no state anywhere."""
        queue = self._fill()
        started = time.monotonic()
        command = ["amqp-consume", f"--url={self._amqp_url}", "-q", queue]
        command += ["-c", str(self._tasks), "-p", str(self._concurrency), "cat"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
        return self._tasks / (time.monotonic() - started)

    def gridsidecar(self, figures: Figures, servers: dict[str, int]) -> None:
        """Ours: first claim to last commit by the rows' own times, CPU over the same span."""
        queue, database = self._fill(), f"bench_{uuid.uuid4().hex[:8]}"
        with closing(self._mysql()) as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {database}")
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "config.yaml")
            config.write_text(yaml.safe_dump(self._config(queue, database)))
            self._measure(config, database, figures, servers)
        with closing(self._mysql()) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {database}")

    def _measure(self, config: Path, database: str, figures: Figures, servers: dict[str, int]) -> None:
        before = {name: tree_cpu(pid) for name, pid in servers.items()}
        started = time.monotonic()
        command = [sys.executable, "-m", "gridsidecar", "run", "-c", str(config), "-l", "INFO"]
        with open(config.with_suffix(".log"), "wb") as log:
            sidecar = subprocess.Popen(command, stderr=log)
        try:
            figures.start_s.append(self._until_consuming(config.with_suffix(".log"), started))
            at_start = own_cpu(sidecar.pid)
            figures.gridsidecar.append(self._until_done(database, sidecar))
            used = {
                "sidecar": own_cpu(sidecar.pid) - at_start,
                "child": children_cpu(sidecar.pid),
                **{name: tree_cpu(pid) - before[name] for name, pid in servers.items()},
            }
            for name, seconds in used.items():
                figures.cpu.setdefault(name, []).append(1000 * seconds / self._tasks)
            figures.idle_mib.append(resident_mib(sidecar.pid))
        finally:
            sidecar.terminate()
            sidecar.wait(timeout=60)

    def _until_consuming(self, log: Path, started: float) -> float:
        while "consuming" not in log.read_text():
            _check_time(started, "the sidecar did not start:\n" + log.read_text())
            time.sleep(0.005)
        return time.monotonic() - started

    def _until_done(self, database: str, sidecar: subprocess.Popen[bytes]) -> float:
        started = time.monotonic()
        query = (
            "SELECT COUNT(*), TIMESTAMPDIFF(MICROSECOND, MIN(started_at), MAX(completed_at)) / 1e6 "
            "FROM grid_async_task_tasks WHERE status = 'success'"
        )
        with closing(self._mysql(database)) as connection:
            connection.autocommit(True)
            while True:
                with connection.cursor() as cursor:
                    cursor.execute(query)
                    done, seconds = cursor.fetchone()
                if done == self._tasks:
                    return self._tasks / float(seconds)
                if sidecar.poll() is not None:
                    raise RuntimeError(f"the sidecar ended with {sidecar.returncode}")
                _check_time(started, f"only {done} of {self._tasks} tasks ended")
                time.sleep(0.5)  # seldom enough not to disturb

    def _config(self, queue: str, database: str) -> dict[str, object]:
        return {
            "broker": {"url": self._amqp_url, "queue": queue},
            "store": {"url": f"{self._mysql_url.rstrip('/')}/{database}"},
            "worker": {"concurrency": self._concurrency},
            "handlers": {"default": {"command": ["cat"]}},
        }

    def _fill(self) -> str:
        queue = f"bench_{uuid.uuid4().hex[:8]}"
        with closing(pika.BlockingConnection(pika.URLParameters(self._amqp_url))) as connection:
            channel = connection.channel()
            channel.queue_declare(queue, durable=True)
            channel.confirm_delivery()
            for number in range(self._tasks):
                body = json.dumps({"task_id": uuid.uuid4().hex, "data": {"n": number}}).encode()
                channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))
        return queue

    def _mysql(self, database: str | None = None) -> pymysql.Connection:
        parts = urlsplit(self._mysql_url)
        return pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            database=database,
        )


def _check_time(started: float, problem: str) -> None:
    if time.monotonic() - started > PATIENCE:
        raise TimeoutError(problem)


def _report(figures: Figures, arguments: argparse.Namespace) -> int:
    rates = {
        "bare spawn of cat": median(figures.spawn),
        "amqp-consume … cat": median(figures.amqp_consume),
        "gridsidecar": median(figures.gridsidecar),
    }
    cpu = {name: median(values) for name, values in figures.cpu.items()}
    checks = {
        "ratio to amqp-consume": (figures.ratio, ">=", BUDGETS["ratio"]),
        "start to consuming, s": (median(figures.start_s), "<=", BUDGETS["start_s"]),
        "resident memory, MiB": (median(figures.idle_mib), "<=", BUDGETS["idle_mib"]),
    }
    kept = {name: value >= limit if sign == ">=" else value <= limit for name, (value, sign, limit) in checks.items()}
    if arguments.json:
        print(
            json.dumps(
                {"rates": rates, "cpu_ms": cpu, "checks": {name: value for name, (value, _, _) in checks.items()}}
            )
        )
    else:
        print(f"{arguments.tasks} tasks, concurrency {arguments.concurrency}, median of {arguments.rounds} rounds\n")
        for name, rate in rates.items():
            print(f"{name:<22} {rate:7.0f}/s  {'█' * round(40 * rate / max(rates.values()))}")
        print(f"\nCPU a task, ms: {', '.join(f'{name} {value:.2f}' for name, value in cpu.items())}\n")
        for name, (value, sign, limit) in checks.items():
            print(f"{name:<22} {value:7.2f}  ({sign} {limit:g})  {'ok' if kept[name] else 'MISSED'}")
    return 0 if all(kept.values()) else 1
