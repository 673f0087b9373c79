"""A doorbell of processes that share a file: who put something in wakes those who wait."""

from __future__ import annotations

import asyncio
import ctypes
import os
from contextlib import suppress

IN_ATTRIB = 0x00000004
IN_IGNORED = 0x00008000
EVENT_BYTES = 64 * 1024

WATCHED_MAX_WAIT = 30.0  # seconds; only a ringer that died between its commit and its ring needs it
BLIND_MAX_WAIT = 1.0


class Doorbell:
    """Rings by touching the file's times, hears by inotify.

    The ring comes after the commit, so what woke somebody is there to be read; and the writes of others to the same
    file wake nobody, as writing changes no attributes. Without inotify, waiting is cut into steps of a second.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._rang = asyncio.Event()
        self._fd = -1

    def listen(self) -> None:
        """Start hearing other processes; needs a running loop and the file."""
        if self._fd >= 0:
            return
        with suppress(OSError, AttributeError):
            self._fd = _watch(self._path)
            asyncio.get_running_loop().add_reader(self._fd, self._heard)

    def ring(self) -> None:
        """Wake everybody who waits, in this process and in others."""
        self._rang.set()
        with suppress(OSError):
            os.utime(self._path)

    def wake(self) -> None:
        """Wake this process only."""
        self._rang.set()

    async def wait(self, max_wait: float) -> None:
        """Until somebody rings, but no longer than `max_wait` seconds."""
        longest = WATCHED_MAX_WAIT if self._fd >= 0 else BLIND_MAX_WAIT
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max_wait, longest)):
                await self._rang.wait()

    def hush(self) -> None:
        """Forget the rings so far; call it before looking, so that none is missed after."""
        self._rang.clear()

    def close(self) -> None:
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _heard(self) -> None:
        self._rang.set()
        with suppress(BlockingIOError):
            events = os.read(self._fd, EVENT_BYTES)
            if _mask(events) & IN_IGNORED:  # the file was removed: hear nothing rather than something else
                self.close()


def _watch(path: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    if libc.inotify_add_watch(fd, os.fsencode(path), IN_ATTRIB) < 0:
        os.close(fd)
        raise OSError(ctypes.get_errno(), "inotify_add_watch")
    return fd


def _mask(events: bytes) -> int:
    """All the bits of a watch without names: each event is wd, mask, cookie, length, four bytes each."""
    mask = 0
    for start in range(0, len(events) - 15, 16):
        mask |= int.from_bytes(events[start + 4 : start + 8], "little")
    return mask
