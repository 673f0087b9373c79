"""The API in this process, on a real socket, over real tables and a real broker; and two workers who do things."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import Settings
from gridsidecar.http import ApiServer
from tests.store.conftest import migrated_mysql, tables_url, two  # noqa: F401  # fixtures
from tests.store.workers import QUEUE

Serve = Callable[..., AbstractAsyncContextManager["Served"]]
ADMIN = "admin-0123456789abcdef"
READER = "reader-0123456789abcdef"


@dataclass
class Served:
    """A server and a client of it."""

    url: str
    client: httpx.AsyncClient

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def post(self, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return await self.client.post(path, json=json, **more)

    async def found(self, path: str, **params: Any) -> Any:
        response = await self.client.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()


def problem(response: httpx.Response) -> tuple[int, str]:
    """Status and kind of a problem."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    told = response.json()
    assert told["status"] == response.status_code
    assert told["detail"]
    return response.status_code, told["type"].removeprefix("urn:gridsidecar:problem:")


@pytest.fixture
def serve(tables_url: str, tmp_path: Path) -> Serve:  # noqa: F811
    """`async with serve(token=…) as api`: with these keys of `http`, these handlers, and these keys of `worker`."""
    broker = f"sqlite:///{tmp_path}/broker.db"

    @asynccontextmanager
    async def serve(handlers: Any = None, worker: Any = None, **http: Any) -> AsyncIterator[Served]:
        settings = Settings.model_validate(
            {
                "broker": {"url": broker, "queue": QUEUE},
                "store": {"url": tables_url},
                "handlers": handlers or {"default": {"command": ["true"]}},
                "worker": worker or {},
                "http": {"listen": "127.0.0.1:0", **http},
            }
        )
        server = ApiServer(settings, SystemClock())
        server.start()
        try:
            # Without verify=False, it reads all of the system's certificates first.
            async with httpx.AsyncClient(base_url=server.url, timeout=30, verify=False) as client:
                yield Served(server.url, client)
        finally:
            await server.stop(2.0)

    return serve


@pytest.fixture
async def api(serve: Serve) -> AsyncIterator[Served]:
    async with serve() as served:
        yield served
