"""Task types whose attempts all fail are paused, and go on when one succeeds; people are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from gridsidecar import telemetry
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.environment import Environment
from gridsidecar.errors import GridSidecarError
from gridsidecar.language.failures import told_of
from gridsidecar.rules.flow import BreakerChange
from gridsidecar.rules.task import ErrorType, Status, TaskUpdate
from gridsidecar.store import Pauses

MOST_TYPES = 10_000  # whose failures are counted; a `default` handler may meet types without end
LAST_ERROR = 500  # characters


class Breakers:
    """Hears of every task, and counts in memory: each process trips for itself, one of them is the one that did."""

    def __init__(
        self,
        env: Environment,
        pauses: Pauses,
        handlers: Mapping[str, HandlerSettings],
        reread: Callable[[], Awaitable[object]],
        tell: Callable[[BreakerChange], None],
    ) -> None:
        """`reread` reads the pauses again, `tell` is called with each change that this process made."""
        self._env = env
        self._pauses = pauses
        self._handlers = handlers
        self._reread = reread
        self._tell = tell
        self._failures: dict[str, int] = {}  # in a row, by task type
        self._writes: dict[str, asyncio.Task[None]] = {}

    def hear(self, update: TaskUpdate) -> None:
        """A listener of the worker: it neither waits nor raises. What ended without an attempt says nothing."""
        if update.report is None:
            return
        if update.status is Status.SUCCESS:
            self._succeeded(update.task_type)
        elif update.status in (Status.FAILED, Status.RETRYING) and update.error_type != ErrorType.WORKER_LOST:
            self._failed(update)

    def _succeeded(self, task_type: str) -> None:
        self._failures.pop(task_type, None)
        pause = self._env.paused.get(task_type)
        if pause is not None and pause.cool_down is not None:
            self._write(task_type, self._close(task_type))

    def _failed(self, update: TaskUpdate) -> None:
        handler = self._handlers.get(update.task_type) or self._handlers.get("default")
        if handler is None or not handler.breaker.failures:
            return
        settings = handler.breaker
        failures = self._failures[update.task_type] = self._failures.get(update.task_type, 0) + 1
        if len(self._failures) > MOST_TYPES:
            del self._failures[next(iter(self._failures))]
        if failures >= settings.failures and update.task_type not in self._env.paused:
            change = BreakerChange(
                task_type=update.task_type,
                opened=True,
                failures=failures,
                cool_down=settings.cool_down,
                error=(update.error or "")[:LAST_ERROR],
                error_type=update.last_error_type or update.error_type,
            )
            self._write(update.task_type, self._open(change))

    async def _open(self, change: BreakerChange) -> None:
        last = ": ".join(part for part in (change.error_type, change.error) if part)
        reason = f"{change.failures} failed attempts in a row, the last: {last}"
        if await self._pauses.trip(change.task_type, change.cool_down, reason):
            telemetry.error(
                "breaker opened",
                type=change.task_type,
                failures=change.failures,
                tried_in=change.cool_down,
                error=told_of(change.error, change.error_type, began=True),
            )
            self._tell(change)
        self._failures.pop(change.task_type, None)
        await self._reread()

    async def _close(self, task_type: str) -> None:
        if await self._pauses.close_breaker(task_type):
            telemetry.info("breaker closed", type=task_type)
            self._tell(BreakerChange(task_type=task_type, opened=False))
        await self._reread()

    def _write(self, task_type: str, writing: Coroutine[Any, Any, None]) -> None:
        """One at a time for each type; one that fails is made again at the next occasion."""
        if task_type in self._writes:
            writing.close()
            return
        write = self._writes[task_type] = asyncio.create_task(self._safely(task_type, writing))
        write.add_done_callback(lambda _: self._writes.pop(task_type, None))

    async def _safely(self, task_type: str, writing: Coroutine[Any, Any, None]) -> None:
        try:
            await writing
        except GridSidecarError as error:
            telemetry.warning("a breaker cannot be moved now", type=task_type, reason=str(error))
        except Exception as error:
            telemetry.unexpected_error(error)

    async def close(self, limit: float) -> None:
        """Let what is being written be written, for `limit` seconds at most."""
        writes = list(self._writes.values())
        if writes:
            await asyncio.wait(writes, timeout=limit)
        for write in writes:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)
