"""The broker seam on one SQLite file, for one machine and any number of processes."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar
from uuid import uuid4

from msgspec.structs import replace

from gridsidecar import clock, telemetry
from gridsidecar.broker import DeadLetter, QueueInfo, Receive
from gridsidecar.broker.dead_letters import label, read_letter
from gridsidecar.broker.doorbell import Doorbell
from gridsidecar.broker.message_table import LeasedMessage, MessageLease, MessageTable
from gridsidecar.broker.names import check_queue_name
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.errors import AccessRefused, BrokerUnavailable, ConfigError, Fault, PublishRefused
from gridsidecar.rules.task import Message
from gridsidecar.telemetry import Readiness
from gridsidecar.wal import WalWatch

LEASE = 15.0  # seconds; renewed three times as often
CLOSE_TIMEOUT = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

# SQLite's names for what no waiting mends: not a database, damaged, not ours to open or to write.
HOPELESS = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY")

T = TypeVar("T")


class EmbeddedDelivery:
    """A message on lease."""

    __slots__ = ("_broker", "held", "lease_ends", "message", "redelivered")
    returns = 0  # no number of returns costs a message here

    def __init__(self, broker: EmbeddedBroker, taken: LeasedMessage, lease_ends: float) -> None:
        self._broker = broker
        self.held = taken.held
        self.lease_ends = lease_ends  # loop time
        self.message = taken.message
        self.redelivered = taken.held.count > 1

    def forget(self) -> None:
        self.message = replace(self.message, body=b"")

    @property
    def alive(self) -> bool:
        return self._broker.holds(self)

    async def ack(self) -> None:
        await self._broker.settle(self, lambda table: table.remove(self.held))

    async def requeue(self) -> None:
        if await self._broker.settle(self, lambda table: table.requeue([self.held]) == 1):
            self._broker.doorbell.ring()


class EmbeddedBroker:
    """One work queue in an SQLite file. A message is leased to one consumer at a time."""

    def __init__(
        self,
        settings: BrokerSettings,
        readiness: Readiness,
        now: clock.Clock | None = None,
        lease: float = LEASE,
    ) -> None:
        try:
            self._path = sqlite_path(settings.urls[0])
        except ValueError as error:
            raise ConfigError([Fault("broker.url", str(error))]) from None
        self._settings = settings
        self._readiness = readiness
        self._clock = now or clock.SystemClock()
        self._rng = clock.system_random()
        self._lease = lease
        self._owner = uuid4().hex
        self._thread = ThreadPoolExecutor(1, "gridsidecar-broker")
        self._table: MessageTable | None = None
        self._held: dict[MessageLease, EmbeddedDelivery] = {}
        self.doorbell = Doorbell(self._path)
        self._wal = WalWatch(self._path)
        self._renewing: asyncio.Task[None] | None = None
        self._stop: asyncio.Event | None = None
        self._stopped = asyncio.Event()
        self._failures = 0
        self._prefetch = 1
        self._closed = False

    async def open(self) -> None:
        _check_place(self._path)
        await self._run(lambda table: None)

    async def ensure_dead_letters(self) -> None:
        """They are rows of the same table."""

    async def consume(self, receive: Receive, prefetch: int) -> None:
        if self._stop is not None:
            raise RuntimeError("this broker is consuming already")
        self._stop = stop = asyncio.Event()
        self._stopped.clear()
        self._prefetch = prefetch
        try:
            while not stop.is_set():
                await self._round(receive)
        finally:
            self._stop = None
            self._stopped.set()

    def set_prefetch(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self.doorbell.wake()

    async def stop_consuming(self) -> None:
        if self._stop is not None:
            self._stop.set()
            self.doorbell.wake()
            await self._stopped.wait()

    @property
    def consuming(self) -> bool:
        return self._stop is not None

    @property
    def stuck(self) -> str | None:
        return None

    async def publish(self, message: Message) -> None:
        await self._put(message, self._settings.queue, 0.0)

    async def send(self, queue: str, message: Message, *, create: bool = True) -> None:
        check_queue_name(queue)
        await self._put(message, queue, 0.0)

    async def publish_delayed(self, message: Message, delay: float) -> None:
        await self._put(replace(message, message_id=None), self._settings.queue, delay)

    async def dead_letter(self, message: Message, reason: str, attempt_count: int | None = None) -> None:
        headers = {**message.headers, **label(reason, self._settings.queue, self._clock.now(), attempt_count)}
        await self._put(replace(message, headers=headers), self._settings.dead_letters, 0.0)

    async def ready_count(self) -> int:
        return await self._run(lambda table: table.ready_count(self._wall()))

    async def info(self, *, anew: bool = True) -> QueueInfo:
        if not self._exists:
            return QueueInfo(queue=self._settings.queue, exists=False)
        return await self._run(lambda table: table.info(self._settings.dead_letters, self._wall()))

    async def purge(self) -> int:
        if not self._exists:
            raise BrokerUnavailable(f"queue {self._settings.queue!r} does not exist: there is no file {self._path}")
        return await self._run(lambda table: table.purge(self._wall()))

    @property
    def _exists(self) -> bool:
        """Whoever only asks must not make the file."""
        return os.path.exists(self._path)

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[AsyncIterator[DeadLetter]]:
        async with aclosing(self._buried()) as letters:
            yield letters

    async def _buried(self) -> AsyncGenerator[DeadLetter]:
        if not self._exists:
            return
        dead = self._settings.dead_letters
        for id_ in await self._run(lambda table: table.ready_ids(dead, self._wall())):
            message = await self._run(partial(MessageTable.read, id_=id_, now=self._wall()))
            if message is not None:
                yield read_letter(message, message.headers, partial(self._forget, id_))

    async def _forget(self, id_: int) -> None:
        await self._run(lambda table: table.forget(id_))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self.stop_consuming()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        with suppress(BrokerUnavailable, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._let_go()
        self.doorbell.close()
        self._thread.shutdown(wait=False)

    def holds(self, delivery: EmbeddedDelivery) -> bool:
        """Whether the lease of a delivery is known to be ours."""
        if self._closed or self._held.get(delivery.held) is not delivery:
            return False
        return asyncio.get_running_loop().time() < delivery.lease_ends

    async def settle(self, delivery: EmbeddedDelivery, step: Callable[[MessageTable], bool]) -> bool:
        """Do the last step of a delivery; False when it was not ours any more."""
        if not self.holds(delivery):
            self._lost(delivery)
            return False
        try:
            ours = await self._run(step)
        finally:
            self._held.pop(delivery.held, None)
            self.doorbell.wake()
        if not ours:
            telemetry.debug("a delivery outlived its lease; it is handed out again", row=delivery.held.id)
        return ours

    async def _round(self, receive: Receive) -> None:
        """Take what there is room for and hand it over, or wait until looking again makes sense."""
        self.doorbell.hush()
        try:
            max_wait = await self._take(receive)
        except (BrokerUnavailable, AccessRefused) as error:
            self._readiness.blocked("broker", str(error))
            self._failures += 1
            max_wait = clock.backoff(self._failures, base=FIRST_PAUSE, limit=LONGEST_PAUSE, rng=self._rng)
        if self._stop is not None and not self._stop.is_set():
            await self.doorbell.wait(max_wait)

    async def _take(self, receive: Receive) -> float:
        """Hand over what there is room for; how many seconds until there may be more."""
        room = self._prefetch - len(self._held)
        if room <= 0:
            return LONGEST_PAUSE
        lease_ends = asyncio.get_running_loop().time() + self._lease
        batch = await self._run(lambda table: table.take(room, self._wall(), self._lease))
        self._failures = 0
        self._readiness.clear("broker")
        self._start_renewing()
        for taken in batch.taken:
            delivery = EmbeddedDelivery(self, taken, lease_ends)
            self._held[taken.held] = delivery
            receive(delivery)
        if len(batch.taken) == room or batch.next_at is None:
            return LONGEST_PAUSE
        return max(0.0, batch.next_at - self._wall())

    def _start_renewing(self) -> None:
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_forever())

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            with suppress(BrokerUnavailable, AccessRefused):  # the next round may still be in time
                await self._renew()

    async def _renew(self) -> None:
        for delivery in [one for one in self._held.values() if not self.holds(one)]:
            self._lost(delivery)
        renewing = dict(self._held)
        if not renewing:
            return
        lease_ends = asyncio.get_running_loop().time() + self._lease
        lost = await self._run(lambda table: table.renew(renewing, self._wall() + self._lease))
        for held, delivery in renewing.items():
            delivery.lease_ends = lease_ends
            if held in lost and held in self._held:
                self._lost(delivery)

    def _lost(self, delivery: EmbeddedDelivery) -> None:
        """A lease that ended is never taken up again: somebody else may have had the message meanwhile."""
        if self._held.pop(delivery.held, None) is not None:
            telemetry.warning("lost the lease on a message; it is handed out again", row=delivery.held.id)
            self.doorbell.wake()

    async def _put(self, message: Message, queue: str, delay: float) -> None:
        identified = message if message.message_id else replace(message, message_id=uuid4().hex)
        try:
            await self._run(lambda table: table.put(identified, queue, self._wall(), delay))
        except (TypeError, ValueError) as error:
            raise PublishRefused(f"a header cannot be written as JSON: {error}") from error
        self.doorbell.ring()

    async def _let_go(self) -> None:
        """Requeue what is still held and close the file."""
        table, held = self._table, list(self._held)
        self._held.clear()
        if table is None:
            return
        self._table = None
        try:
            if held:
                await self._on_thread(lambda: table.requeue(held))
                self.doorbell.ring()
        finally:
            await self._on_thread(table.close)

    async def _run(self, step: Callable[[MessageTable], T]) -> T:
        """One step on the database's thread, opening the file if need be."""
        if self._closed:
            raise BrokerUnavailable(f"the queue in {self._path} was closed by this process")
        result = await self._on_thread(lambda: step(self._opened()))
        self._wal.written()
        self.doorbell.listen()
        return result

    async def _on_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith(HOPELESS):
                raise AccessRefused(f"{self._path}, named by broker.url, cannot be used: {error}") from error
            raise BrokerUnavailable(f"the queue in {self._path}: {error}") from error

    def _opened(self) -> MessageTable:
        if self._table is None:
            self._table = MessageTable(self._path, self._settings.queue, self._owner)
        return self._table

    def _wall(self) -> float:
        return self._clock.now().timestamp()


def _check_place(path: str) -> None:
    """Raises AccessRefused where the file cannot be used, with what to do."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise AccessRefused(f"the folder {folder} of broker.url does not exist: create it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AccessRefused(f"the folder {folder} of broker.url is not writable: SQLite keeps files beside {path}")
    if os.path.exists(path) and not (os.path.isfile(path) and os.access(path, os.R_OK | os.W_OK)):
        raise AccessRefused(f"{path}, named by broker.url, is not a file that can be read and written")
