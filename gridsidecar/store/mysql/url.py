"""`mysql://user:password@host:3306/database?option=value` → what a connection needs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

SCHEMES = ("mysql", "mysql+pymysql", "mysql+aiomysql")
OPTIONS = ("charset", "unix_socket", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")
SSL_MODES = ("disabled", "required", "verify_ca", "verify_identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class MySQLAddress:
    """Where the database is and how to log in. `place` names it for people, without the password."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)
    unix_socket: str | None = None
    tls: ssl.SSLContext | None = None
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
    options = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r} in the URL; known are {', '.join(OPTIONS)}")
    if options.get("charset", "utf8mb4").lower() != "utf8mb4":
        raise ValueError("charset must be utf8mb4: task data may hold any character")
    return MySQLAddress(
        host=parts.hostname or "localhost",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=database,
        unix_socket=options.get("unix_socket"),
        tls=_tls(options),
        tls_declined=options.get("ssl_mode", "").lower() == "disabled",
    )


def _tls(options: dict[str, str]) -> ssl.SSLContext | None:
    mode = options.get("ssl_mode", "verify_identity" if "ssl_ca" in options else "disabled").lower()
    if mode not in SSL_MODES:
        raise ValueError(f"ssl_mode must be one of {', '.join(SSL_MODES)}")
    if mode == "disabled":
        return None
    context = ssl.create_default_context(cafile=options.get("ssl_ca"))
    context.check_hostname = mode == "verify_identity"
    if mode == "required":
        context.verify_mode = ssl.CERT_NONE
    if "ssl_cert" in options:
        context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"))
    return context
