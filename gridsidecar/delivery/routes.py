"""The configured handlers, by task type: what runs, under which policy, how many at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from msgspec import Struct

from gridsidecar.clock import backoff
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.settings import RetrySettings, retry_policy
from gridsidecar.delivery.slots import Capacity, Slots
from gridsidecar.handler import Handler, own_processes_of, width_of
from gridsidecar.rules.flow import FREE, Flow
from gridsidecar.rules.rate import Rate, parse_rate
from gridsidecar.rules.retry import RetryPolicy
from gridsidecar.rules.task import Task
from gridsidecar.supervisor_link import SharedSlots

LONGEST_BACKOFF = 60.0  # seconds


class StartBackoff(Struct):
    """How long a handler is left alone after starts that failed."""

    failures: int = 0
    until: float = 0.0  # monotonic seconds

    def failed(self, now: float, rng: random.Random) -> None:
        """Another start failed: longer than before. One that fails within the rest was on its way when the last one
        failed, or is the same: a process that did not start had many tasks."""
        if now < self.until:
            return
        self.failures += 1
        self.until = now + backoff(self.failures, base=1.0, limit=LONGEST_BACKOFF, rng=rng)

    def over(self) -> None:
        """A start worked."""
        self.failures, self.until = 0, 0.0


class Route(Struct, frozen=True):
    """One configured handler."""

    name: str
    settings: HandlerSettings
    handler: Handler
    policy: RetryPolicy
    capacity: Capacity
    start_backoff: StartBackoff
    shared_slots: SharedSlots | None  # it also needs one of these: other processes of this sidecar run it, too
    own_processes: asyncio.Semaphore | None  # a suspect needs one of these where tasks share processes
    rate: Rate | None = None  # of starts, over all workers

    def retries(self, task: Task) -> int:
        """How often this task may be tried again."""
        return self.policy.max_retries if task.max_retry_count is None else task.max_retry_count

    def flow(self, *, paused: bool) -> Flow:
        """What may keep a task of this route from its start."""
        if self.rate is None:
            return Flow(paused=True) if paused else FREE
        return Flow(paused, self.rate, self.name)


class Routes:
    """The route of each task type that the configuration names, and that of all others, if there is one."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        settings: Mapping[str, HandlerSettings],
        retry: RetrySettings,
        slots: Slots,
        concurrency: int,
        shared_slots: Mapping[str, SharedSlots],
    ) -> None:
        self._routes: dict[str, Route] = {}
        for name, handler in handlers.items():
            of, width = settings[name], width_of(settings[name], concurrency)
            claims_ahead = name not in shared_slots and of.rate is None  # a claim would reserve a start
            own_processes = own_processes_of(of, width)
            self._routes[name] = Route(
                name,
                of,
                handler,
                retry_policy(retry, of),
                slots.capacity(width, claims_ahead=claims_ahead),
                StartBackoff(),
                shared_slots.get(name),
                asyncio.Semaphore(own_processes) if own_processes else None,
                None if of.rate is None else parse_rate(of.rate),
            )

    def route(self, task_type: str) -> Route | None:
        return self._routes.get(task_type) or self._routes.get("default")

    @property
    def running(self) -> dict[str, int]:
        """By handler, how many have a slot."""
        return {name: route.capacity.running for name, route in self._routes.items()}

    @property
    def share_processes(self) -> bool:
        """Whether tasks of any of them do."""
        return any(route.own_processes is not None for route in self._routes.values())

    @property
    def types(self) -> list[str]:
        return sorted(self._routes)
