"""The classes that users of the earlier plugin know: their scripts change the import line only."""

from __future__ import annotations

import inspect
import logging
import os
from typing import Any, Optional, Union

from gridsidecar_sdk.context import Context, current
from gridsidecar_sdk.functions import run
from gridsidecar_sdk.sidecar import Options, become_sidecar


class TaskHandler:
    """The class that a script derives its own from."""

    logger = logging.getLogger("gridsidecar_sdk")
    _context: Optional[Context] = None  # of the latest task

    def execute(self, task_data: Any) -> Any:
        """What the task is; its return value is the result, an exception is a failed attempt."""
        raise NotImplementedError(f"{type(self).__name__} has no execute(task_data)")

    def report_progress(self, progress: Union[float, str], message: str = "") -> None:
        """How far the task is, 0 - 100, and words for people. Outside of a task it does nothing."""
        context = current.get() or self._context
        if context is not None:
            context.report_progress(float(progress), message or None)

    def get_task_id(self) -> Optional[str]:
        context = current.get() or self._context
        return None if context is None else context.task_id


class TaskProcessor:
    """Serves a handler: the script becomes the sidecar, which starts it again to run the tasks."""

    def __init__(
        self,
        handler: TaskHandler,
        max_retry_count: int = 3,
        retry_delay: float = 60,
        progress_interval: float = 10,
        enable_auto_ack: bool = True,
        prefetch_count: int = 1,
        concurrency: int = 1,
        threads: bool = False,
    ) -> None:
        """`enable_auto_ack` has no effect: a message is acked when its task's end is stored.

        `concurrency` of the tasks that run at the same time (`prefetch_count`, at least as many) share a process: see
        `run`, also for `threads`.
        """
        self.handler = handler
        self._concurrency, self._threads = concurrency, threads
        self._options = Options(max_retry_count, retry_delay, progress_interval, prefetch_count, concurrency)

    def start(self) -> None:
        """Run the sidecar in place of this process; its exit code is the script's. Never returns there."""
        if os.environ.get("GRIDSIDECAR") == "1":
            _show_the_log()
            work = self._async_work if inspect.iscoroutinefunction(self.handler.execute) else self._work
            run(work, default=str, concurrency=self._concurrency, threads=self._threads)
        else:
            become_sidecar(self._options)

    def _work(self, context: Context, data: Any) -> Any:
        self.handler._context = context  # closed at the end of the task: it then says nothing any more
        return self.handler.execute(data)

    async def _async_work(self, context: Context, data: Any) -> Any:
        return await self._work(context, data)


def _show_the_log() -> None:
    """What a handler logs goes to the log of its task, from INFO on, unless the script sets logging up itself."""
    logger, stderr = TaskHandler.logger, logging.StreamHandler()
    stderr.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    stderr.addFilter(lambda _: not logging.getLogger().handlers)
    logger.addHandler(stderr)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
