"""Whole messages between a supervisor and one of its processes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

LARGEST = 65536  # bytes; ours have some hundred

Packet = dict[str, Any]


class MessageSocket:
    """One end of a pair of sockets that keep messages apart. What the other end does not take at once waits, in order:
    it may be stopped."""

    def __init__(self, end: socket.socket, hear: Callable[[Packet], None], closed: Callable[[], None]) -> None:
        """`closed` is called once, when the other end is gone."""
        self._loop = asyncio.get_running_loop()
        self._end = end
        self._hear = hear
        self._closed = closed
        self._waiting: deque[bytes] = deque()
        end.setblocking(False)
        self._loop.add_reader(end.fileno(), self._readable)

    def send(self, message: Packet) -> None:
        """To an end that is gone: nothing happens."""
        self._waiting.append(json.dumps(message).encode())
        if len(self._waiting) == 1:
            self._writable()

    def finish(self) -> None:
        """The other end is dead: hear its last words."""
        while self._end.fileno() >= 0 and self._readable():
            pass
        self.close()

    def close(self) -> None:
        if self._end.fileno() >= 0:
            self._loop.remove_reader(self._end.fileno())
            self._loop.remove_writer(self._end.fileno())
            self._end.close()
        self._waiting.clear()

    def _writable(self) -> None:
        while self._waiting:
            try:
                self._end.send(self._waiting[0])
            except BlockingIOError:
                self._loop.add_writer(self._end.fileno(), self._writable)
                return
            except OSError:  # the reader tells
                self._waiting.clear()
                break
            self._waiting.popleft()
        if self._end.fileno() >= 0:
            self._loop.remove_writer(self._end.fileno())

    def _readable(self) -> bool:
        """Whether there was something."""
        try:
            data = self._end.recv(LARGEST)
        except BlockingIOError:
            return False
        except OSError:  # it died with something unread
            data = b""
        if data:
            self._hear(json.loads(data))
            return True
        self.close()
        self._closed()
        return False
