"""SQLite as the store's database: one file, several processes, every write transaction immediate."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import aiosqlite

from gridsidecar.config.urls import make_private, sqlite_path
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.store.database import MIGRATE, Connection, Params, RowRejected, Statement, T, TransientRejection
from gridsidecar.store.permits import Permit, Permits
from gridsidecar.store.queries import SCHEMA_VERSION, Addition, Query, TableNames, load_migrations, load_queries
from gridsidecar.wal import BOUND, WalWatch
from gridsidecar.wire import JsonText, Spliced

WAL_TRIES, WAL_PAUSE = 250, 0.02  # seconds
BUSY_TIMEOUT = 30.0  # seconds to wait for another process's write
_REJECTED = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)


async def _use_wal(connection: aiosqlite.Connection) -> None:
    """SQLite does not wait for others where it changes the journal of a new file, whatever its busy timeout."""
    for last in [False] * WAL_TRIES + [True]:
        try:
            await connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if last or "locked" not in str(error):
                raise
        await asyncio.sleep(WAL_PAUSE)


def _bound(params: Params) -> dict[str, Any]:
    return {name: _bindable(value) for name, value in params.items()}


def _bindable(value: Any) -> Any:
    """A list is bound as JSON, for `IN (SELECT value FROM json_each(…))`, a large text as the bytes of its UTF-8."""
    if isinstance(value, tuple):
        return json.dumps(value)
    if not isinstance(value, (JsonText, Spliced)):
        return value
    text = bytearray()
    for chunk in value.chunks():
        text += chunk
    return text


class _SQLiteConnection:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def execute(self, query: Query, params: Params) -> int:
        async with self._connection.execute(query.text, _bound(params)) as cursor:
            return cursor.rowcount

    async def execute_all(self, statements: Sequence[Statement]) -> list[int]:
        return [await self.execute(query, params) for query, params in statements]

    async def fetch(self, query: Query, params: Params) -> list[dict[str, Any]]:
        async with self._connection.execute(query.text, _bound(params)) as cursor:
            return [dict(row) for row in await cursor.fetchall()]


class SQLiteDatabase:
    """One file in WAL mode. A single connection: SQLite has one writer at a time anyway."""

    dialect = "sqlite"

    def __init__(self, url: str, tables: TableNames) -> None:
        self._path = sqlite_path(url)
        self._tables = tables
        self._queries = load_queries(self.dialect, tables)
        self._connection: aiosqlite.Connection | None = None
        self._closed = False
        self._turn = asyncio.Lock()
        self.alone_permits = Permits(1)
        self._wal = WalWatch(self._path)

    async def open(self) -> None:
        folder = Path(self._path).resolve().parent  # noqa: ASYNC240  # a local path, looked at once
        if not folder.is_dir():
            raise AccessRefused(f"cannot open {self._path}: the folder {folder} does not exist; create it")
        async with self._turn:
            self._refuse_when_closed()
            if self._connection is not None:
                return
            with _errors_as_ours(self._path):
                connection = await self._connect()
                try:
                    connection.row_factory = aiosqlite.Row
                    await _use_wal(connection)
                    await connection.execute("PRAGMA synchronous = FULL")
                    await connection.execute(BOUND)
                except BaseException:
                    await connection.close()
                    raise
            self._connection = connection

    async def _connect(self) -> aiosqlite.Connection:
        make_private(self._path)
        connection = aiosqlite.connect(self._path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            return await connection
        except BaseException:
            # Its thread still has to say goodbye to this loop, which may be gone in a moment.
            connection._thread.join(timeout=1)
            raise

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._transaction() as connection:
            return await work(connection)

    async def fetch(self, query: Query, params: Params) -> list[dict[str, Any]]:
        if self._connection is None:
            await self.open()
        assert self._connection is not None
        async with self._turn:
            self._refuse_when_closed()
            with _errors_as_ours(self._path):
                return await _SQLiteConnection(self._connection).fetch(query, params)

    async def batch(
        self, statements: Sequence[Statement], *, hasty: bool = False, permit: Permit | None = None
    ) -> list[int]:
        async with permit(0) if permit else nullcontext(), self._transaction() as connection:
            return await connection.execute_all(statements)

    async def migrate(self, apply: bool) -> None:
        async with self._transaction() as connection:
            have = await self._version(connection)
            if have < SCHEMA_VERSION and not apply:
                raise AccessRefused(
                    f"the tables in {self._path} are at version {have}, this program needs {SCHEMA_VERSION}; "
                    "run `gridsidecar migrate` or set store.migrate to true"
                )
            for version, statements in load_migrations(self.dialect, self._tables):
                if version > have:
                    for statement in statements:
                        await self._apply(connection, statement)
                    await connection.execute(self._queries["migrated"], {"version": version})

    async def _apply(self, connection: Connection, statement: str) -> None:
        addition = Addition.of(statement)
        if addition is not None:
            look = Query.of("look", "SELECT name FROM pragma_table_info(:table_name) WHERE name = :column")
            if await connection.fetch(look, {"table_name": addition.table, "column": addition.name}):
                return
            statement = addition.statement
        await connection.execute(Query.of("migration", statement), {})

    async def _version(self, connection: Connection) -> int:
        await connection.execute(self._queries["create_schema_version"], {})
        rows = await connection.fetch(self._queries["schema_version"], {})
        return int(rows[0]["version"] or 0)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[_SQLiteConnection]:
        if self._connection is None:
            await self.open()
        assert self._connection is not None
        connection = self._connection
        async with self._turn:
            self._refuse_when_closed()
            with _errors_as_ours(self._path):
                try:
                    await connection.execute("BEGIN IMMEDIATE")
                    yield _SQLiteConnection(connection)
                    await connection.execute("COMMIT")
                    self._wal.written()
                except BaseException:
                    # A cancelled BEGIN still runs in the thread, so roll back whether or not it seems to have begun.
                    with suppress(sqlite3.OperationalError):
                        await asyncio.shield(connection.execute("ROLLBACK"))
                    raise

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    async def close(self) -> None:
        self._closed = True
        async with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()


class _errors_as_ours:
    """SQLite's errors in the store's words."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if getattr(error, "sqlite_errorname", None) == "SQLITE_CONSTRAINT_TRIGGER":
            raise TransientRejection(str(error)) from error
        if isinstance(error, _REJECTED):
            raise RowRejected(str(error)) from error
        if isinstance(error, sqlite3.OperationalError):
            text = str(error)
            if any(
                sign in text for sign in ("no such table", "no such column", "readonly", "unable to open", "syntax")
            ):
                hint = MIGRATE if text.startswith(("no such table", "no such column")) else ""
                raise AccessRefused(f"cannot use {self._path}: {text}{hint}") from error
            raise StoreUnavailable(f"{self._path}: {text}") from error
        if isinstance(error, sqlite3.DatabaseError):
            raise AccessRefused(f"cannot use {self._path}: {error}") from error
