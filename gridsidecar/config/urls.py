"""Reading the parts of our URLs that no library reads for us."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

SQLITE_SHAPES = "sqlite:///relative.db or sqlite:////absolute/path.db"


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
