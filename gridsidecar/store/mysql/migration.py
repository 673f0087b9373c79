"""Tables brought up to this version, one process at a time; every step can be run again after a crash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pymysql.err

from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.store.mysql.adoption import LONGEST_CHANGE, Adoption
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.mysql.definition import Table
from gridsidecar.store.mysql.errors import MISSING
from gridsidecar.store.queries import SCHEMA_VERSION, Change, Query, TableNames, load_migrations, load_queries

LOCK_TIMEOUT = 60  # seconds to wait for another process's migration
SHORT_WAIT = 10  # seconds to wait for it where we only look
LOCK_STEP = 5  # seconds; one GET_LOCK must end well within the time limit of a reply
_LOCK_WAIT = "SET lock_wait_timeout = 10"  # seconds; while a change waits for a table, everybody else waits behind it
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
        """`AccessRefused` where the tables are missing or too old, and nobody is at them."""
        have = await self._version()
        if have < SCHEMA_VERSION:
            have = await self.settled()
        if have < SCHEMA_VERSION:
            raise AccessRefused(
                f"the tables in {self._place} are at version {have}, this program needs {SCHEMA_VERSION}; "
                "run `gridsidecar migrate` or set store.migrate to true"
            )

    async def settled(self) -> int:
        """The version of the tables, once whoever is at them has finished. They are complete when their version is
        written down and the lock is free: each table by itself says nothing."""
        async with self._locked(SHORT_WAIT):
            return await self._version()

    async def whole(self) -> bool:
        """Whether every column is there: the version says what was made, not what has become of it."""
        statements = (statement for _, several in load_migrations("mysql", self._tables) for statement in several)
        for table, columns in _columns(statements).items():
            try:
                look = f"SELECT {', '.join(columns)} FROM `{table}` LIMIT 0"  # noqa: S608  # names of ours
                await self._session.fetch(Query.of("look", look), {})
            except pymysql.err.MySQLError as error:
                if error.args[0] in MISSING:
                    return False
                raise
        return True

    async def apply(self) -> None:
        """Run what is missing."""
        async with self._locked(LOCK_TIMEOUT):
            await self._session.run(_LOCK_WAIT)
            await self._apply_missing(await self._version())

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
        change = Change.of(statement)
        if change is not None:
            look = Query.of("look", _LOOKS[change.kind])
            if bool(await self._session.fetch(look, {"table_name": change.table, "name": change.name})) == change.adds:
                return
            statement = change.statement
        await self._session.run(statement, LONGEST_CHANGE)

    @asynccontextmanager
    async def _locked(self, max_wait: int) -> AsyncIterator[None]:
        """`StoreUnavailable` where another process has it for longer than so many seconds."""
        take = Query.of("lock", f"SELECT GET_LOCK(:lock, {LOCK_STEP}) AS got")
        for _ in range(max_wait // LOCK_STEP):
            if (await self._session.fetch(take, {"lock": self._lock}))[0]["got"] == 1:
                break
        else:
            raise StoreUnavailable(f"another process has been migrating {self._place} for {max_wait} s; try again")
        try:
            yield
        finally:
            release = Query.of("release", "SELECT RELEASE_LOCK(:lock) AS released")
            await self._session.fetch(release, {"lock": self._lock})

    async def _version(self) -> int:
        try:
            rows = await self._session.fetch(self._queries["schema_version"], {})
        except pymysql.err.ProgrammingError as error:
            if error.args[0] == 1146:  # no such table
                return 0
            raise
        return int(rows[0]["version"] or 0)


def _columns(statements: Iterable[str]) -> dict[str, list[str]]:
    """What these statements make: the columns of each table."""
    columns: dict[str, list[str]] = {}
    for statement in statements:
        if created := re.match(r"CREATE TABLE (?:IF NOT EXISTS )?`(\w+)`", statement):
            columns[created[1]] = list(Table.of(statement).columns)
        elif (change := Change.of(statement)) is not None and change.kind == "column":
            columns[change.table].append(change.name)
    return columns
