"""Two workers on one database, and a hand on its tables."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.conftest import execute_on_server
from tests.store.direct import Direct
from tests.store.plugin import SHAPES, Plugin
from tests.store.workers import Two, migrate, open_store


@pytest.fixture(scope="session")
def migrated_mysql(mysql_server_url: str) -> Iterator[str]:
    """A database with the tables in it, for tests that only need empty ones: creating them takes longer than a test."""
    name = f"gs_{secrets.token_hex(4)}"
    execute_on_server(mysql_server_url, f"create database {name} character set utf8mb4")
    url = urlunsplit(urlsplit(mysql_server_url)._replace(path=f"/{name}"))
    asyncio.run(migrate(url))
    yield url
    execute_on_server(mysql_server_url, f"drop database {name}")


@pytest.fixture(params=["sqlite", "mysql"])
def tables_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with empty tables, of each kind in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/gridsidecar.db"
        asyncio.run(migrate(url))
        return url
    url = str(request.getfixturevalue("migrated_mysql"))
    Direct(url).empty()
    return url


@pytest.fixture
async def two(tables_url: str) -> AsyncIterator[Two]:
    """Workers A and B, each with a store of its own, both with a live lease."""
    workers = Two(await open_store(tables_url, migrate=None), await open_store(tables_url, migrate=None), tables_url)
    try:
        await workers.a.leases.renew("A", "one", 60)
        await workers.b.leases.renew("B", "two", 60)
        yield workers
    finally:
        await workers.a.close()
        await workers.b.close()


@pytest.fixture
def stranger(mysql_server_url: str) -> Iterator[str]:
    """A user of the server with the password `right/p@ss` and no rights."""
    name = f"gs_{secrets.token_hex(4)}"
    execute_on_server(mysql_server_url, f"create user '{name}'@'%' identified by 'right/p@ss'")
    yield name
    execute_on_server(mysql_server_url, f"drop user '{name}'@'%'")


@pytest.fixture(params=list(SHAPES))
def plugin(request: pytest.FixtureRequest, mysql_url: str) -> Iterator[Plugin]:
    """The earlier plugin with its table, full, for each way in which that was made."""
    with closing(Plugin(mysql_url, SHAPES[request.param])) as plugin:
        plugin.create()
        plugin.fill()
        yield plugin


@pytest.fixture
def triggers(two: Two) -> Iterator[None]:
    """For a test that makes a trigger: it is gone afterwards."""
    yield
    two.rows.run("DROP TRIGGER IF EXISTS refuses")
