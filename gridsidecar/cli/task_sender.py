"""Task messages on their way to the queue: made, checked, sent, confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gridsidecar.cli.task_sources import Item, items
from gridsidecar.cli.terminal import clean, say
from gridsidecar.errors import BrokerUnavailable, GridSidecarError, UsageError
from gridsidecar.fleet import TaskRefused
from gridsidecar.language import counted
from gridsidecar.rules.task import Task
from gridsidecar.wire.body import compressed
from gridsidecar.wire.fields import shown
from gridsidecar.wire.new_task import BadTask, make_task
from gridsidecar.wire.strict_json import JsonRefused, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from gridsidecar.fleet import Queue


def read_fields(item: Item, defaults: Mapping[str, Any], wrap: bool) -> dict[str, Any]:
    """The fields of one item over the defaults; with `wrap` its whole value is the task's data. Raises BadTask."""
    try:
        value = parse_json(item.text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise BadTask("it is not UTF-8") from None
    except JsonRefused as refused:
        raise BadTask(f"it is not JSON that can be sent: {refused.detail}") from None
    if wrap:
        return {**defaults, "data": value}
    if not isinstance(value, dict):
        raise BadTask(f"a task message is a JSON object, not {shown(value)}; --wrap makes it the data of a task")
    return {**defaults, **value}


class TaskSender:
    """Sends tasks, a window of them at a time, and tells of each as it is confirmed."""

    def __init__(
        self, queue: Queue, max_bytes: int, confirmed: Callable[[str], None], *, compress: bool = False
    ) -> None:
        self._queue = queue
        self._max_bytes = max_bytes
        self._confirmed = confirmed
        self._compress = compress
        self._window = asyncio.Semaphore(queue.at_a_time)
        self._under_way: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None
        self.ids: list[str] = []  # confirmed
        self.bad = 0
        self._hints: set[str] = set()  # told

    async def send_all(self, source: str, defaults: Mapping[str, Any], wrap: bool) -> None:
        """Send every good item of a source; the bad ones are told on stderr and counted."""
        async for item in items(source):
            try:
                task = make_task(read_fields(item, defaults, wrap), self._max_bytes)
            except BadTask as bad:
                self.bad += 1
                say(f"{item.place}: {bad}")
            else:
                await self._send(task)
            if self._failure is not None:
                break
        await self.settled()

    async def send_one(self, fields: Mapping[str, Any]) -> None:
        """Raises UsageError when the fields make no task."""
        try:
            task = make_task(fields, self._max_bytes)
        except BadTask as bad:
            raise UsageError(str(bad)) from None
        await self._send(task)
        await self.settled()

    async def settled(self) -> None:
        """Wait for all confirmations; raises the first failure."""
        await asyncio.gather(*self._under_way)
        if self._failure is not None:
            if self.ids and isinstance(self._failure, GridSidecarError):
                say(f"{counted(len(self.ids))} sent before this; what follows was not sent")
            raise self._failure

    async def _send(self, task: Task) -> None:
        await self._window.acquire()
        sending = asyncio.create_task(self._publish(task))
        self._under_way.add(sending)
        sending.add_done_callback(self._under_way.discard)

    def _note(self, task_id: str) -> None:
        self.ids.append(task_id)
        self._confirmed(task_id)

    async def _publish(self, task: Task) -> None:
        try:
            if self._failure is None:
                if self._compress:
                    task = replace(task, message=compressed(task.message))
                done = await self._queue.submit(task, self._note)
                if done.owed is not None:
                    say(f"{clean(task.task_id)} is stored, and a worker sends it: the broker did not confirm it")
                    self._failure = self._failure or BrokerUnavailable(done.owed)
                self._tell(done.hint)
        except TaskRefused as refused:
            self.bad += 1
            say(f"{clean(task.task_id)}: {refused}")
        except (GridSidecarError, OSError) as error:  # OSError: whoever reads the ids is gone
            self._failure = self._failure or error
        finally:
            self._window.release()

    def _tell(self, hint: str | None) -> None:
        """Once, however many tasks it is about."""
        if hint is not None and hint not in self._hints:
            self._hints.add(hint)
            say(f"sent all the same: {hint}")
