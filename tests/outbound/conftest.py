"""Requests to real servers of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import gridsidecar.outbound.transport  # noqa: F401  # not by the first post: some tests give it half a second
from gridsidecar.outbound import EgressPolicy, HttpClient
from tests.support.web import Web, web_server

Connect = Callable[..., HttpClient]


@asynccontextmanager
async def clients() -> AsyncIterator[Connect]:
    """Makes clients: `connect(timeout, targets, ...)`. They are closed in the end."""
    made: list[HttpClient] = []

    def make(timeout: float = 20.0, targets: EgressPolicy | None = None, **options: Any) -> HttpClient:
        made.append(HttpClient(timeout, targets, **options))
        return made[-1]

    try:
        yield make
    finally:
        for client in made:
            await client.close()


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with web_server() as web:
        yield web


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with clients() as connect:
        yield connect
