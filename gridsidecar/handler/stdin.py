"""Our end of a child's stdin: written as the child reads, then closed, or kept open for more."""

from __future__ import annotations

import array
import fcntl
import os
import termios
from collections.abc import Callable

from gridsidecar.handler.watch import Watcher

PIPE_MODE = 0o666  # a handler that runs as another user may open its pipes by path; nobody else can reach them
_PIPE_CAPACITY = 4096  # what every fresh pipe takes without a reader: a user with many pipes gets one page each


class Stdin:
    """A pipe. `theirs` is the child's end, to be closed once the child has it.

    With `data` None it stays open for `send` until `close`; `on_shut` is called when the child lives and has closed it.
    """

    def __init__(self, data: bytes | None, watcher: Watcher, on_shut: Callable[[], None]) -> None:
        self._watcher = watcher
        self._on_shut = on_shut
        self._stays = data is None
        self._unsent = memoryview(data or b"")
        self.theirs, ours = os.pipe2(os.O_CLOEXEC)
        self._fd: int | None = ours
        try:
            os.fchmod(self.theirs, PIPE_MODE)
            if data is not None and len(data) <= _PIPE_CAPACITY:  # it is there before the child is
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
        if self._fd is not None and self._unsent:
            self._watcher.writable(self._fd, self._write)

    def send(self, data: bytes) -> None:
        """More for a pipe that stays open; what it does not take now follows when it can."""
        if self._fd is None:
            return
        waiting = bool(self._unsent)
        self._unsent = memoryview(bytes(self._unsent) + data)
        if not waiting and not self._write():
            self._watcher.writable(self._fd, self._write)

    def close(self) -> None:
        """The end of input."""
        if self._fd is not None:
            self._watcher.forget(self._fd)
            os.close(self._fd)
            self._fd = None
            self._unsent = memoryview(b"")

    def unread(self) -> int:
        """Bytes that the child has not taken: a writer may ask for those in the pipe, too. 0 once it is closed."""
        if self._fd is None:
            return 0
        inside = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, inside)
        return len(self._unsent) + inside[0]

    def _write(self) -> bool:
        """True when there is nothing left to wait for."""
        if self._fd is None:
            return True
        try:
            self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except (BlockingIOError, InterruptedError):
            return False
        except BrokenPipeError:  # it did not want all of its input, which is its right
            self._shut()
            return True
        if self._unsent:
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
