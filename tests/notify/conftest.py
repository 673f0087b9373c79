"""A server to send to, and what the log says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support.web import Web, web_server

Told = Callable[[], list[tuple[str, dict[str, Any]]]]


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with web_server() as server:
        yield server


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """The log so far: words and fields."""
    caplog.set_level("INFO", "gridsidecar")
    return lambda: [(record.message, record.__dict__["fields"]) for record in caplog.records]
