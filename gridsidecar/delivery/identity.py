"""Under which names this process owns attempts: leases that it renews, and how far its renewals can be trusted."""

from __future__ import annotations

import uuid
from functools import partial

from gridsidecar.clock import Clock
from gridsidecar.rules.task import Claim
from gridsidecar.store import Leases

RENEWALS_TO_TRUST = 2  # in a row and on time, before this worker judges the leases of others


class Lease:
    """One identity of this worker: its heartbeat row, and how far its own renewals can be trusted."""

    def __init__(self, leases: Leases, name: str, seconds: float, concurrency: int, clock: Clock) -> None:
        self.worker_id = uuid.uuid4().hex
        self._leases = leases
        self._name = name
        self._concurrency = concurrency
        self._clock = clock
        self._renewed_at: float | None = None
        self._on_time = 0
        self.cancels = 0  # the figure of its row up to which all that is to be cancelled was told
        self.live_since = 0.0  # monotonic seconds; since then it never ran out
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
        await self._leases.renew(self.worker_id, self._name, self.seconds, self._concurrency)
        if was_live:
            self._on_time += 1
        else:
            self._on_time, self.live_since = 0, self._clock.monotonic()
        self._renewed_at = asked_at

    async def leave(self) -> None:
        """A clean goodbye. Raises `StoreUnavailable`."""
        await self._leases.leave(self.worker_id)
        self._renewed_at = None


class Identity:
    """The newest lease is the one that claims; others live on for attempts of theirs."""

    def __init__(self, leases: Leases, name: str, seconds: float, concurrency: int, clock: Clock) -> None:
        self._new_lease = partial(Lease, leases, name, seconds, concurrency, clock)
        self.leases = [self._new_lease()]
        self.claiming: dict[str, Lease] = {}  # tasks with a claim on its way to the store, and under which lease
        self.declared_dead = False  # others took an attempt of the newest lease

    @property
    def lease(self) -> Lease:
        return self.leases[-1]

    def lost(self, claim: Claim) -> None:
        """Others took this attempt: they think that we are dead."""
        if claim.worker_id == self.lease.worker_id:
            self.declared_dead = True

    def begin_anew(self) -> None:
        """From now on claims are made under another lease."""
        self.leases.append(self._new_lease())
        self.declared_dead = False

    def of(self, worker_id: str) -> Lease | None:
        """The lease of this name, if it is one of ours."""
        return next((lease for lease in self.leases if lease.worker_id == worker_id), None)
