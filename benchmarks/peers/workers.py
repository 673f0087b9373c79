"""One round of Celery or Dramatiq: its queue filled by its own producer, its worker started, its end awaited."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import marks, processes
from benchmarks.bench import Figures
from benchmarks.environment import ROOT, has
from benchmarks.rates import steady_rate
from benchmarks.servers import Servers, until

STOP_TIMEOUT = 60.0  # seconds
_COMMANDS = {
    "celery": ["celery", "-A", "benchmarks.peers.celery_app", "worker", "-P", "prefork", "-c", "2", "-l", "WARNING"],
    "dramatiq": ["dramatiq", "benchmarks.peers.dramatiq_app", "--processes", "2", "--threads", "4"],
}


@dataclass(frozen=True)
class Peer:
    """`work` is the name of a task in its module; `stores`: its results go to the database."""

    servers: Servers
    module: str
    work: str
    tasks: int
    stores: bool = False

    def is_installed(self) -> bool:
        return has(self.module, *(["sqlalchemy"] if self.stores else []))

    def run(self) -> Figures:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            environment = self._environment(stack, folder / "marks")
            fill = [sys.executable, "-m", "benchmarks.peers.fill", self.module, self.work, str(self.tasks)]
            filled = subprocess.run(fill, cwd=ROOT, env=environment, capture_output=True, text=True)
            if filled.returncode != 0:
                raise RuntimeError(f"{self.module} could not be given its tasks:\n{filled.stderr}")
            with (folder / "log").open("wb") as log:
                command = [sys.executable, "-m", *_COMMANDS[self.module]]
                worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                return self._measure(worker, folder)
            finally:
                worker.terminate()
                worker.wait(STOP_TIMEOUT)

    def _environment(self, stack: ExitStack, ends: Path) -> dict[str, str]:
        variables = {
            marks.VARIABLE: str(ends),
            "BENCHMARK_BROKER": self.servers.broker.url,
            "BENCHMARK_QUEUE": stack.enter_context(self.servers.queue(declare=False)),
            "C_FORCE_ROOT": "1",
        }
        if self.stores:
            schema = stack.enter_context(self.servers.schema())
            variables["BENCHMARK_RESULTS"] = "db+" + self.servers.schema_url(schema, "mysql+pymysql")
        return os.environ | variables

    def _measure(self, worker: subprocess.Popen[bytes], folder: Path) -> Figures:
        ends = folder / "marks"

        def ended(tasks: int) -> bool:
            if worker.poll() is not None:
                raise RuntimeError(f"{self.module} ended with {worker.returncode}:\n{(folder / 'log').read_text()}")
            return marks.count(ends) >= tasks

        until(lambda: ended(1), f"{self.module} did not begin", 0.02)
        began, counted = time.monotonic(), marks.count(ends)
        at_start, servers_at_start = processes.usage(worker.pid), self.servers.cpu()
        until(lambda: ended(self.tasks), f"{self.module} did not end {self.tasks} tasks")
        used = processes.usage(worker.pid).since(at_start)
        broker, database = (now - then for now, then in zip(self.servers.cpu(), servers_at_start, strict=True))
        seconds = {"cpu_own": used.own, "cpu_commands": used.commands, "cpu_broker": broker}
        if self.stores:
            seconds["cpu_database"] = database
        measured = max(1, self.tasks - counted)
        return {
            "rate": steady_rate(marks.times(ends)),
            **{name: 1000 * value / measured for name, value in seconds.items()},
            "rss_mib": processes.resident_mib(worker.pid),
            "seconds": time.monotonic() - began,
        }
