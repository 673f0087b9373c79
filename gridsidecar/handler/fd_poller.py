"""Which descriptors of all children are ready, through one descriptor of the event loop.

Adding and removing a reader costs a loop several times what epoll itself takes, and each child has up to six.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from weakref import WeakKeyDictionary

_READY_AT_ONCE = 64

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, FdPoller] = WeakKeyDictionary()


class FdPoller:
    """Calls back while a descriptor is ready. Made by `watcher_of`, one for each loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], object]] = {}
        loop.add_reader(self._epoll.fileno(), self._dispatch)

    def readable(self, fd: int, callback: Callable[[], object]) -> None:
        """Also called at the end of file and for a pidfd's exit."""
        self._epoll.register(fd, select.EPOLLIN)
        self._callbacks[fd] = callback

    def writable(self, fd: int, callback: Callable[[], object]) -> None:
        self._epoll.register(fd, select.EPOLLOUT)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Before the descriptor is closed. A descriptor that is not watched is no mistake."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _dispatch(self) -> None:
        for fd, _ in self._epoll.poll(0, _READY_AT_ONCE):
            callback = self._callbacks.get(fd)
            if callback is not None:  # an earlier callback of this round may have closed it
                callback()


def watcher_of(loop: asyncio.AbstractEventLoop) -> FdPoller:
    watcher = _watchers.get(loop)
    if watcher is None:
        watcher = _watchers[loop] = FdPoller(loop)
    return watcher
