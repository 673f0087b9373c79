"""The database seam on MySQL: transactions retried on deadlock, batches in one round trip, migrations under a lock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from gridsidecar.clock import Clock, SystemClock, backoff, system_random
from gridsidecar.config.mysql_url import MySQLAddress, parse_mysql_url
from gridsidecar.config.rules import STORE_SCHEMES, url_problem
from gridsidecar.config.settings import StoreSettings
from gridsidecar.errors import AccessRefused, GridSidecarError, StoreUnavailable
from gridsidecar.store.database import (
    Connection,
    FalseAlarm,
    Params,
    RowLocked,
    RowRejected,
    Statement,
    T,
    TransientRejection,
)
from gridsidecar.store.mysql.connection import LOCK_WAIT, Session
from gridsidecar.store.mysql.connection_pool import ConnectionPool
from gridsidecar.store.mysql.errors import BROKEN, Meaning, TablesMissing, as_ours, meaning, refusal, words
from gridsidecar.store.mysql.migration import Migration
from gridsidecar.store.mysql.witness import Witness
from gridsidecar.store.permits import Permit, Permits
from gridsidecar.store.queries import SCHEMA_VERSION, Query, TableNames

# The session is there, its work in vain.
_ANSWERED = (Meaning.RETRY, Meaning.FULL, Meaning.AILING, Meaning.REJECTED, Meaning.UNKNOWN)

DEADLOCK_TRIES = 10  # a second or two
LOCK_WAITS = 30
_LOCK_HELD = 1205
_OF_LOCKS = (_LOCK_HELD, 1213)  # the others come of nodes of a cluster that do not agree
# One row may be all that these are about. Of a full disk and the like others say nothing, which may need less room.
_PERHAPS_OF_A_ROW = (Meaning.GONE, Meaning.READ_ONLY)
CONTRADICTIONS = 3  # times that another write goes through while one fails, until that is the one's own fault
SILENCES = 2  # the same, where there is no answer, which takes long


class MySQLDatabase:
    """A MySQL-family server."""

    dialect = "mysql"

    def __init__(self, settings: StoreSettings, tables: TableNames, clock: Clock | None = None) -> None:
        self._settings = settings
        self._address = parse_mysql_url(settings.url)
        self._tables = tables
        tls = self._address.tls
        renewable = bool(settings.recipes) or (tls is not None and tls.renewable)
        self._pool = ConnectionPool(self._renewed, settings.pool_size, renewable=renewable)
        self.alone_permits = Permits(settings.pool_size // 2)
        self._witness = Witness(self._renewed, tables)
        self._clock = clock or SystemClock()
        self._rng = system_random()

    def _renewed(self) -> MySQLAddress:
        if self._settings.recipes:
            try:
                self._address = parse_mysql_url(self._settings.url_now)
            except ValueError:  # whose words may hold a part of the password
                problem = url_problem(self._settings.url_now, STORE_SCHEMES)
                raise StoreUnavailable(f"store.url, as its files have it now, cannot be used: {problem}") from None
        return self._address

    async def open(self) -> None:
        async def ping(session: Session) -> None:
            await session.ping()

        await self._with_session(ping)

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async def run(session: Session) -> T:
            await session.run("BEGIN")
            result = await work(session)
            await session.run("COMMIT")
            return result

        return await self._written(run)

    async def fetch(self, query: Query, params: Params) -> list[dict[str, Any]]:
        return await self._with_session(lambda session: session.fetch(query, params))

    async def batch(
        self, statements: Sequence[Statement], *, hasty: bool = False, permit: Permit | None = None
    ) -> list[int]:
        return await self._written(lambda session: session.run_batch(statements), hasty=hasty, permit=permit)

    async def _written(
        self, use: Callable[[Session], Awaitable[T]], *, hasty: bool = False, permit: Permit | None = None
    ) -> T:
        """Run writes. What a server says of itself (it is read-only, it shuts down), its silence, and locks come of
        the statement where other writes go through meanwhile, time after time."""
        contradictions = 0
        while True:
            try:
                return await self._with_session(use, lock_waits=1 if hasty else LOCK_WAITS, permit=permit)
            except StoreUnavailable as error:
                cause = error.__cause__
                locked = isinstance(cause, BROKEN) and cause.args[:1] == (_LOCK_HELD,)
                doubtful = isinstance(cause, BROKEN) and meaning(cause) in _PERHAPS_OF_A_ROW
                if not ((locked or doubtful) and await self._witness.takes_writes()):
                    if locked and hasty:  # nobody gets a write through: it is waited for as ever
                        return await self._written(use)
                    raise
                assert cause is not None
                if locked:
                    raise RowLocked(words(cause)) from cause
                contradictions += 1
                enough = SILENCES if isinstance(cause, TimeoutError) else CONTRADICTIONS
                if hasty or contradictions >= enough:
                    raise FalseAlarm(words(cause)) from cause
            await self._clock.sleep(backoff(contradictions, base=0.2, limit=1.0, rng=self._rng))

    async def _with_session(
        self,
        use: Callable[[Session], Awaitable[T]],
        *,
        lock_waits: int = LOCK_WAITS,
        permit: Permit | None = None,
    ) -> T:
        """Run `use` on a session; again where tables were missing that another process was about to make. Where they
        are all there, it is others' that are missing: of a trigger, for some rows perhaps."""
        try:
            return await self._with_any_session(use, lock_waits, permit)
        except TablesMissing:
            if await self._with_any_session(lambda session: self._migration(session).settled()) < SCHEMA_VERSION:
                raise
        try:
            return await self._with_any_session(use, lock_waits, permit)
        except TablesMissing as error:
            if not await self._with_any_session(lambda session: self._migration(session).whole()):
                raise
            raise TransientRejection(error.words) from error

    def _once_held_up(self, times: int) -> AbstractAsyncContextManager[None]:
        """What nobody takes for slow needs no permit, until it is."""
        return self.alone_permits.held(times) if times else nullcontext()

    async def _with_any_session(
        self,
        use: Callable[[Session], Awaitable[T]],
        lock_waits: int = LOCK_WAITS,
        permit: Permit | None = None,
    ) -> T:
        """Run `use` on a session; again after a deadlock, on another session.

        Locks are waited for, so many times, as long as somebody holds them: then the database is not to be had. An
        error that says so without any wait, time after time, comes of the statement: a trigger that signals it, say.
        """
        waits = deadlocks = 0
        permit = permit or self._once_held_up
        while True:
            began = self._clock.monotonic()
            try:
                async with permit(waits), self._pool.session() as session:
                    began = self._clock.monotonic()  # whoever waits for a session waits for no lock
                    return await _used(session, use)
            except GridSidecarError:
                raise
            except BROKEN as error:
                if meaning(error) is not Meaning.RETRY:
                    raise as_ours(error, self._address.place, self._tables.all) from error
                last: Exception = error
            if self._clock.monotonic() - began >= 0.9 * LOCK_WAIT:
                waits += 1
            else:
                deadlocks += 1
            if waits == lock_waits or deadlocks == DEADLOCK_TRIES:
                break
            await self._clock.sleep(backoff(waits + deadlocks, base=0.01, limit=0.3, rng=self._rng))
        if not waits and last.args[0] in _OF_LOCKS:
            raise FalseAlarm(words(last)) from last
        raise StoreUnavailable(f"the database {self._address.place} kept deadlocking: {last}") from last

    def _migration(self, session: Session) -> Migration:
        return Migration(session, self._address.database, self._address.place, self._tables)

    async def migrate(self, apply: bool) -> None:
        async def run(session: Session) -> None:
            migration = self._migration(session)
            try:
                await (migration.apply() if apply else migration.check())
            except BROKEN as error:
                if refused := refusal(error, self._address.place):
                    raise refused from error
                raise

        try:
            await self._with_any_session(run)
        except FalseAlarm as error:  # no task is to blame here
            raise StoreUnavailable(str(error)) from error
        except RowRejected as error:
            raise AccessRefused(f"cannot bring the tables in {self._address.place} up to date: {error}") from error

    async def close(self) -> None:
        await self._witness.close()
        await self._pool.close()


async def _used(session: Session, use: Callable[[Session], Awaitable[T]]) -> T:
    """Work in vain lets go of its locks at once: whoever tries again skips rows that are locked."""
    try:
        return await use(session)
    except BROKEN as error:
        if meaning(error) in _ANSWERED:
            await session.roll_back()
        raise
