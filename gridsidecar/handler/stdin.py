"""Our end of a child's stdin: written as the child reads, then closed, or kept open for more."""

from __future__ import annotations

import array
import fcntl
import os
import sys
import termios
from collections import deque
from collections.abc import Callable, Iterator

from gridsidecar.handler.fd_poller import FdPoller
from gridsidecar.wire import Spliced

PIPE_MODE = 0o666  # a handler that runs as another user may open its pipes by path; nobody else can reach them
_PIPE_CAPACITY = 4096  # what every fresh pipe takes without a reader: a user with many pipes gets one page each


class Stdin:
    """A pipe. `theirs` is the child's end, to be closed once the child has it.

    With `data` None it stays open for `send` until `close`; `on_shut` is called when the child lives and has closed it.
    Of what comes in parts, one piece at a time is in memory.
    """

    def __init__(self, data: bytes | Spliced | None, watcher: FdPoller, on_shut: Callable[[], None]) -> None:
        self._watcher = watcher
        self._on_shut = on_shut
        self._stays = data is None
        self._unsent = memoryview(data if isinstance(data, bytes) else b"")
        self._later: deque[bytes | Iterator[bytes]] = deque([data.chunks()] if isinstance(data, Spliced) else ())
        self._written = 0  # bytes, into the pipe
        self._queued = 0  # bytes of `_later` that are at hand
        self.theirs, ours = os.pipe2(os.O_CLOEXEC)
        self._fd: int | None = ours
        try:
            os.fchmod(self.theirs, PIPE_MODE)
            if isinstance(data, bytes) and len(data) <= _PIPE_CAPACITY:  # it is there before the child is
                os.write(ours, data)
                self.close()
            else:
                fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
        except OSError:
            os.close(self.theirs)
            self.close()
            raise

    def watch(self) -> None:
        """The child is there: go on writing whenever it has read."""
        if self._fd is not None and self._more():
            self._watcher.writable(self._fd, self._write)

    def send(self, data: bytes | Spliced) -> None:
        """More for a pipe that stays open; what it does not take now follows when it can."""
        if self._fd is None:
            return
        waiting = self._more()
        if isinstance(data, bytes):
            self._queued += len(data)
            self._later.append(data)
        else:
            self._later.append(data.chunks())
        if not waiting and not self._write():
            self._watcher.writable(self._fd, self._write)

    def _more(self) -> bool:
        """Whether something is left to write; `_unsent` is then the next of it."""
        while not self._unsent:
            if not self._later:
                return False
            first = self._later[0]
            if isinstance(first, bytes):
                self._queued -= len(first)
                self._later.popleft()
                self._unsent = memoryview(first)
            elif (chunk := next(first, None)) is not None:
                self._unsent = memoryview(chunk)
            else:
                self._later.popleft()
        return True

    def close(self) -> None:
        """The end of input."""
        if self._fd is not None:
            self._watcher.forget(self._fd)
            os.close(self._fd)
            self._fd = None
            self._unsent, self._queued = memoryview(b""), 0
            self._later.clear()

    @property
    def sent(self) -> int:
        """Bytes given to it until now, as far as they are at hand."""
        return self._written + len(self._unsent) + self._queued

    def taken(self) -> int:
        """Bytes that the child has read: a writer may ask for those in the pipe, too. All, once it is closed."""
        if self._fd is None:
            return sys.maxsize
        inside = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, inside)
        return self._written - inside[0]

    def _write(self) -> bool:
        """True when there is nothing left to wait for."""
        if self._fd is None:
            return True
        try:
            if self._more():
                written = os.write(self._fd, self._unsent)
                self._written += written
                self._unsent = self._unsent[written:]
        except (BlockingIOError, InterruptedError):
            return False
        except BrokenPipeError:  # it did not want all of its input, which is its right
            self._shut()
            return True
        if self._more():
            return False
        self._unwatch()
        return True

    def _shut(self) -> None:
        self._unwatch()
        if self._stays:
            self._on_shut()

    def _unwatch(self) -> None:
        if self._stays:
            assert self._fd is not None
            self._watcher.forget(self._fd)
        else:
            self.close()
