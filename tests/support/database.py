"""MySQL seen from outside, through another client than ours."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql


def mysql_session(url: str, *, autocommit: bool = True, **options: Any) -> Any:
    """A connection of PyMySQL to the database that the URL names."""
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/") or None,
        autocommit=autocommit,
        ssl_disabled=True,  # or PyMySQL reads all of the system's certificates, for each connection
        connect_timeout=10,
        **options,
    )
