"""An attempt is gone with its end: what it held, perhaps megabytes, does not wait until garbage is looked for."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from gridsidecar.handler import Handler, Stop
from gridsidecar.handler.capture import LogText
from gridsidecar.rules.task import Progress, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import SHELL, claim, handler
from tests.handler.served import handler_at, line
from tests.handler.warm import pool
from tests.support.web import chunks, web_server

RESULT = line("result", result=1)


@pytest.fixture(autouse=True)
def _no_search_for_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Listener:
    """Hears of progress; dies with the last that refers to the attempt."""

    def hear(self, progress: Progress) -> None:
        pass


async def gone(handler: Handler, **task: Any) -> bool:
    listener, stop = Listener(), Stop()
    alive = weakref.ref(listener)
    ended = await handler.run(claim(**task), listener.hear, stop, LogText())
    assert isinstance(ended.outcome, Succeeded), ended
    stop.close()
    del listener
    for _ in range(5):  # what is called when the loop comes round
        await asyncio.sleep(0)
    return alive() is None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"channel": "stdout"},
        {"channel": "events"},
        {"result_from": "stdout"},
        {"stall_timeout": 30},
        {"limits": {"open_files": 64}},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [10, 100_000])
def test_one_of_a_command(on_loop: OnLoop, settings: dict[str, Any], size: int) -> None:
    assert on_loop(gone(handler([*SHELL, "echo-input"], timeout=20, **settings), data="x" * size))


@pytest.mark.parametrize("settings", [{}, {"stall_timeout": 30}], ids=str)
def test_one_of_a_process_that_stays(on_loop: OnLoop, settings: dict[str, Any]) -> None:
    async def scene() -> bool:
        async with pool(**settings) as processes:
            return await gone(processes.handler, data={"do": "echo"})

    assert on_loop(scene())


@pytest.mark.parametrize("settings", [{}, {"stall_timeout": 30}], ids=str)
def test_one_of_a_server(on_loop: OnLoop, settings: dict[str, Any]) -> None:
    async def scene() -> bool:
        async with web_server() as web, handler_at(f"{web.url}/tasks", **settings) as server:
            web.answer = chunks(RESULT)
            return await gone(server)

    assert on_loop(scene())
