"""A task onto the queue, with its row in the table first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from gridsidecar import failpoints
from gridsidecar.broker import Broker
from gridsidecar.config.settings import Settings, retry_policy
from gridsidecar.errors import AccessRefused, BrokerUnavailable, GridSidecarError, PublishRefused, StoreUnavailable
from gridsidecar.rules.task import Task
from gridsidecar.store import PrewrittenRows, RowRejected

Beside = Callable[[Coroutine[Any, Any, None]], None]


class Sent(Struct, frozen=True):
    """On the queue, and confirmed."""


class Unconfirmed(Struct, frozen=True):
    """Its row is there; whether the broker has its message nobody knows. A worker sends it, after a minute or two."""

    why: str


class Known(Struct, frozen=True):
    """Its id has a row already. Nothing was sent."""


class Submitter:
    """Writes the row, publishes, notes that. Whoever dies in between leaves a task that workers bring to its end."""

    def __init__(
        self, broker: Broker, rows: PrewrittenRows | None, settings: Settings, beside: Beside | None = None
    ) -> None:
        """`rows` None: there is no store to write to. `beside` runs what nobody needs to wait for."""
        self._broker = broker
        self._rows = rows
        self._settings = settings
        self._beside = beside
        self.without_rows: str | None = None  # why some, or all, were sent without
        self._turn = asyncio.Event()  # the message before is on its way
        self._turn.set()

    async def submit(self, task: Task) -> Sent | Unconfirmed | Known:
        """Raises `PublishRefused` or `AccessRefused` where the broker did not take it: then its row is gone, too; and
        what the store raises: then nothing was sent."""
        if self._rows is None:
            raise RuntimeError("without a store nobody knows what is there already")
        named = _named(task)
        if not await self._rows.write(named, self._retries(named)):
            return Known()
        return await self._publish(self._rows, named)

    async def send(self, task: Task, confirmed: Callable[[str], None]) -> Sent | Unconfirmed:
        """The same for whoever needs no row: where none can be written, or its id has one, it is sent all the same.
        A worker drops what is there twice. `confirmed` hears of the id at once, whatever it has come to. Messages go in
        the order of these calls."""
        named = _named(task)
        before, self._turn = self._turn, asyncio.Event()
        ours = self._turn
        try:
            rows = await self._written(named)
            await before.wait()
            sending = asyncio.create_task(self._publish(rows, named, confirmed))
        finally:
            ours.set()
        return await sending

    async def _written(self, task: Task) -> PrewrittenRows | None:
        """Where the row was written to; None: nowhere."""
        rows = self._rows
        if rows is None:
            return None
        try:
            return rows if await rows.write(task, self._retries(task)) else None
        except (StoreUnavailable, AccessRefused) as error:  # nor will it take the next ones
            self.without_rows, self._rows = self.without_rows or str(error), None
        except RowRejected as error:  # a worker says what becomes of it
            self.without_rows = self.without_rows or str(error)
        return None

    async def _publish(
        self, rows: PrewrittenRows | None, task: Task, confirmed: Callable[[str], None] = lambda _: None
    ) -> Sent | Unconfirmed:
        done = await self._published(rows, task)
        confirmed(task.task_id)
        if rows is not None and isinstance(done, Sent):
            noting = _note(rows, task)
            await noting if self._beside is None else self._beside(noting)
        return done

    async def _published(self, rows: PrewrittenRows | None, task: Task) -> Sent | Unconfirmed:
        if rows is None:
            await self._broker.publish(task.message)
            return Sent()
        await failpoints.reached("row_written")
        try:
            await self._broker.publish(replace(task.message, prewritten_id=task.message.message_id))
        except BrokerUnavailable as error:
            return Unconfirmed(str(error))
        except (PublishRefused, AccessRefused) as error:
            with suppress(StoreUnavailable):
                if await rows.withdraw(task):
                    raise
            return Unconfirmed(str(error))  # a worker has sent it meanwhile, or will
        await failpoints.reached("task_published")
        return Sent()

    def _retries(self, task: Task) -> int:
        """What a worker with this configuration would give it; the one that takes it up has the last word."""
        if task.max_retry_count is not None:
            return task.max_retry_count
        handlers = self._settings.handlers
        handler = handlers.get(task.task_type) or handlers.get("default")
        general = self._settings.retry
        return general.max_retries if handler is None else retry_policy(general, handler).max_retries


async def _note(rows: PrewrittenRows, task: Task) -> None:
    with suppress(GridSidecarError):  # then a worker looks for it once, and finds nothing amiss
        await rows.note_sent(task)


def _named(task: Task) -> Task:
    """With the id that its message will have: row and message are known as one by that."""
    return replace(task, message=replace(task.message, message_id=uuid4().hex))
