"""How much memory this process may take for one large message, and whose turn it is to take it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections import deque
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

MEBIBYTE = 1024 * 1024
ROOM_WITHOUT_LIMIT = 512 * MEBIBYTE  # where no cgroup sets a limit
LEAST_ROOM = 8 * MEBIBYTE
MUCH = 16 * MEBIBYTE  # of large messages, after which the allocator is asked for what it keeps
REST = 1.0  # seconds until whatever still refers to the last of them is gone
_NEW_OBJECTS = 700  # until garbage is looked for, as Python has it
_MMAP_THRESHOLD = -3  # glibc's M_MMAP_THRESHOLD
_LARGE_BLOCK = MEBIBYTE // 2
_UNLIMITED = 2**62  # version 1 writes a number near 2**63 for "no limit"


class MemoryBudget:
    """`room` is how many bytes one message may take for a while, beside what is in hand anyway. Whoever reads a large
    message holds `turn` meanwhile, so that no two take it at once. The bodies of large messages in hand get a third of
    it together, and another third those that are sent on at once; of each, one alone may have more."""

    def __init__(self, megabytes: int | None) -> None:
        self.room = automatic_room() if megabytes is None else megabytes * MEBIBYTE
        self.turn = asyncio.Lock()
        self._in_hand = 0  # bytes
        self._sent_on = 0  # bytes
        self._gone = 0  # bytes, since the allocator was asked
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def reserve(self, size: int) -> bool:
        """Count a large body as ours until `release`. False when it is too much beside the others."""
        if not self._fits(size, beside=self._in_hand):
            return False
        self._in_hand += size
        return True

    def reserve_to_send_on(self, size: int) -> bool:
        """The same for one that is here only until the broker has it again."""
        if not self._fits(size, beside=self._sent_on):
            return False
        self._sent_on += size
        return True

    def sent_on(self, size: int) -> None:
        """The broker has it, or it is gone."""
        self._sent_on -= size

    def _fits(self, size: int, beside: int) -> bool:
        return not beside or beside + size <= self.room // 3

    def release(self, size: int) -> None:
        """One is gone: of those that wait, the longest first, as many may try again as fit."""
        self._in_hand -= size
        self._gone += size
        if self._gone >= MUCH and not self._in_hand:
            self._gone = 0
            asyncio.get_running_loop().call_later(REST, trim)
        self._wake()

    def _wake(self) -> None:
        """Who is woken may get its message elsewhere, or not at all: while nothing is in hand, nobody else would wake
        the others."""
        taken = self._in_hand
        while self._waiting and (self._waiting[0].turn.done() or self._fits(self._waiting[0].size, beside=taken)):
            waiter = self._waiting.popleft()
            if not waiter.turn.done():  # else its patience ended first
                waiter.turn.set_result(None)
                taken += waiter.size
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._in_hand:
            self._timer = asyncio.get_running_loop().call_later(REST, self._wake)

    async def freed(self, size: int) -> None:
        """Wait until there is room for so much."""
        waiter = _Waiter(size)
        self._waiting.append(waiter)
        if not self._in_hand:
            self._wake()
        await waiter.turn


class _Waiter(Struct, eq=False):
    size: int
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def trim() -> None:
    """What was freed below something that is still in use goes back to the system, too: the pieces in which a large
    message came and went."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def give_back_what_is_freed() -> None:
    """glibc raises its threshold with each large block that is freed, and then keeps up to 64 MiB for the next ones,
    in every thread. With a fixed threshold, large blocks go back to the system at once. Garbage may hold some, too:
    from now on Python looks for it often, but never in what is loaded."""
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BLOCK)


def automatic_room() -> int:
    """Half of what the cgroup leaves beside this process as it is now: the other half is for the messages in hand and
    for small handlers."""
    limit = cgroup_limit()
    if limit is None:
        return ROOM_WITHOUT_LIMIT
    return max(LEAST_ROOM, min(ROOM_WITHOUT_LIMIT, (limit - _resident()) // 2))


def cgroup_limit(proc: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The least memory limit in bytes of the cgroups that this process is in, of both versions; None for no limit."""
    limits = [limit for place in _places(proc, mount) if (limit := _number(place)) is not None and limit < _UNLIMITED]
    return min(limits, default=None)


def _places(proc: Path, mount: Path) -> list[Path]:
    """The files that may hold a limit, from our own cgroup up to the root. Inside a container the path often names the
    host's hierarchy, of which only the own part is mounted: the root's file is then ours."""
    places = []
    try:
        groups = proc.read_text().splitlines()
    except OSError:
        return []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = root / path.lstrip("/")
        places += [folder / name for folder in (own, *own.parents) if folder.is_relative_to(root)]
    return places


def _number(place: Path) -> int | None:
    try:
        return int(place.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _resident() -> int:
    """Bytes in RAM of this process now."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        return 0
