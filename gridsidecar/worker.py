"""What this process holds in memory: who it is, its lease, its slots, and the attempts it runs."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gridsidecar.broker import Delivery
from gridsidecar.clock import Clock, backoff
from gridsidecar.config.settings import HandlerSettings, RetrySettings, WorkerSettings, retry_policy
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.handler import Handler, Stop, StopReason, width_of
from gridsidecar.lifecycle import Me
from gridsidecar.memory_budget import MemoryBudget
from gridsidecar.retry import RetryPolicy
from gridsidecar.store import Aside, Leases
from gridsidecar.task import Claim, Progress, TaskUpdate
from gridsidecar.telemetry import Readiness

T = TypeVar("T")
LONGEST_REST = 60.0  # seconds
RENEWALS_TO_TRUST = 2  # in a row and on time, before this worker judges the leases of others


class GiveBack(Exception):
    """This delivery will not be started here and now: back to the queue with it."""


@dataclass(slots=True, eq=False)
class HeldAttempt:
    """One attempt that this worker runs or is about to settle."""

    claim: Claim
    delivery: Delivery | None  # None once handed off to the store
    received_at: float  # monotonic seconds
    stop: Stop = field(default_factory=Stop)
    progress: Progress = field(default_factory=Progress)  # the latest the handler reported
    ended: bool = False  # the handler is gone; only the row and the delivery are left to settle
    settled: bool = False  # its delivery was acked or given back; another copy comes too late for it
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # settled, and out of memory


@dataclass(slots=True)
class Rest:
    """How long a handler is left alone after starts that failed."""

    failures: int = 0
    until: float = 0.0  # monotonic seconds

    def failed(self, now: float, rng: random.Random) -> None:
        """Another start failed: a longer rest."""
        self.failures += 1
        self.until = now + backoff(self.failures, base=1.0, limit=LONGEST_REST, rng=rng)

    def over(self) -> None:
        """A start worked."""
        self.failures, self.until = 0, 0.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One configured handler: what runs, under which policy, how many at once."""

    name: str
    settings: HandlerSettings
    handler: Handler
    policy: RetryPolicy
    slots: asyncio.Semaphore
    rest: Rest


def _own_slots(_: str, width: int) -> asyncio.Semaphore:
    return asyncio.Semaphore(width)


def make_lanes(
    handlers: Mapping[str, Handler],
    settings: Mapping[str, HandlerSettings],
    retry: RetrySettings,
    concurrency: int,
    slots: Callable[[str, int], asyncio.Semaphore] = _own_slots,
) -> dict[str, Lane]:
    """A lane for each task type that the configuration names. `slots` makes those of a name and a width."""
    return {
        name: Lane(
            name,
            settings[name],
            handler,
            retry_policy(retry, settings[name]),
            slots(name, width_of(settings[name], concurrency)),
            Rest(),
        )
        for name, handler in handlers.items()
    }


class Lease:
    """One identity of this worker: its heartbeat row, and how far its own renewals can be trusted."""

    def __init__(self, leases: Leases, name: str, seconds: float, clock: Clock) -> None:
        self.worker_id = uuid.uuid4().hex
        self._leases = leases
        self._name = name
        self._clock = clock
        self._renewed_at: float | None = None
        self._on_time = 0
        self.seconds = seconds

    @property
    def live(self) -> bool:
        return self._renewed_at is not None and self._clock.monotonic() - self._renewed_at < self.seconds

    @property
    def trusted(self) -> bool:
        """Right after a start, a pause or an outage every healthy owner's lease looks expired: then judge nobody."""
        return self.live and self._on_time >= RENEWALS_TO_TRUST

    async def renew(self) -> None:
        """Raises `StoreUnavailable`."""
        asked_at = self._clock.monotonic()
        was_live = self.live
        await self._leases.renew(self.worker_id, self._name, self.seconds)
        self._on_time = self._on_time + 1 if was_live else 0
        self._renewed_at = asked_at

    async def leave(self) -> None:
        """A clean goodbye. Raises `StoreUnavailable`."""
        await self._leases.leave(self.worker_id)
        self._renewed_at = None


class Worker:
    """One running sidecar."""

    def __init__(
        self, settings: WorkerSettings, leases: Leases, readiness: Readiness, clock: Clock, rng: random.Random
    ) -> None:
        self.name = settings.name or f"{socket.gethostname()}-{os.getpid()}"
        self.settings = settings
        self.readiness = readiness
        self.clock = clock
        self.rng = rng
        self._new_lease = partial(Lease, leases, self.name, settings.lease, clock)
        self.leases = [self._new_lease()]  # the newest is the one that claims; others live on for attempts of theirs
        self.slots = asyncio.Semaphore(settings.concurrency)
        self.memory = MemoryBudget(settings.memory_budget_mb)
        self.attempts: dict[str, HeldAttempt] = {}
        self.declared_dead = False  # others took an attempt of the newest identity
        self.claiming: dict[str, Lease] = {}  # tasks with a claim on its way to the store, and under which identity
        self.returning: set[str] = set()  # tasks whose rows we are giving up
        self.refusal: AccessRefused | None = None  # what this run ends for
        self.refused = asyncio.Event()
        self.unwritable = Aside(clock)  # tasks whose rows no heartbeat tries to write
        self.leaving = False  # start nothing new
        self.interrupting = False  # end what runs
        self.out_of_patience = False  # wait for no server any more
        self.listeners: list[Callable[[TaskUpdate], None]] = []  # called in turn; they must neither block nor raise

    @property
    def lease(self) -> Lease:
        return self.leases[-1]

    def lost(self, claim: Claim) -> None:
        """Others took this attempt: they think that we are dead."""
        if claim.worker_id == self.lease.worker_id:
            self.declared_dead = True

    def begin_anew(self) -> None:
        """From now on claims are made under another identity."""
        self.leases.append(self._new_lease())
        self.declared_dead = False

    def end_for(self, refusal: AccessRefused) -> None:
        """A server says no, and waiting does not mend it: this run ends, and the next one may be configured anew."""
        self.refusal = self.refusal or refusal
        self.refused.set()

    def attempts_of(self, lease: Lease) -> list[HeldAttempt]:
        """What we hold under this identity."""
        return [held for held in self.attempts.values() if held.claim.worker_id == lease.worker_id]

    def is_done_with(self, lease: Lease) -> bool:
        """Whether this identity is a former one, and nothing of it is left or on its way."""
        claims = lease in self.claiming.values()
        return lease is not self.lease and not claims and not self.attempts_of(lease)

    def lease_for(self, task_id: str) -> Lease:
        """The identity that speaks for this task: that of its claim or of its attempt in memory, else the newest."""
        if task_id in self.claiming:
            return self.claiming[task_id]  # also when its reply was lost: the row names it
        held = self.attempts.get(task_id)
        return next((lease for lease in self.leases if held and lease.worker_id == held.claim.worker_id), self.lease)

    def tell(self, update: TaskUpdate) -> None:
        """Something happened to a task and is stored: pass it on."""
        for listener in self.listeners:
            listener(update)

    def me(self, task_id: str, *, redelivered: bool) -> Me:
        """This worker's side of the rules for one task, and what the broker said of the delivery in our hands."""
        held = self.attempts.get(task_id)
        return Me(
            worker_id=self.lease_for(task_id).worker_id,
            redelivered=redelivered,
            trusted=self.lease.trusted,
            holds_attempt=held.claim.attempt if held else None,
            holds_live_copy=bool(held and held.delivery and held.delivery.alive),
            max_crashes=self.settings.max_crashes,
        )

    def hold(self, held: HeldAttempt) -> None:
        """Keep an attempt in memory; one that comes too late in a shutdown will not even start."""
        self.attempts[held.claim.task_id] = held
        self.unwritable.forget(held.claim.task_id)
        if self.interrupting:
            held.stop.request(StopReason.SHUTDOWN)

    def interrupt(self) -> None:
        """SIGTERM to whatever runs, and to what is about to."""
        self.interrupting = True
        for held in self.attempts.values():
            held.stop.request(StopReason.SHUTDOWN)

    async def ride_out(
        self, operation: Callable[[], Awaitable[T]], *, starting: bool = False, reading: bool = False
    ) -> T:
        """Run a store operation, again and again while the database is away; it must be safe to repeat.

        With `starting` (nothing has begun yet) it raises `GiveBack` once this worker shuts down, and `AccessRefused`;
        otherwise it raises `StoreUnavailable` only when patience has run out: a refusal ends the run, but until then
        what was done is not thrown away. `reading`: its success says nothing of writes.
        """
        part = "store (reading)" if reading else "store"
        failures = 0
        while True:
            if starting and self.leaving:
                raise GiveBack
            try:
                result = await operation()
            except (StoreUnavailable, AccessRefused) as error:
                if isinstance(error, AccessRefused):
                    if starting:
                        raise
                    self.end_for(error)
                if self.out_of_patience:
                    raise StoreUnavailable(str(error)) from error
                self.readiness.blocked(part, str(error))
                failures += 1
                await self.clock.sleep(backoff(failures, base=0.1, limit=5.0, rng=self.rng))
            else:
                self.readiness.clear(part)
                return result
