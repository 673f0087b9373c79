"""Runs many tasks at once: asynchronous functions on one event loop, others in threads where the user says so."""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Callable, Optional

from gridsidecar_sdk.channel import Channel
from gridsidecar_sdk.context import Context, current
from gridsidecar_sdk.encoding import Default
from gridsidecar_sdk.errors import Permanent, Retry, Stopped, error_event
from gridsidecar_sdk.incoming import messages
from gridsidecar_sdk.printing import print_to_tasks
from gridsidecar_sdk.threads import in_thread

if TYPE_CHECKING:
    from gridsidecar_sdk.worker import Function, Hooks

Message = dict[str, Any]


class Running:
    """One task that runs, and what stops it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.work: Optional[asyncio.Task[Any]] = None
        self.stopped: Optional[str] = None  # why it was to end

    def stop(self, reason: str) -> None:
        """Only the first reason counts: a function may need its time to end."""
        if self.stopped is None:
            self.stopped = reason
            if self.work is not None:
                self.work.cancel()


class Crowd:
    """All tasks of this process, on the event loop of its main thread."""

    def __init__(
        self,
        choose: Callable[[str], Function],
        hooks: Hooks,
        channel: Channel,
        default: Default,
        concurrency: int,
        ready: Message,
        leave: Callable[[], Any],
    ) -> None:
        """`leave` ends the process at once."""
        self._choose = choose
        self._hooks = hooks
        self._channel = channel
        self._default = default
        self._leave = leave
        self._ready = {**ready, "concurrency": concurrency}
        self._shared: dict[str, Any] = {}
        self._running: dict[str, Running] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._terminated = False

    def serve(self) -> None:
        """Until stdin ends, or SIGTERM, which also ends the process."""
        print_to_tasks()
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        starting = asyncio.ensure_future(self._call(self._hooks.on_startup, self._shared))
        self._loop.add_signal_handler(signal.SIGTERM, self._terminate, starting)
        try:
            await starting
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self._channel.send(error_event(error))
            sys.exit(1)
        if not self._terminated:
            self._channel.send(self._ready)
            threading.Thread(target=self._listen, name="gridsidecar", daemon=True).start()
            await self._over.wait()
        while self._jobs:
            await asyncio.wait(self._jobs)
        await self._quietly(self._hooks.on_shutdown, self._shared)
        if self._terminated:
            self._leave()  # threads of the user's must not hold up the end

    def _terminate(self, starting: asyncio.Future[Any]) -> None:
        self._terminated = True
        starting.cancel()
        for running in self._running.values():
            running.stop("SIGTERM")
        self._over.set()

    # -- what comes in ------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        for message in messages():
            self._loop.call_soon_threadsafe(self._take, message)
        self._loop.call_soon_threadsafe(self._over.set)

    def _take(self, message: Message) -> None:
        if message.get("type") == "task" and not self._terminated:
            running = Running(Context(self._channel, message, self._shared))
            self._running[running.context.task_id] = running
            job = self._loop.create_task(self._attempt(running))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)
        elif message.get("type") == "cancel":
            named = self._running.get(str(message.get("task_id")))
            if named is not None and message.get("attempt", named.context.attempt) == named.context.attempt:
                named.stop(str(message.get("reason") or "cancel"))

    # -- one task -----------------------------------------------------------------------------------------------------

    async def _attempt(self, running: Running) -> None:
        context = running.context
        current.set(context)
        running.work = self._loop.create_task(self._work(context))
        if running.stopped is not None:  # before it began
            running.work.cancel()
        try:
            event = await self._outcome(running)
        finally:
            await self._quietly(self._hooks.on_job_end, context)
            if self._running.get(context.task_id) is running:
                del self._running[context.task_id]
        context.finish(event, self._default)

    async def _work(self, context: Context) -> Any:
        await self._call(self._hooks.on_job_start, context)
        return await self._call(self._choose(context.task_type), context, context.data, threaded=True)

    async def _outcome(self, running: Running) -> Optional[Message]:
        """Its last event. None after a SIGTERM: the sidecar knows why, and says so better than an error of ours."""
        assert running.work is not None
        try:
            return {"type": "result", "result": await running.work}
        except (Retry, Permanent) as error:
            return error_event(error)
        except asyncio.CancelledError:
            if self._terminated:
                return None
            if running.stopped is None:
                return error_event(RuntimeError("the function was cancelled from inside"))
            return error_event(Stopped(f"the task was stopped ({running.stopped})"))
        except (Exception, Stopped) as error:
            if isinstance(error, Stopped) and not error.args:  # raised in its thread, where only the class can go
                error.args = (f"the task was stopped ({running.stopped})",)
            traceback.print_exc()
            return None if self._terminated else error_event(error)
        except SystemExit:
            raise
        except BaseException as error:
            return error_event(error)

    async def _call(self, function: Optional[Callable[..., Any]], *arguments: Any, threaded: bool = False) -> Any:
        if function is None:
            return None
        if threaded and not is_async(function):
            found = await in_thread(function, *arguments)
        else:
            found = function(*arguments)
        return await found if hasattr(found, "__await__") else found

    async def _quietly(self, hook: Optional[Callable[..., Any]], argument: Any) -> None:
        """A hook after the fact changes nothing any more."""
        try:
            await self._call(hook, argument)
        except Exception:
            traceback.print_exc()


def is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
