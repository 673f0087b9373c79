"""Runs tasks: one, or one after the other, as the sidecar says."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, NoReturn, Optional

from gridsidecar_sdk.channel import Channel
from gridsidecar_sdk.context import Context
from gridsidecar_sdk.encoding import Default
from gridsidecar_sdk.errors import Permanent, Retry, Stopped, error_event
from gridsidecar_sdk.incoming import messages, one_task
from gridsidecar_sdk.stopping import Stopper

if TYPE_CHECKING:
    from gridsidecar_sdk.loop import Loop

SDK = "python/0.2.0"
READY = {"type": "ready", "sdk": SDK, "capabilities": ["cancel"]}
NO_TASK = "stdin holds no task message; the SDK needs `input: task` in the handler's configuration"
TERMINATED = 143  # the exit code of what SIGTERM ended

Function = Callable[[Context, Any], Any]
Hook = Optional[Callable[[Any], Any]]
Message = dict[str, Any]


class Hooks(NamedTuple):
    """Functions around the tasks; each gets the state that all share."""

    on_startup: Hook = None
    on_shutdown: Hook = None
    on_job_start: Hook = None
    on_job_end: Hook = None


class Worker:
    """All tasks of this process, which is the main thread's."""

    def __init__(
        self, choose: Callable[[str], Function], hooks: Hooks, default: Default = None, concurrency: int = 1
    ) -> None:
        self._concurrency = concurrency
        self._choose = choose
        self._hooks = hooks
        self._default = default
        self._stopper = Stopper()
        self._channel = Channel(self._stopper)
        self._shared: dict[str, Any] = {}
        self._loop: Optional[Loop] = None
        self._newest: Optional[Message] = None  # the task that came last
        self._unwanted: Optional[Message] = None  # one that was cancelled
        self._tasks: queue.SimpleQueue[Optional[Message]] = queue.SimpleQueue()
        self._pid = os.getpid()
        self._stopper.install()

    def once(self) -> None:
        """Run the one task of this process."""
        try:
            with self._stopper.armed(cancels=False):
                task = one_task()
        except Stopped:
            _exit_at_once()
        if not task:
            Context(self._channel, {}, {}).end(error_event(Permanent(NO_TASK, error_type="ProtocolError")))
            return
        try:
            self._attempt(task, self._hooks.on_startup)
        finally:
            self._leave()

    def serve(self) -> None:
        """Run tasks until stdin ends."""
        if self._concurrency > 1:
            self._serve_many()
            return
        try:
            with self._stopper.armed():
                self._call(self._hooks.on_startup, self._shared)
        except Exception as error:
            self._channel.send(error_event(error))
            sys.exit(1)
        except Stopped:
            self._leave()
        self._channel.send(READY)
        threading.Thread(target=self._listen, name="gridsidecar", daemon=True).start()
        try:
            for task in iter(self._next, None):
                self._attempt(task)
        finally:
            self._leave()

    def _serve_many(self) -> None:
        from gridsidecar_sdk.crowd import Crowd  # asyncio takes a while to load, and many handlers do not need it

        options = (self._default, self._concurrency, READY, _exit_at_once)
        Crowd(self._choose, self._hooks, self._channel, *options).serve()

    def _listen(self) -> None:
        for message in messages():
            if message.get("type") == "task":
                self._newest = message
                self._tasks.put(message)
            elif message.get("type") == "cancel":
                self._cancel(message)
        self._tasks.put(None)

    def _cancel(self, message: Message) -> None:
        """It may come before its task has begun, and after it is over."""
        newest = self._newest
        if newest is None or message.get("task_id") != newest.get("task_id"):
            return
        attempt = (newest.get("run") or {}).get("attempt", 1)
        if message.get("attempt", attempt) == attempt:
            self._unwanted = newest
            self._stopper.cancel(str(message.get("reason") or "cancel"))

    def _next(self) -> Optional[Message]:
        if self._stopper.terminated:
            return None
        try:
            with self._stopper.armed(cancels=False):
                return self._tasks.get()
        except Stopped:
            return None

    def _attempt(self, task: Message, before: Hook = None) -> None:
        """From its message to its last event."""
        context = Context(self._channel, task, self._shared)
        try:
            event = self._outcome(context, before)
        finally:
            self._quietly(self._hooks.on_job_end, context)
        context.finish(event, self._default)

    def _outcome(self, context: Context, before: Hook) -> Optional[Message]:
        """Its last event. None after a SIGTERM: the sidecar knows why, and says so better than an error of ours."""
        try:
            with self._stopper.armed():
                if self._unwanted is context.task:
                    raise Stopped("the task was stopped (cancel)")
                self._call(before, self._shared)
                context.update({**self._shared, **context})
                self._call(self._hooks.on_job_start, context)
                result = self._call(self._choose(context.task_type), context, context.data)
            return {"type": "result", "result": result}
        except (Retry, Permanent) as error:
            return error_event(error)
        except (Exception, Stopped) as error:
            traceback.print_exc()
            return None if self._stopper.terminated else error_event(error)

    def _call(self, function: Optional[Callable[..., Any]], *arguments: Any) -> Any:
        """Its result, also of one that is asynchronous: all of those share one event loop."""
        if function is None:
            return None
        try:
            found = function(*arguments)
            return self._awaited(found) if hasattr(found, "__await__") else found
        finally:
            if os.getpid() != self._pid:
                _end_fork(sys.exc_info()[1])

    def _awaited(self, found: Any) -> Any:
        if self._loop is None:
            from gridsidecar_sdk.loop import Loop  # takes a while to load, and many handlers need none

            self._loop = Loop(self._stopper)
        return self._loop.run(found)

    def _quietly(self, hook: Hook, argument: Any) -> None:
        """A hook after the fact changes nothing any more. It runs also when the process is to end, until told again."""
        try:
            with self._stopper.armed(cancels=False, anew=True):
                self._call(hook, argument)
        except (Exception, Stopped):
            traceback.print_exc()

    def _leave(self) -> None:
        """Hooks, and the end of the loop. After SIGTERM threads of the user's must not hold up the end."""
        self._quietly(self._hooks.on_shutdown, self._shared)
        if self._stopper.terminated:
            _exit_at_once()
        if self._loop is not None:
            self._quietly(lambda loop: loop.close(), self._loop)


def _end_fork(error: Optional[BaseException]) -> NoReturn:
    """A child of os.fork that comes out of the user's function: it is none of us, and its end decides nothing."""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    else:
        print("gridsidecar_sdk: a child of os.fork() returned, which decides nothing: use os._exit()", file=sys.stderr)
        code = int(error is not None)
    if error is not None and not isinstance(error, SystemExit):
        traceback.print_exc()
    _exit_at_once(code)


def _exit_at_once(code: int = TERMINATED) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
