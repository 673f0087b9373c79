"""One fleet, seen through its own servers and through an API over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import Settings
from gridsidecar.fleet import Fleet, Where, reach
from gridsidecar.fleet.remote import ServerAddress
from gridsidecar.http import ApiServer
from tests.store.conftest import migrated_mysql, tables_url, two  # noqa: F401  # fixtures
from tests.store.workers import QUEUE

ADMIN = "admin-0123456789abcdef"
READER = "reader-0123456789abcdef"


@pytest.fixture
def settings(tables_url: str, tmp_path: Path) -> Settings:  # noqa: F811
    return Settings.model_validate(
        {
            "broker": {"url": f"sqlite:///{tmp_path}/broker.db", "queue": QUEUE},
            "store": {"url": tables_url},
            "handlers": {"default": {"command": ["true"]}},
            "http": {"listen": "127.0.0.1:0", "token": ADMIN, "read_token": READER},
        }
    )


@pytest.fixture
async def url(settings: Settings) -> AsyncIterator[str]:
    """Where an API answers."""
    server = ApiServer(settings, SystemClock())
    server.start()
    yield server.url
    await server.stop(2.0)


@pytest.fixture(params=["direct", "remote"])
def where(request: pytest.FixtureRequest, settings: Settings) -> Where:
    if request.param == "direct":
        return Where(settings)
    return Where(address=ServerAddress(request.getfixturevalue("url"), ADMIN))


@pytest.fixture
async def fleet(where: Where) -> AsyncIterator[Fleet]:
    async with reach(where, makes=True) as found:
        yield found
