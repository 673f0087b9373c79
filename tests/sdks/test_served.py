"""What SDKs serve over HTTP, behind a handler of mode http."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import Handler, Stop, StopReason
from gridsidecar.handler.http import not_reached
from gridsidecar.rules.task import Cancelled, Checkpoint, Ended, Failed, Progress, Succeeded
from tests.handler.running import claim, log
from tests.handler.served import handler_at
from tests.support.servers import free_port
from tests.support.waiting import eventually

SDKS = Path(__file__).parents[2] / "sdks"
SERVERS: dict[str, Callable[[int], list[str]]] = {
    "python": lambda port: [sys.executable, "-m", "uvicorn", "conformance:app", "--port", str(port)],
    "node": lambda port: ["node", "conformance.js", "serve", str(port)],
}


@asynccontextmanager
async def served(language: str, out: Path) -> AsyncIterator[tuple[Handler, str]]:
    port = free_port()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(SDKS / "python")}
    with out.open("wb") as output:
        server = subprocess.Popen(
            SERVERS[language](port), cwd=SDKS / language, env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}/tasks"
    try:
        await eventually(lambda: there(url))
        assert server.poll() is None, out.read_text()
        async with handler_at(url) as handler:
            yield handler, url
    finally:
        server.terminate()
        assert server.wait(30) in (0, -15)


async def there(url: str) -> bool:
    return await not_reached(url, 5) is None


async def case(handler: Handler, name: str, stop: Stop | None = None, **data: Any) -> tuple[Ended, list[Progress]]:
    progress: list[Progress] = []
    asked = claim(data={"case": name, **data})
    return await handler.run(asked, progress.append, stop or Stop()), progress


@pytest.mark.parametrize("language", list(SERVERS))
async def test_what_it_serves(language: str, tmp_path: Path) -> None:
    """All in one server: it takes a while to start."""
    async with served(language, tmp_path / "out") as (handler, url), handler_at(url, input="data") as other:
        ended, progress = await case(handler, "full")
        assert ended.outcome == Succeeded({"attempt": 3, "checkpoint": None, "task_id": "t1"})
        assert progress == [Progress(10, "started"), Progress(checkpoint=Checkpoint({"page": 17})), Progress(90.5)]
        assert log(ended) == 'warning: slow disk {"ms":812}\n'
        assert (await case(handler, "echo", n=[1, "é"]))[0].outcome == Succeeded({"case": "echo", "n": [1, "é"]})
        refused = (await case(other, "echo"))[0].outcome
        assert isinstance(refused, Failed)
        assert "HTTP 400: this address takes the tasks of gridsidecar" in refused.error
        await check_failures(handler)
        await check_stop(handler)
        many = await asyncio.gather(*(case(handler, "full", seconds=0.2) for _ in range(20)))
        assert all(isinstance(ended.outcome, Succeeded) for ended, _ in many)


async def check_failures(handler: Handler) -> None:
    failed = (await case(handler, "fail"))[0].outcome
    assert isinstance(failed, Failed)
    assert (failed.error, failed.error_type, failed.retryable) == ("it broke", "RangeError", None)
    assert failed.traceback
    failed = (await case(handler, "permanent"))[0].outcome
    assert isinstance(failed, Failed)
    assert (failed.error, failed.error_type, failed.retryable) == ("bad input", "BadInput", False)
    failed = (await case(handler, "retry"))[0].outcome
    assert isinstance(failed, Failed)
    assert (failed.error_type, failed.retryable, failed.retry_after) == ("RateLimited", True, 2.5)
    failed = (await case(handler, "unserialisable"))[0].outcome
    assert isinstance(failed, Failed)
    assert "the result cannot be sent as JSON" in failed.error


async def check_stop(handler: Handler) -> None:
    """A closed connection ends it: the server would not end in time otherwise."""
    stop = Stop()
    running = asyncio.create_task(case(handler, "stop", stop))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.5, stop.request, StopReason.CANCEL)
    assert (await running)[0].outcome == Cancelled()
