"""Group commit: writes that arrive while a flush is under way leave together in the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

from gridsidecar.store.database import Database, FalseAlarm, RowLocked, RowRejected, Statement
from gridsidecar.wire import JsonText, Spliced

LARGEST_FLUSH = 64  # operations
HEAVIEST_FLUSH = 4 * 1024 * 1024  # characters, about; one operation alone may be heavier
FLUSHERS = 2  # flushes under way at once, each on its own connection
LATE = 0.05  # seconds that a flush has before what came meanwhile leaves beside it
MOST_STALLED = 1000  # keys that are remembered


class _Operation(Struct):
    key: str
    statements: Sequence[Statement]
    weight: int
    done: asyncio.Future[list[int]]


class _Unwanted(Exception):
    """Nobody waits for a write any more: it leaves its place to others."""


class _Flusher(Struct, eq=False):
    late: bool = False  # its flush takes long


class Batch:
    """Turns single writes into few transactions. An idle store writes at once, a busy one in groups.

    One flush at a time, so that the groups are large: it costs the database and us the least for each task. A second
    one leaves beside it where there is enough for another, or where it takes long: a row that somebody holds, or a
    server that hangs, keeps no other task waiting.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: list[_Operation] = []
        self._flushers: list[_Flusher] = []
        self._flushing: set[asyncio.Task[None]] = set()
        self._stalled: dict[str, None] = {}  # keys of operations that held up others, or would have

    async def write(self, key: str, *statements: Statement) -> list[int]:
        """Run the statements of one operation in one transaction; rows changed by each.

        `key` (the task's id) orders operations within a flush, so that two flushes lock rows in the same order.
        """
        operation = _Operation(key, statements, _weight(statements), asyncio.get_running_loop().create_future())
        if key in self._stalled:
            self._begin(self._alone(operation))
            return await operation.done
        self._pending.append(operation)
        if len(self._pending) >= LARGEST_FLUSH or all(flusher.late for flusher in self._flushers):
            self._start_flusher()
        return await operation.done

    def _start_flusher(self) -> None:
        if len(self._flushers) < FLUSHERS:
            flusher = _Flusher()
            self._flushers.append(flusher)
            self._begin(self._keep_flushing(flusher))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def _keep_flushing(self, flusher: _Flusher) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending:
                flusher.late = False
                timer = loop.call_later(LATE, self._is_late, flusher)
                try:
                    await self._flush(sorted(self._next(), key=lambda operation: operation.key))
                finally:
                    timer.cancel()
        finally:
            self._flushers.remove(flusher)

    def _is_late(self, flusher: _Flusher) -> None:
        flusher.late = True
        if self._pending:
            self._start_flusher()

    def _next(self) -> list[_Operation]:
        """What may travel together: in a flush, every text is in memory several times over."""
        weight, count = 0, 0
        for operation in self._pending[:LARGEST_FLUSH]:
            weight += operation.weight
            if count and weight > HEAVIEST_FLUSH:
                break
            count += 1
        operations = self._pending[:count]
        del self._pending[:count]
        return operations

    async def _flush(self, operations: list[_Operation]) -> None:
        statements = [statement for operation in operations for statement in operation.statements]
        try:
            counts = await self._database.batch(statements, hasty=True)
        except (FalseAlarm, RowLocked):  # one of them takes its time: no flush waits for it any longer
            for operation in operations:
                self._begin(self._alone(operation))
        except RowRejected as error:
            if len(operations) == 1:
                _fail(operations, error)
                return
            for operation in operations:  # one of them is at fault: find it, let the others through
                await self._flush([operation])
        except asyncio.CancelledError as error:
            _fail(operations, error)
            raise
        except Exception as error:  # it belongs to those who wait for these writes
            _fail(operations, error)
        else:
            _resolve(operations, counts)

    async def _alone(self, operation: _Operation) -> None:
        """An operation by itself, beside the flushes, and for as long as it takes to know that it is at fault."""
        known = int(operation.key in self._stalled)

        @asynccontextmanager
        async def permit(times: int) -> AsyncIterator[None]:
            async with self._database.alone_permits.held(known + times):
                if operation.done.cancelled():
                    raise _Unwanted
                yield

        try:
            counts = await self._database.batch(operation.statements, permit=permit)
        except _Unwanted:
            return
        except BaseException as error:
            if isinstance(error, FalseAlarm | RowLocked) and len(self._stalled) < MOST_STALLED:
                self._stalled[operation.key] = None
            else:
                self._stalled.pop(operation.key, None)
            _fail([operation], error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._stalled.pop(operation.key, None)
            _resolve([operation], counts)


_TEXTS = frozenset({str, bytes, JsonText, Spliced})


def _weight(statements: Sequence[Statement]) -> int:
    weight = 0
    for _, params in statements:
        for value in params.values():
            if type(value) in _TEXTS:
                weight += len(value)
    return weight


def _resolve(operations: list[_Operation], counts: list[int]) -> None:
    start = 0
    for operation in operations:
        end = start + len(operation.statements)
        if not operation.done.done():
            operation.done.set_result(counts[start:end])
        start = end


def _fail(operations: list[_Operation], error: BaseException) -> None:
    for operation in operations:
        if not operation.done.done():
            operation.done.set_exception(error)
