"""One round of Debian's consumer: one command a message, acked when it succeeds; it stores nothing."""

from __future__ import annotations

import os
import subprocess
import time

from benchmarks.bench import Figures
from benchmarks.servers import Servers


def run(servers: Servers, tasks: int, prefetch: int = 8) -> Figures:
    """The CPU of the commands is in its own: it waits for them, and nobody sees the two apart afterwards."""
    with servers.queue() as queue:
        servers.publish(queue, ({"task_id": os.urandom(16).hex(), "data": {}} for _ in range(tasks)))
        broker = servers.cpu()[0]
        command = ["amqp-consume", f"--url={servers.broker.url}", "-q", queue, "-c", str(tasks), "-p", str(prefetch)]
        started = time.monotonic()
        process = subprocess.Popen([*command, "cat"], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"amqp-consume ended with {process.returncode}")
        return {
            "rate": tasks / seconds,
            "cpu_own": 1000 * (used.ru_utime + used.ru_stime) / tasks,
            "cpu_broker": 1000 * (servers.cpu()[0] - broker) / tasks,
        }
