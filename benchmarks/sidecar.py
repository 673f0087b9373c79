"""A gridsidecar under measure: started on a queue and a database, watched from outside, stopped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import yaml

from benchmarks import processes, settings
from benchmarks.rates import steady_rate
from benchmarks.servers import LOOK_EVERY, TASKS, Servers, until

STOP_TIMEOUT = 60.0  # seconds


@dataclass(frozen=True)
class Checkout:
    """A folder with gridsidecar's code, and what its contestants' names end with."""

    folder: Path
    suffix: str = ""

    def popen(self, config: Path, log: Path) -> subprocess.Popen[bytes]:
        """The daemon of this code, whatever is installed."""
        command = [sys.executable, "-m", "gridsidecar", "run", "-c", str(config), "-l", "INFO"]
        with log.open("wb") as output:
            return subprocess.Popen(
                command, cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL, stderr=output
            )

    def environment(self) -> dict[str, str]:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return environ | {"PYTHONPATH": str(self.folder)}  # compiled once, as an installed package is


@dataclass(frozen=True)
class Place:
    """A queue and a database for one run of one sidecar."""

    servers: Servers
    queue: str
    schema: str

    def fill(self, tasks: int, task_types: Sequence[str] = ("default",), **fields: Any) -> None:
        """Publish so many tasks, of these types in turn."""
        self.servers.publish(
            self.queue,
            (
                {"task_id": os.urandom(16).hex(), "task_type": task_type, "data": {}} | fields
                for task_type in islice(cycle(task_types), tasks)
            ),
        )


@contextmanager
def place(servers: Servers, schema: str | None = None) -> Iterator[Place]:
    """A new queue, and a new database unless one is given."""
    with ExitStack() as stack:
        queue = stack.enter_context(servers.queue())
        yield Place(servers, queue, schema or stack.enter_context(servers.schema()))


@dataclass
class Sidecar:
    """A running one. Figures in `spent` are since it began to consume."""

    place: Place
    process: subprocess.Popen[bytes]
    log: Path
    start_s: float = 0.0
    began: str = ""  # the database's time before the start
    at_start: processes.Usage = field(default=processes.Usage(0, 0))
    servers_at_start: tuple[float, float] = (0, 0)

    def wait_consuming(self) -> None:
        started = time.monotonic()
        until(lambda: self._says("consuming"), "the sidecar did not start", 0.005)
        self.start_s = time.monotonic() - started
        self.at_start = processes.usage(self.process.pid)

    def _says(self, words: str) -> bool:
        text = self.log.read_text(errors="replace")
        self.check(text)
        return words in text

    @property
    def api(self) -> str:
        """Where it answers by HTTP; it does before it consumes."""
        found = re.search(r"http server listens.*?(http://[\d.:]+)", self.log.read_text(errors="replace"))
        assert found is not None, "nothing listens"
        return found[1]

    def check(self, text: str = "") -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"the sidecar ended with {self.process.returncode}:\n{text or self.log.read_text()}")

    def ends(
        self,
        tasks: int,
        status: str = "success",
        every: float = LOOK_EVERY,
        meanwhile: Callable[[], None] | None = None,
    ) -> list[float]:
        """When so many tasks came to a status, in seconds, ascending; waits, and calls `meanwhile` at each look."""
        column = "completed_at" if status == "success" else "updated_at"
        where = f"FROM {TASKS} WHERE status = %s AND created_at >= %s"
        with self.place.servers.session(self.place.schema) as run:

            def all_ended() -> bool:
                self.check()
                if meanwhile is not None:
                    meanwhile()
                return int(run(f"SELECT COUNT(*) {where}", status, self.began)[0][0]) >= tasks

            until(all_ended, f"fewer than {tasks} tasks came to {status}", every)
            rows = run(f"SELECT {column} {where} ORDER BY {column}", status, self.began)
        return [_seconds(row[0]) for row in rows]

    def figures(self, tasks: int, **options: Any) -> dict[str, float]:
        """Wait for so many tasks: their rate, CPU in milliseconds a task by process, memory."""
        rate = steady_rate(self.ends(tasks, **options))
        used = processes.usage(self.process.pid).since(self.at_start)
        broker, database = self.place.servers.cpu()
        seconds = {
            "cpu_own": used.own,
            "cpu_commands": used.commands,
            "cpu_broker": broker - self.servers_at_start[0],
            "cpu_database": database - self.servers_at_start[1],
        }
        return {
            "rate": rate,
            **{name: 1000 * value / tasks for name, value in seconds.items()},
            "start_s": self.start_s,
            "rss_mib": processes.resident_mib(self.process.pid),
            "pss_mib": processes.proportional_mib(self.process.pid),
        }

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def sidecar(
    checkout: Checkout,
    where: Place,
    handlers: dict[str, Any],
    concurrency: int = 8,
    processes: str | None = None,
    store_url: str | None = None,
    listen: str | None = None,
) -> Iterator[Sidecar]:
    """One that consumes; `store_url` leads to the database by another way, `listen` is where it answers by HTTP."""
    servers = where.servers
    urls = (servers.broker.url, store_url or servers.schema_url(where.schema))
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder, "config.yaml"), Path(folder, "log")
        config = settings.config(urls, where.queue, handlers, concurrency, processes, listen)
        file.write_text(yaml.safe_dump(config))
        with servers.session() as run:
            began = str(run("SELECT UTC_TIMESTAMP(3)")[0][0])
        cpu = servers.cpu()
        running = Sidecar(where, checkout.popen(file, log), log, began=began, servers_at_start=cpu)
        try:
            running.wait_consuming()
            yield running
        finally:
            running.stop()


def _seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
