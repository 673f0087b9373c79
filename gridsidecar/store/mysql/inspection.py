"""What a MySQL-family server is, asked in one session that changes nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pymysql.err

from gridsidecar.clock import Clock
from gridsidecar.config.mysql_url import MySQLAddress, parse_mysql_url
from gridsidecar.store.inspection import ServerFacts, seconds_between
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.mysql.errors import BROKEN, MISSING, as_ours
from gridsidecar.store.queries import Query, TableNames, load_queries

_VARIABLES = Query.of(
    "variables",
    "SHOW VARIABLES WHERE Variable_name IN ('version', 'time_zone', 'read_only', 'super_read_only', "
    "'max_allowed_packet', 'max_connections', 'max_user_connections')",
)
_CIPHER = Query.of("cipher", "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_cipher', 'Ssl_version')")
_GRANTS = Query.of("grants", "SHOW GRANTS")
_NOW = Query.of("now", "SELECT UTC_TIMESTAMP(6) AS now")
_ROWS = Query.of(
    "rows",
    "SELECT table_rows AS n FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name",
)
_LOOPBACK = ("localhost", "127.", "::1")


async def inspect_server(url: str, tables: TableNames, clock: Clock) -> ServerFacts:
    """Raises StoreUnavailable and AccessRefused; ValueError for the URL."""
    address = parse_mysql_url(url)
    try:
        session = await Session.open(address, asyncio.Lock())
        try:
            return await _facts(session, address, tables, clock)
        finally:
            await session.quit()
    except BROKEN as error:
        raise as_ours(error, address.place, tables.all) from error


async def _facts(session: Session, address: MySQLAddress, tables: TableNames, clock: Clock) -> ServerFacts:
    began, asked = clock.now(), clock.monotonic()
    ((now,),) = [row.values() for row in await session.fetch(_NOW, {})]
    took = clock.monotonic() - asked
    variables = await _pairs(session, _VARIABLES)
    cipher = await _pairs(session, _CIPHER)
    most = [int(variables.get(name) or 0) for name in ("max_connections", "max_user_connections")]
    rows = await session.fetch(_ROWS, {"name": tables.tasks})
    return ServerFacts(
        place=address.place,
        version=variables.get("version", "?"),
        time_zone=variables.get("time_zone", "?"),
        ahead=seconds_between(now, began + timedelta(seconds=took / 2)),
        uncertain=took / 2,
        cipher=" ".join(text for text in (cipher.get("Ssl_version"), cipher.get("Ssl_cipher")) if text),
        local=address.unix_socket is not None or address.host.startswith(_LOOPBACK),
        tls_declined=address.tls_declined,
        read_only=any(variables.get(name) in ("ON", "1") for name in ("read_only", "super_read_only")),
        max_allowed_packet=int(variables.get("max_allowed_packet") or 0),
        max_connections=min(number for number in most if number) if any(most) else 0,
        grants=tuple(str(next(iter(row.values()))) for row in await session.fetch(_GRANTS, {})),
        tables=await _version(session, tables),
        rows=int(rows[0]["n"] or 0) if rows else 0,
    )


async def _pairs(session: Session, query: Query) -> dict[str, str]:
    return {str(row["Variable_name"]): str(row["Value"]) for row in await session.fetch(query, {})}


async def _version(session: Session, tables: TableNames) -> int | None:
    try:
        rows: list[dict[str, Any]] = await session.fetch(load_queries("mysql", tables)["schema_version"], {})
    except pymysql.err.MySQLError as error:
        if error.args[0] in (*MISSING, 1142):  # or no right to read it: the grants say so
            return None
        raise
    return int(rows[0]["version"] or 0) or None
