"""The sidecars of a soak: each behind proxies of its own, with a journal of its own, replaced when it dies."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gridsidecar.failpoints import POINTS
from tests.faults.history import Absence, History, left_running
from tests.faults.producer import RETRY_DELAY
from tests.support.place import Place
from tests.support.proxy import Proxy, proxied
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

LEASE = 3.0  # seconds
NOTICED = 4 * LEASE  # seconds after its return until a worker has surely seen what others took
ARMED = 0.3  # share of the sidecars that will die at a failpoint
LEAVING_TIMEOUT = 60.0


@dataclass
class Member:
    """One place in the crew, and who is in it now."""

    place: Place
    broker: Proxy
    database: Proxy
    sidecar: Sidecar
    incarnation: int = 0
    expected_dead: bool = False
    absent_since: float | None = field(default=None)


class Crew:
    """Keeps as many sidecars running as were added."""

    def __init__(
        self, place: Place, history: History, callback_url: str, rng: random.Random, processes: int = 1
    ) -> None:
        self._place = place
        self.processes = processes  # of each sidecar
        self._history = history
        self._rng = random.Random(rng.random())
        self._stack = AsyncExitStack()
        self._guard: asyncio.Task[None] | None = None
        self.members: list[Member] = []

    async def __aenter__(self) -> Self:
        self._guard = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop_guarding()
        for member in self.members:
            member.sidecar.die()
            for journal in self._history.journals:
                journal.kill(left_running(journal))
        await self._stack.aclose()

    async def add(self) -> None:
        """One more sidecar."""
        folder = self._place.folder / f"member{len(self.members)}"
        folder.mkdir()
        broker, broker_url = await self._stack.enter_async_context(proxied(self._place.broker_url))
        database, store_url = await self._stack.enter_async_context(proxied(self._place.store_url))
        place = Place(broker_url, store_url, self._place.queue, folder)
        self._history.journals.append(place.journal)
        member = Member(place, broker, database, Sidecar(folder / "0", self._config(place)))
        self.members.append(member)
        await member.sidecar.ready(60)

    def _config(self, place: Place) -> dict[str, Any]:
        jobs = {
            "default": place.job("done"),
            "short": place.job("for", 0.3),
            "long": place.job("for", 4),
            "flaky": place.job("flaky", 2),
            "bad": place.job("exit", 3),
        }
        return place.config(
            jobs,
            broker={"heartbeat": 2},
            worker={
                "concurrency": 4,
                "lease": LEASE,
                "max_crashes": 1000,
                "shutdown_grace": 5,
                "processes": self.processes,
            },
            retry={"delay": RETRY_DELAY},
            callbacks={"allow": ["127.0.0.1"], "timeout": 3, "max_retries": 100},
            log={"level": "INFO"},
        )

    def replace(self, member: Member) -> None:
        """A dead one is followed by another, which may be armed to die as well."""
        member.place.journal.kill(left_running(member.place.journal))
        member.incarnation += 1
        armed = ""
        if self._rng.random() < ARMED:
            point = self._rng.choice(POINTS)
            armed = f"{point}:kill@{self._rng.randint(1, 40)}"
        folder = member.place.folder / str(member.incarnation)
        member.sidecar = Sidecar(folder, self._config(member.place), failpoints=armed)

    def kill(self, member: Member) -> None:
        """As a pod dies: with all that runs in it."""
        member.place.journal.note_killed(member.sidecar.die())
        self.replace(member)

    def absent(self, member: Member, since: float, until: float) -> None:
        """It was paused or cut off; what others began meanwhile, and until it noticed, may overlap."""
        self._history.absences.append(Absence(member.place.journal.path, since, until + NOTICED))

    async def leave(self) -> bool:
        """SIGTERM to all; whether all left in peace."""
        await self._stop_guarding()
        for member in self.members:
            if member.sidecar.exit_code is None:
                member.sidecar.terminate()
        codes = [await member.sidecar.ended(LEAVING_TIMEOUT) for member in self.members]
        return all(code in (0, -signal.SIGKILL) for code in codes)

    async def _keep_alive(self) -> None:
        """Whoever died at a failpoint is replaced; whoever ended in another way has broken a promise."""
        while True:
            await asyncio.sleep(0.2)
            for member in self.members:
                member.place.journal.note_dead()  # with its process, of several, or because it was cancelled
                code = member.sidecar.exit_code
                if code is None or member.expected_dead:
                    continue
                if code != -signal.SIGKILL:
                    keep = Path("/tmp") / f"gridsidecar-soak-{member.sidecar.pid}.log"
                    keep.write_text(member.sidecar.text)
                    self._history.faults[f"ENDED BY ITSELF with {code}, see {keep}"] += 1
                else:
                    self._history.faults["killed at a failpoint"] += 1
                self.replace(member)

    async def _stop_guarding(self) -> None:
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)
            self._guard = None

    async def restart(self, member: Member) -> None:
        """A rolling update: SIGTERM, and a new one when it has gone."""
        member.expected_dead = True
        try:
            member.sidecar.terminate()
            await eventually(lambda: member.sidecar.exit_code is not None, LEAVING_TIMEOUT)
            self.replace(member)
        finally:
            member.expected_dead = False
