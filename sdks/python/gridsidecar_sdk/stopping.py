"""A request to stop, by SIGTERM or by the sidecar's cancel, brought into the function that runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, Optional

from gridsidecar_sdk.errors import Stopped


class Stopper:
    """Raises Stopped in the main thread, or calls what an asynchronous function gave; held back while we write.

    Both kinds of stop come as SIGTERM, because only a signal ends a sleep or a read of the main thread.
    """

    def __init__(self) -> None:
        self.terminated = False  # this process is to end, not just one task
        self._cancelled: Optional[str] = None
        self._armed = False
        self._cancels = False
        self._held = 0
        self._pending: Optional[str] = None
        self._interrupt: Optional[Callable[[], object]] = None

    def install(self) -> None:
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._on_signal())

    def cancel(self, reason: str) -> None:
        """From any thread: stop the task that runs, and not the process."""
        self._cancelled = reason
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    @contextmanager
    def armed(self, *, cancels: bool = True, anew: bool = False) -> Iterator[None]:
        """What is inside can be stopped: also, unless `anew`, by a SIGTERM of before."""
        if anew:
            self._pending = None
        self._armed, self._cancels = True, cancels
        try:
            self._deliver()
            yield
        finally:
            self._armed = False
            self._pending = "SIGTERM" if self.terminated and self._pending else None

    @contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Inside, call this instead of raising."""
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, in the main thread, nothing is raised; what came meanwhile is at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        self._deliver()

    def _on_signal(self) -> None:
        reason, self._cancelled = self._cancelled, None
        if reason is None:
            self.terminated = True
        elif not (self._armed and self._cancels):
            return
        self._pending = reason or "SIGTERM"
        self._deliver()

    def _deliver(self) -> None:
        if self._pending is None or self._held or not self._armed:
            return
        reason, self._pending = self._pending, None
        if self._interrupt is not None:
            self._interrupt()
        else:
            raise Stopped(f"the task was stopped ({reason})")
