"""Handlers for real: each test runs programs of this directory, on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol

import pytest
import uvloop

from tests.handler.running import Run, Running


class OnLoop(Protocol):
    def __call__(self, coro: Coroutine[Any, Any, Any], /) -> Any: ...


@pytest.fixture(params=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> Iterator[OnLoop]:
    """Runs a coroutine to its end; no task and no exception may be left over on the loop."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    complaints: list[Any] = []
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        yield runner.run
    assert complaints == []


@pytest.fixture
def run(on_loop: OnLoop) -> Run:
    """Run one attempt: `run(mode, ..., setting=value)`."""

    def one(*argv: str, **settings: Any) -> Any:
        return on_loop(Running(*argv, **settings).result())

    return one
