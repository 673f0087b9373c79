"""The database looked at without a trace: what it is, what it allows us, what stands there."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from gridsidecar.clock import Clock
from gridsidecar.config.settings import StoreSettings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.errors import AccessRefused, ConfigError, Fault
from gridsidecar.store.queries import TableNames, load_queries

FILE_WAIT = 1.0  # seconds for whoever has an SQLite file locked


class ServerFacts(Struct, frozen=True, kw_only=True):
    """A MySQL-family server, as our sessions meet it. None is what it did not tell."""

    place: str  # user@host:port/database
    version: str  # 10.11.6-MariaDB, 8.4.3
    time_zone: str  # of our session
    ahead: float  # seconds by which its clock is ahead of this machine's
    uncertain: float  # seconds by which that may be wrong: half of the question's time
    cipher: str  # of TLS; empty without
    local: bool  # nothing leaves this machine
    tls_declined: bool  # store.url says in so many words that there is none
    read_only: bool
    max_allowed_packet: int
    max_connections: int  # for this user
    grants: tuple[str, ...]
    tables: int | None  # version of our tables; None: there are none
    rows: int  # tasks, about


class FileFacts(Struct, frozen=True, kw_only=True):
    """An SQLite file."""

    path: str
    exists: bool
    tables: int | None
    rows: int


DatabaseFacts = ServerFacts | FileFacts


def names_of(settings: StoreSettings) -> TableNames:
    return TableNames(settings.table_prefix + settings.table_name)


async def inspect(settings: StoreSettings, clock: Clock) -> DatabaseFacts:
    """Raises StoreUnavailable, AccessRefused, and ConfigError for a URL that cannot be used."""
    if settings.url.startswith("sqlite:"):
        return _file(settings)
    from gridsidecar.store.mysql.inspection import inspect_server

    try:
        return await inspect_server(settings.url_now, names_of(settings), clock)
    except ValueError as error:
        raise ConfigError([Fault("store.url", str(error))]) from error


def _file(settings: StoreSettings) -> FileFacts:
    path = Path(sqlite_path(settings.url))
    if not path.exists():
        if not path.resolve().parent.is_dir():
            raise AccessRefused(f"the folder {path.resolve().parent} of the file {path} does not exist")
        return FileFacts(path=str(path), exists=False, tables=None, rows=0)
    queries = load_queries("sqlite", names_of(settings))
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=FILE_WAIT)
        try:
            connection.execute("SELECT name FROM sqlite_master").fetchone()
            version = _first(connection, queries["schema_version"].text)
            rows = _first(connection, f"SELECT max(rowid) FROM `{names_of(settings).tasks}`")  # noqa: S608  # checked name
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise AccessRefused(f"cannot read {path}: {error}") from error
    return FileFacts(path=str(path), exists=True, tables=version, rows=rows or 0)


def _first(connection: sqlite3.Connection, statement: str) -> int | None:
    try:
        row = connection.execute(statement).fetchone()
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return None
        raise
    return None if row is None or row[0] is None else int(row[0])


def seconds_between(server: str, here: datetime) -> float:
    """By how much a time of the server, UTC text, is later than ours."""
    return (datetime.fromisoformat(server).replace(tzinfo=UTC) - here).total_seconds()
