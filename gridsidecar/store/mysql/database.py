"""The database seam on MySQL: transactions retried on deadlock, batches in one round trip, migrations under a lock."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pymysql.err

from gridsidecar.clock import Clock, SystemClock, backoff, system_random
from gridsidecar.errors import AccessRefused, GridSidecarError, StoreUnavailable
from gridsidecar.store.database import Connection, Params, RowRejected, Statement, T
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.mysql.errors import Meaning, meaning, translated
from gridsidecar.store.mysql.pool import Pool
from gridsidecar.store.mysql.url import parse_mysql_url
from gridsidecar.store.queries import SCHEMA_VERSION, Query, TableNames, load_migrations, load_queries

DEADLOCK_TRIES = 6
MIGRATION_LOCK_TIMEOUT = 60  # seconds to wait for another process's migration
_BROKEN = (pymysql.err.MySQLError, OSError, TimeoutError, asyncio.IncompleteReadError, RuntimeError)


class MySQLDatabase:
    """A MySQL-family server."""

    dialect = "mysql"

    def __init__(self, url: str, tables: TableNames, pool_size: int, clock: Clock | None = None) -> None:
        self._address = parse_mysql_url(url)
        self._tables = tables
        self._queries = load_queries(self.dialect, tables)
        self._pool = Pool(self._address, pool_size)
        self._clock = clock or SystemClock()
        self._rng = system_random()

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

        return await self._with_session(run)

    async def fetch(self, query: Query, params: Params) -> list[dict[str, Any]]:
        return await self._with_session(lambda session: session.fetch(query, params))

    async def batch(self, statements: Sequence[Statement]) -> list[int]:
        return await self._with_session(lambda session: session.run_batch(statements))

    async def _with_session(self, use: Callable[[Session], Awaitable[T]]) -> T:
        """Run `use` on a session; again after a deadlock, on another session."""
        for attempt in range(1, DEADLOCK_TRIES + 1):
            try:
                async with self._pool.session() as session:
                    return await use(session)
            except (GridSidecarError, RowRejected):
                raise
            except _BROKEN as error:
                if meaning(error) is not Meaning.RETRY:
                    raise translated(error, self._address.place) from error
                last: Exception = error
            await self._clock.sleep(backoff(attempt, base=0.01, limit=0.2, rng=self._rng))
        raise StoreUnavailable(f"the database {self._address.place} kept deadlocking: {last}") from last

    async def migrate(self, apply: bool) -> None:
        async def run(session: Session) -> None:
            if apply:
                await self._migrate(session)
            else:
                self._check(await self._version(session))

        await self._with_session(run)

    async def _migrate(self, session: Session) -> None:
        lock = (
            "gridsidecar:" + hashlib.sha256(f"{self._address.database}.{self._tables.tasks}".encode()).hexdigest()[:40]
        )
        if not await self._locked(session, lock):
            raise StoreUnavailable(
                f"another process has been migrating {self._address.place} for {MIGRATION_LOCK_TIMEOUT} s; try again"
            )
        try:
            await session.execute(self._queries["create_schema_version"], {})
            have = await self._version(session)
            for version, statements in load_migrations(self.dialect, self._tables):
                if version > have:
                    for statement in statements:
                        await session.run(statement)
                    await session.execute(self._queries["migrated"], {"version": version})
        finally:
            await session.fetch(Query.of("release", "SELECT RELEASE_LOCK(:lock) AS released"), {"lock": lock})

    async def _locked(self, session: Session, lock: str) -> bool:
        # Ask in short steps: one GET_LOCK must end well within the time limit of a reply.
        for _ in range(MIGRATION_LOCK_TIMEOUT // 5):
            rows = await session.fetch(Query.of("lock", "SELECT GET_LOCK(:lock, 5) AS got"), {"lock": lock})
            if rows[0]["got"] == 1:
                return True
        return False

    async def _version(self, session: Session) -> int:
        try:
            rows = await session.fetch(self._queries["schema_version"], {})
        except pymysql.err.ProgrammingError as error:
            if error.args[0] == 1146:  # no such table
                return 0
            raise
        return int(rows[0]["version"] or 0)

    def _check(self, have: int) -> None:
        if have < SCHEMA_VERSION:
            raise AccessRefused(
                f"the tables in {self._address.place} are at version {have}, this program needs {SCHEMA_VERSION}; "
                "run `gridsidecar migrate` or set store.migrate to true"
            )

    async def close(self) -> None:
        await self._pool.close()
