"""Chooses the next fault of a soak, makes it, and heals it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.conftest import execute_on_server
from tests.faults.crew import LEASE, Crew, Member
from tests.faults.history import History
from tests.support.servers import MySQL, RabbitMQ
from tests.support.web import Web


class Nemesis:
    """One fault at a time. What it did is counted in the history."""

    def __init__(
        self, crew: Crew, broker: RabbitMQ, database: MySQL, web: Web, history: History, rng: random.Random
    ) -> None:
        self._crew = crew
        self._broker = broker
        self._database = database
        self._web = web
        self._history = history
        self._rng = random.Random(rng.random())
        self._faults: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {  # weight, deed
            "a pod dies": (5, self._kill),
            "a rolling update": (2, self._restart),
            "a worker is paused": (2, self._pause_worker),
            "a pod is frozen": (2, self._freeze_pod),
            "a process of several is killed": (4 if crew.processes > 1 else 0, self._kill_process),
            "a process of several is stopped": (2 if crew.processes > 1 else 0, self._stop_process),
            "connections to the broker cut": (3, self._cut_broker),
            "broker half-open for one": (2, self._silence_broker),
            "connections to the database cut": (3, self._cut_database),
            "one is cut off the database": (2, self._silence_database),
            "broker restarted": (1, self._restart_broker),
            "broker killed": (1, self._kill_broker),
            "database restarted": (1, self._restart_database),
            "database killed": (1, self._kill_database),
            "database read-only": (2, self._read_only),
            "database locked": (2, self._locked),
            "receiver of callbacks fails": (2, self._failing_receiver),
            "receiver of callbacks is away": (1, self._absent_receiver),
        }

    async def strike(self) -> str:
        """A pause, a fault, and its end; its name."""
        await asyncio.sleep(self._rng.uniform(0.5, 4))
        names = list(self._faults)
        name = self._rng.choices(names, [self._faults[name][0] for name in names])[0]
        await self._faults[name][1]()
        self._history.faults[name] += 1
        return name

    async def heal(self) -> None:
        """Whatever was left broken works again. Each deed heals itself, so there is only the receiver to tell."""
        self._history.listen(self._web)

    def _someone(self) -> Member:
        return self._rng.choice(self._crew.members)

    # -- workers ------------------------------------------------------------------------------------------------------

    async def _kill(self) -> None:
        self._crew.kill(self._someone())

    async def _restart(self) -> None:
        await self._crew.restart(self._someone())

    async def _pause_worker(self) -> None:
        """The daemon alone stands still: its handlers go on."""
        member = self._someone()
        await self._stopped(member.sidecar.processes(), member)

    async def _freeze_pod(self) -> None:
        """All of it stands still."""
        member = self._someone()
        await self._stopped(member.sidecar.processes() + member.sidecar.handlers(), member)

    async def _kill_process(self) -> None:
        """As when one of them runs out of memory: its supervisor looks after what it leaves."""
        _signal(self._someone().sidecar.processes()[:1], signal.SIGKILL)

    async def _stop_process(self) -> None:
        member = self._someone()
        since = time.time()
        pids = member.sidecar.processes()[-1:]
        _signal(pids, signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(1, 15))
        _signal(pids, signal.SIGCONT)
        self._crew.absent(member, since, time.time())

    async def _stopped(self, others: list[int], member: Member) -> None:
        since = time.time()
        pids = [member.sidecar.pid, *others]
        if member.sidecar.exit_code is not None:
            return
        _signal(pids, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._rng.uniform(1, 3 * LEASE))
        finally:
            _signal(pids, signal.SIGCONT)
            self._crew.absent(member, since, time.time())

    # -- the network --------------------------------------------------------------------------------------------------

    async def _cut_broker(self) -> None:
        self._someone().broker.cut()

    async def _silence_broker(self) -> None:
        member = self._someone()
        member.broker.freeze()
        await asyncio.sleep(self._rng.uniform(1, 10))
        member.broker.cut()
        member.broker.heal()

    async def _cut_database(self) -> None:
        self._someone().database.cut()

    async def _silence_database(self) -> None:
        member = self._someone()
        since = time.time()
        member.database.freeze()
        await asyncio.sleep(self._rng.uniform(1, 3 * LEASE))
        member.database.cut()
        member.database.heal()
        self._crew.absent(member, since, time.time())

    # -- servers ------------------------------------------------------------------------------------------------------

    async def _restart_broker(self) -> None:
        await asyncio.to_thread(self._broker.stop)
        await asyncio.sleep(self._rng.uniform(0, 5))
        await asyncio.to_thread(self._broker.start)

    async def _kill_broker(self) -> None:
        await asyncio.to_thread(self._broker.kill)
        await asyncio.to_thread(self._broker.start)

    async def _restart_database(self) -> None:
        await asyncio.to_thread(self._database.stop)
        await asyncio.sleep(self._rng.uniform(0, 3 * LEASE))
        await asyncio.to_thread(self._database.start)

    async def _kill_database(self) -> None:
        await asyncio.to_thread(self._database.kill)
        await asyncio.to_thread(self._database.start)

    async def _read_only(self) -> None:
        execute_on_server(self._database.url, "set global read_only = 1")
        try:
            await asyncio.sleep(self._rng.uniform(1, 2 * LEASE))
        finally:
            execute_on_server(self._database.url, "set global read_only = 0")

    async def _locked(self) -> None:
        """Somebody reads all tasks for update, for longer than a statement waits for a lock."""
        import pymysql

        connection = await asyncio.to_thread(
            pymysql.connect, host="127.0.0.1", port=self._database.port, user="root", database="soak"
        )
        try:
            with connection.cursor() as cursor, suppress(pymysql.err.OperationalError):
                cursor.execute("set innodb_lock_wait_timeout = 2")
                cursor.execute("select id from grid_async_task_tasks where status = 'running' for update")
                await asyncio.sleep(self._rng.uniform(0.5, 7))
        finally:
            connection.close()

    # -- the receiver of callbacks ------------------------------------------------------------------------------------

    async def _failing_receiver(self) -> None:
        self._history.listen(self._web, status=self._rng.choice((500, 503, 429)))
        await asyncio.sleep(self._rng.uniform(1, 6))
        self._history.listen(self._web)

    async def _absent_receiver(self) -> None:
        await self._web.close()
        await asyncio.sleep(self._rng.uniform(1, 6))
        await self._web.listen()


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
