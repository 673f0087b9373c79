"""What this process holds in memory of tasks: the attempts in hand, and this worker's side of the rules for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from msgspec import Struct, field

from gridsidecar.broker import Delivery
from gridsidecar.clock import Clock
from gridsidecar.delivery.identity import Identity, Lease
from gridsidecar.delivery.slots import SlotRequest
from gridsidecar.environment import Environment
from gridsidecar.handler import Stop, StopReason
from gridsidecar.handler.capture import LogText
from gridsidecar.handler.live import LiveText
from gridsidecar.rules.reception import Claimant
from gridsidecar.rules.task import Claim, Progress
from gridsidecar.runtime.shutdown import Phase
from gridsidecar.store import Quarantine


class HeldAttempt(Struct, eq=False):
    """One attempt that this worker is to run, runs, or is about to settle."""

    claim: Claim
    delivery: Delivery | None  # None once handed off to the store
    received_at: float  # monotonic seconds
    claimed_at: float  # monotonic seconds
    slot: SlotRequest
    waited: float | None = None  # seconds from its arrival until its handler, with its start hook, had its turn
    stop: Stop = field(default_factory=Stop)
    progress: Progress = field(default_factory=Progress)  # the latest the handler reported
    log: LogText | None = None  # what it says, while it runs
    live: LiveText | None = None  # … and how much of that is in the database
    output_stored: bool = False  # some of its output may be in the database
    marked: bool = False  # its row says that it has started, though it was claimed ahead
    handler_ended: bool = False  # the handler is gone; only the row and the delivery are left to settle
    settled: bool = False  # its delivery was acked or requeued; another copy comes too late for it
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # settled, and out of memory


class HeldAttempts:
    """The attempts in hand, one for each task at most."""

    def __init__(self, clock: Clock) -> None:
        self._held: dict[str, HeldAttempt] = {}
        self.giving_back: set[str] = set()  # tasks whose rows, with no attempt behind them, are being given back
        self.unwritable = Quarantine(clock)  # tasks whose rows no heartbeat tries to write

    def __iter__(self) -> Iterator[HeldAttempt]:
        return iter(list(self._held.values()))

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._held

    def get(self, task_id: str) -> HeldAttempt | None:
        return self._held.get(task_id)

    @property
    def tasks(self) -> set[str]:
        return set(self._held)

    @property
    def running(self) -> int:
        """How many have a slot."""
        return sum(held.slot.running for held in self._held.values())

    def hold(self, held: HeldAttempt) -> None:
        self._held[held.claim.task_id] = held
        self.unwritable.forget(held.claim.task_id)

    def dismiss(self, held: HeldAttempt) -> None:
        """It is settled: out of memory."""
        if self._held.get(held.claim.task_id) is held:
            del self._held[held.claim.task_id]
        held.gone.set()

    def of(self, lease: Lease) -> list[HeldAttempt]:
        """What we hold under this lease."""
        return [held for held in self._held.values() if held.claim.worker_id == lease.worker_id]


class Worker(Struct, frozen=True):
    """One running sidecar: its surroundings, its names, and what it has in hand."""

    env: Environment
    identity: Identity
    attempts: HeldAttempts

    def hold(self, held: HeldAttempt) -> None:
        """Keep an attempt in memory; one that comes too late in a shutdown will not even start."""
        self.attempts.hold(held)
        if self.env.shutdown.phase >= Phase.INTERRUPTING:
            held.stop.request(StopReason.SHUTDOWN)

    def may_start(self, held: HeldAttempt) -> bool:
        """Whether its claim surely stands, which may be somebody else's if our lease ran out while it waited, and its
        type has not been paused since."""
        pause = self.env.paused.get(held.claim.task.task_type)
        # A claim made after that was heard found in the store that the pause is over.
        unheard = pause is not None and held.claimed_at < self.env.paused_at[pause.task_type]
        if pause is not None and unheard and pause.stops(held.claim.task_id):
            return False
        if not held.claim.ahead:
            return True
        lease = self.identity.of(held.claim.worker_id)
        return lease is not None and lease.live and lease.live_since <= held.claimed_at

    def is_done_with(self, lease: Lease) -> bool:
        """Whether this is a former lease, and nothing of it is left or on its way."""
        claims = lease in self.identity.claiming.values()
        return lease is not self.identity.lease and not claims and not self.attempts.of(lease)

    def lease_for(self, task_id: str) -> Lease:
        """The lease that speaks for this task: that of its claim or of its attempt in memory, else the newest."""
        if task_id in self.identity.claiming:
            return self.identity.claiming[task_id]  # also when its reply was lost: the row names it
        held = self.attempts.get(task_id)
        return (held and self.identity.of(held.claim.worker_id)) or self.identity.lease

    def claimant(self, task_id: str, *, redelivered: bool, ahead: bool = False, own_process: bool = True) -> Claimant:
        """This worker's side of the rules for one task, and what the broker said of the delivery in our hands."""
        held = self.attempts.get(task_id)
        return Claimant(
            worker_id=self.lease_for(task_id).worker_id,
            worker_name=self.env.name,
            redelivered=redelivered,
            trusted=self.identity.lease.trusted,
            holds_attempt=held.claim.attempt if held else None,
            holds_live_copy=bool(held and held.delivery and held.delivery.alive),
            max_crashes=self.env.settings.max_crashes,
            ahead=ahead,
            own_process=own_process,
        )
