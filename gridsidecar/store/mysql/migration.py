"""Tables brought up to this version, one process at a time; every step can be run again after a crash."""

from __future__ import annotations

import hashlib

import pymysql.err

from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.store.mysql.adoption import LONGEST_CHANGE, Adoption
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.queries import SCHEMA_VERSION, Addition, Query, TableNames, load_migrations, load_queries

LOCK_TIMEOUT = 60  # seconds to wait for another process's migration
_PATIENCE = "SET lock_wait_timeout = 10"  # seconds; while a change waits for a table, everybody else waits behind it
_LOOKS = {
    "column": "SELECT 1 FROM information_schema.columns "
    "WHERE table_schema = DATABASE() AND table_name = :table_name AND column_name = :name",
    "key": "SELECT 1 FROM information_schema.statistics "
    "WHERE table_schema = DATABASE() AND table_name = :table_name AND index_name = :name",
}


class Migration:
    """Of one installation, on a session of its own. `place` names the database for people."""

    def __init__(self, session: Session, database: str, place: str, tables: TableNames) -> None:
        self._session = session
        self._place = place
        self._tables = tables
        self._queries = load_queries("mysql", tables)
        self._lock = "gridsidecar:" + hashlib.sha256(f"{database}.{tables.tasks}".encode()).hexdigest()[:40]

    async def check(self) -> None:
        """`AccessRefused` where the tables are missing or too old."""
        have = await self._version()
        if have < SCHEMA_VERSION:
            raise AccessRefused(
                f"the tables in {self._place} are at version {have}, this program needs {SCHEMA_VERSION}; "
                "run `gridsidecar migrate` or set store.migrate to true"
            )

    async def apply(self) -> None:
        """Run what is missing."""
        if not await self._locked():
            raise StoreUnavailable(f"another process has been migrating {self._place} for {LOCK_TIMEOUT} s; try again")
        try:
            await self._session.run(_PATIENCE)
            await self._apply_missing(await self._version())
        finally:
            release = Query.of("release", "SELECT RELEASE_LOCK(:lock) AS released")
            await self._session.fetch(release, {"lock": self._lock})

    async def _apply_missing(self, have: int) -> None:
        migrations = load_migrations("mysql", self._tables)
        if have == 0:  # then a table of tasks is somebody else's, or of a first migration that broke off
            await Adoption(self._session, self._place, self._tables.tasks, migrations[0][1][0]).run()
        await self._session.execute(self._queries["create_schema_version"], {})
        for version, statements in migrations:
            if version > have:
                for statement in statements:
                    await self._run(statement)
                await self._session.execute(self._queries["migrated"], {"version": version})

    async def _run(self, statement: str) -> None:
        addition = Addition.of(statement)
        if addition is not None:
            look = Query.of("look", _LOOKS[addition.kind])
            if await self._session.fetch(look, {"table_name": addition.table, "name": addition.name}):
                return
            statement = addition.statement
        await self._session.run(statement, LONGEST_CHANGE)

    async def _locked(self) -> bool:
        # Ask in short steps: one GET_LOCK must end well within the time limit of a reply.
        for _ in range(LOCK_TIMEOUT // 5):
            rows = await self._session.fetch(Query.of("lock", "SELECT GET_LOCK(:lock, 5) AS got"), {"lock": self._lock})
            if rows[0]["got"] == 1:
                return True
        return False

    async def _version(self) -> int:
        try:
            rows = await self._session.fetch(self._queries["schema_version"], {})
        except pymysql.err.ProgrammingError as error:
            if error.args[0] == 1146:  # no such table
                return 0
            raise
        return int(rows[0]["version"] or 0)
