"""Reading the parts of our URLs that no library reads for us."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

# What may stand after the ? of an AMQP URL.
AMQP_OPTIONS = frozenset({"auth", "cadata", "cafile", "capath", "certfile", "keyfile", "no_verify_ssl", "timeout"})
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
        raise ValueError(f"an SQLite URL names a file, not the host {parts.netloc!r}; write {SQLITE_SHAPES}")
    if parts.query or parts.fragment:
        raise ValueError(f"an SQLite URL takes no parameters; write {SQLITE_SHAPES}")
    path = unquote(parts.path[1:])
    if not path or path.endswith("/") or "\0" in path or ":memory:" in path:
        raise ValueError(f"the URL names no file; write {SQLITE_SHAPES}")
    return path
