"""A handler that is a server, for tests: a real one behind the seam, and what its tasks reported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gridsidecar.clock import SystemClock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Handler, Stop, make_handlers
from gridsidecar.rules.task import Claim, Ended, Failed, Message, Progress, Task
from tests.support.web import Web, web_server


@dataclass
class Served:
    handler: Handler
    web: Web
    progress: list[Progress] = field(default_factory=list)
    _last: int = 0

    async def run(self, *, stop: Stop | None = None, data: Any = None, crashes: int = 0, **task: Any) -> Ended:
        self._last += 1
        told = {"task_id": f"t{self._last}", "message": Message(body=b"{}"), "data": data or {"n": 2}} | task
        claim = Claim(task=Task(**told), attempt=3, worker_id="w", max_retry_count=5, crashes=crashes)
        return await self.handler.run(claim, self.progress.append, stop or Stop())


def line(kind: str, **fields: Any) -> bytes:
    return json.dumps({"gs": 1, "type": kind, **fields}).encode() + b"\n"


def error_of(ended: Ended) -> str:
    assert isinstance(ended.outcome, Failed), ended
    return f"{ended.outcome.error_type}: {ended.outcome.error}"


@asynccontextmanager
async def handler_at(url: str, **settings: Any) -> AsyncIterator[Handler]:
    known: dict[str, Any] = {"mode": "http", "url": url, "timeout": 20} | settings
    handler = make_handlers({"x": HandlerSettings(**known)}, SystemClock(), concurrency=8)["x"]
    try:
        yield handler
    finally:
        await handler.close(asyncio.Event())


@asynccontextmanager
async def served(*, path: str = "/tasks", socket: str | None = None, **settings: Any) -> AsyncIterator[Served]:
    async with web_server(socket=socket) as web:
        url = f"unix://{socket}:{path}" if socket else web.url + path
        async with handler_at(url, **settings) as handler:
            yield Served(handler, web)
