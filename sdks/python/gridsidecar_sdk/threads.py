"""Functions that are not asynchronous, each in a thread of its own, beside the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from typing import Any, Callable, Optional

from gridsidecar_sdk.errors import Stopped


class Stoppable:
    """A call in another thread, in which a stop is raised once: while it runs, not before and not after it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._thread: Optional[int] = None  # in which it runs
        self._stopped = False

    def stop(self) -> None:
        """Raise Stopped in it, or instead of it where it has not begun. Once."""
        with self._guard:
            self._stopped = True
            if self._thread is not None:
                _raise_in(self._thread, ctypes.py_object(Stopped))

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            with self._guard:
                if self._stopped:
                    raise Stopped
                self._thread = threading.get_ident()
            return function(*arguments)
        finally:
            with self._guard:
                self._thread = None
                _raise_in(threading.get_ident(), None)  # a stop that was to be raised, and came too late


def _raise_in(thread: int, error: Optional[ctypes.py_object[type[BaseException]]]) -> None:
    """None takes back what has not been raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Its result; when this is cancelled, Stopped is raised in the function, in a thread of its own so that it can hit
    nobody else's. As long as the function does not end, its task does not either."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Any] = loop.create_future()
    surroundings = contextvars.copy_context()
    call = Stoppable()

    def work() -> None:
        try:
            found, error = call.run(surroundings.run, function, *arguments), None
        except BaseException as raised:
            found, error = None, raised
        loop.call_soon_threadsafe(settle, found, error)

    def settle(found: Any, error: Optional[BaseException]) -> None:
        if isinstance(error, (StopIteration, SystemExit, KeyboardInterrupt)):
            error = RuntimeError(f"{type(error).__name__}: {error}")
        if error is None:
            ended.set_result(found)
        else:
            ended.set_exception(error)

    threading.Thread(target=work, name="gridsidecar task", daemon=True).start()
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        if ended.done():
            raise
        call.stop()
        return await ended
