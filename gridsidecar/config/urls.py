"""Reading the parts of our URLs that no library reads for us."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, unquote, urlsplit

# What may stand after the ? of an AMQP URL.
AMQP_OPTIONS = frozenset(
    {"auth", "cadata", "cafile", "capath", "certfile", "keyfile", "no_verify_ssl", "timeout"}
    | {"ssl_mode", "ssl_ca", "ssl_cert", "ssl_key"}
)
SQLITE_SHAPES = "sqlite:///relative.db or sqlite:////absolute/path.db"


def amqp_options(url: str) -> list[str]:
    """The names after the ? of an AMQP URL; none for another URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps"):
        return []
    return [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]


def sqlite_path(url: str) -> str:
    """The file that an SQLite URL names: three slashes for a relative path, four for an absolute one.

    Raises ValueError when the URL has another shape.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise ValueError(f"not an SQLite URL; write {SQLITE_SHAPES}")
    if parts.netloc:
        raise ValueError(f"an SQLite URL names a file, not a host; write {SQLITE_SHAPES}")
    if parts.query or parts.fragment:
        raise ValueError(f"an SQLite URL takes no parameters; write {SQLITE_SHAPES}")
    path = unquote(parts.path[1:])
    if not path or path.endswith("/") or "\0" in path or ":memory:" in path:
        raise ValueError(f"the URL names no file; write {SQLITE_SHAPES}")
    return path


def make_private(path: str) -> None:
    """Create a database's file that is not there, for its owner alone: SQLite makes files that all may read, and gives
    those beside it the same rights. One that is there keeps its own. What is wrong with the place SQLite will say."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        return
