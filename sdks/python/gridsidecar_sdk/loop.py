"""One event loop for all asynchronous functions of this process, so that they can share connections."""

from __future__ import annotations

import asyncio
from typing import Any

from gridsidecar_sdk.errors import Stopped
from gridsidecar_sdk.stopping import Stopper


class Loop:
    """Runs one awaitable at a time; a stop cancels it."""

    def __init__(self, stopper: Stopper) -> None:
        self._stopper = stopper
        self._loop = asyncio.new_event_loop()

    def run(self, awaitable: Any) -> Any:
        async def wait() -> Any:
            return await awaitable

        running = self._loop.create_task(wait())
        stopped: list[bool] = []

        def interrupt() -> None:
            stopped.append(True)
            self._loop.call_soon_threadsafe(running.cancel)

        with self._stopper.interrupting(interrupt):
            try:
                return self._loop.run_until_complete(running)
            except asyncio.CancelledError:
                if stopped:
                    raise Stopped("the task was stopped") from None
                raise RuntimeError("the function was cancelled from inside") from None

    def close(self) -> None:
        left = asyncio.all_tasks(self._loop)
        for each in left:
            each.cancel()
        self._loop.run_until_complete(asyncio.wait_for(self._all(left), timeout=5))
        self._loop.close()

    async def _all(self, tasks: set[asyncio.Task[Any]]) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
