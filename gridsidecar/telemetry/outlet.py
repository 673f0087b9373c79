"""Lines on their way to something that may stand still: a pipe nobody reads, a terminal that is stopped, a hung disk.

A thread of its own waits there, and nobody else does. No way to ask beforehand is safe: another process may fill the
pipe in between, and a disk is always said to be ready.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from gridsidecar.clock import SystemClock

LARGEST = 256 * 1024  # bytes that may wait: some seconds of a busy worker
NAP = 0.01  # seconds in which lines gather: to wake the thread for each would cost a busy loop more than the writing
TURN = 0.01  # seconds, at most, that a teller lends the thread, once, when half of that waits
LAST_WAIT = 2.0  # seconds without any progress, after which what still waits at the end is given up


class Outlet:
    """Takes whole lines and never makes their teller wait: what does not fit is dropped and counted, and from then on
    all of it, until everything before it is out. So what was lost was lost in one place, and that is where it is told.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[bytes], None],
        *,
        stuck: Callable[[], None],
        drained: Callable[[int], None],
        batch: int = select.PIPE_BUF,
        largest: int = LARGEST,
    ) -> None:
        """`write` gets whole lines, about `batch` bytes at most, and may take its time; its OSErrors count as lines
        lost. `stuck` is called by the teller whose line is the first to be lost, `drained` by the thread, with the
        number of lines that were. (So much written at once is not mixed with what others write to a pipe.)"""
        self._write = write
        self._stuck = stuck
        self._drained = drained
        self._batch = batch
        self._largest = largest
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._ahead: bytes | None = None  # out of the queue, and in the next batch
        self._lock = threading.RLock()  # the collector may call a destructor that has something to say, right here
        self._taken = 0  # bytes
        self._done = 0
        self._lost = 0  # lines for which there was no room
        self._refused = 0  # lines that `write` could not write
        self._moved = threading.Event()
        self._patient = True
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, lines: bytes) -> None:
        """Some whole lines, which are written or lost together."""
        ours = threading.current_thread() is self._thread  # it tells what was lost
        with self._lock:
            waiting = self._taken - self._done
            fits = ours or not (self._lost or (waiting and waiting + len(lines) > self._largest))
            begins = not (fits or self._lost)
            if fits:
                self._taken += len(lines)
                self._queue.put(lines)
            else:
                self._lost += lines.count(b"\n") or 1
        if begins:
            self._stuck()
        elif self._patient and waiting > self._largest // 2 and not ours:
            self._lend_a_turn()

    def _lend_a_turn(self) -> None:
        """It may only be short of Python's lock, which a busy loop seldom lets go. One that stands still gets no more
        until it moves."""
        self._moved.clear()
        self._patient = self._moved.wait(TURN + NAP)

    def finish(self, until: float) -> bool:
        """Wait until all is written, to the monotonic second `until` at most, and less for what does not move."""
        self._hurry.set()
        while self._taken != self._done or self._lost:
            self._moved.clear()
            if (self._taken != self._done or self._lost) and not self._moved.wait(LAST_WAIT):
                return False
            if SystemClock().monotonic() > until:
                return False
        return True

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            lines = self._next_batch()
            try:
                self._write(lines)
            except (OSError, ValueError):  # closed, gone, or its disk is full
                self._refused += lines.count(b"\n")
            else:
                self._tell_refused()
            self._done += len(lines)
            if self._lost and self._done == self._taken:
                self._tell_lost()
            self._patient = True
            self._moved.set()
            if len(lines) < self._batch // 2:
                self._hurry.wait(NAP)

    def _next_batch(self) -> bytes:
        lines = self._queue.get() if self._ahead is None else self._ahead
        self._ahead = None
        with suppress(Empty):
            while len(lines) < self._batch:
                more = self._queue.get_nowait()
                if len(lines) + len(more) > self._batch:
                    self._ahead = more
                    break
                lines += more
        return lines

    def _tell_refused(self) -> None:
        if self._refused:
            refused, self._refused = self._refused, 0
            self._drained(refused)

    def _tell_lost(self) -> None:
        lost = self._lost
        self._drained(lost)
        with self._lock:  # more may have been lost meanwhile; that is told next
            self._lost -= lost


def write_all(fd: int, data: bytes) -> None:
    """Whoever shares the descriptor may have made it non-blocking."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            select.select([], [fd], [])


def write_alone(lock: int, fd: int, data: bytes) -> None:
    """What is too long for one write would be mixed with what siblings of this process write meanwhile."""
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        write_all(fd, data)
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
