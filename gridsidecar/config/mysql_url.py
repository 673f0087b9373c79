"""`mysql://user:password@host:3306/database?option=value` → what a connection needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from gridsidecar.config.tls import TLS_OPTIONS, Tls, options_of

SCHEMES = ("mysql", "mysql+pymysql", "mysql+aiomysql")
OPTIONS = ("charset", "unix_socket", *TLS_OPTIONS)
# What URLs of other programs carry, and what is so here in any case.
_SETTLED = {
    **dict.fromkeys(("charset", "use_unicode", "collation"), "text is sent and read as utf8mb4"),
    "autocommit": "transactions are this program's own",
    **dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), "the limits are this program's own"),
    **dict.fromkeys(
        ("pool_size", "max_overflow", "pool_timeout", "minsize", "maxsize"), "store.pool_size says how many connections"
    ),
    **dict.fromkeys(("pool_recycle", "pool_pre_ping"), "connections are tried and replaced in any case"),
    **dict.fromkeys(("time_zone", "sql_mode", "init_command"), "sessions are set up by this program"),
    **dict.fromkeys(("echo", "program_name", "local_infile"), "there is no such thing here"),
}
_CHARSETS = ("utf8mb4", "utf8", "utf8mb3")


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLAddress:
    """Where the database is and how to log in. `place` names it for people, without the password."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)
    unix_socket: str | None = None
    tls: Tls | None = None
    tls_declined: bool = False  # in so many words, as opposed to a URL that says nothing of it

    @property
    def place(self) -> str:
        return f"{self.user}@{self.unix_socket or f'{self.host}:{self.port}'}/{self.database}"


def parse_mysql_url(url: str) -> MySQLAddress:
    """Read the URL; ValueError says what is wrong with it. `ssl_ca` without `ssl_mode` means verify_identity."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"the scheme must be one of {', '.join(SCHEMES)}")
    database = unquote(parts.path.lstrip("/"))
    if not database:
        raise ValueError("the URL names no database: mysql://user:password@host:3306/DATABASE")
    options = options_of(url, {})
    unknown = sorted(set(options) - {*OPTIONS, *_SETTLED})
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r} in the URL; known are {', '.join(OPTIONS)}")
    if options.get("charset", "utf8mb4").lower() not in _CHARSETS:
        raise ValueError("charset must be utf8mb4: task data may hold any character")
    tls = Tls.of(options, None)
    if tls is not None:
        tls.context()
    return MySQLAddress(
        host=parts.hostname or "localhost",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=database,
        unix_socket=options.get("unix_socket") or None,
        tls=tls,
        tls_declined=options.get("ssl_mode", "").lower() == "disabled",
    )


def options_without_effect(url: str) -> Iterator[tuple[str, str]]:
    """Options of a MySQL URL that change nothing, and what is so instead."""
    options = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    for name, value in options.items():
        if name in _SETTLED and (name, value.lower()) != ("charset", "utf8mb4"):
            yield name, _SETTLED[name]
    if options.get("ssl_mode", "").lower() == "disabled":
        for name in TLS_OPTIONS[1:]:
            if name in options:
                yield name, "ssl_mode=disabled switches TLS off"
