"""What everything in this process works with: settings, time and chance, which servers answer, who hears of tasks."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Callable

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.config.settings import WorkerSettings
from gridsidecar.errors import AccessRefused
from gridsidecar.rules.flow import Pause
from gridsidecar.rules.task import TaskUpdate
from gridsidecar.runtime.health import Vitals
from gridsidecar.runtime.memory_budget import MemoryBudget
from gridsidecar.runtime.shutdown import Shutdown
from gridsidecar.telemetry import Readiness


class Environment:
    """The surroundings of all that one run does."""

    def __init__(self, settings: WorkerSettings, readiness: Readiness, clock: Clock, rng: random.Random) -> None:
        self.name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self.settings = settings
        self.readiness = readiness
        self.clock = clock
        self.rng = rng
        self.memory = MemoryBudget(settings.memory_budget_mb)
        self.shutdown = Shutdown()
        self.vitals = Vitals()
        self.fatal: AccessRefused | None = None  # what this run ends for
        self.failed = asyncio.Event()
        self.paused: dict[str, Pause] = {}  # task types that may not start, as they were read last
        self.paused_at: dict[str, float] = {}  # when that was first known here, monotonic seconds
        self.listeners: list[Callable[[TaskUpdate], None]] = []  # called in turn; they must neither block nor raise

    def end_for(self, error: AccessRefused) -> None:
        """A server says no, and waiting does not mend it: this run ends, and the next one may be configured anew."""
        self.fatal = self.fatal or error
        self.failed.set()

    def tell(self, update: TaskUpdate) -> None:
        """Something happened to a task and is stored: a line of the log, and word to all who listen."""
        telemetry.task_update(update)
        self.tell_listeners(update)

    def tell_listeners(self, update: TaskUpdate) -> None:
        """For what has a line of its own in the log."""
        for listener in self.listeners:
            listener(update)
