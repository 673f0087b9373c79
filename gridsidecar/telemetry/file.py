"""The log file in `log.dir`, shared by any number of sidecars; its troubles never reach a task."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from msgspec import Struct

from gridsidecar.clock import Clock

NAME = "gridsidecar.log"
LARGEST = 20 * 1024 * 1024  # bytes
MODE = 0o600  # of new files: tasks and addresses stand in them
KEPT = 5  # older files: .1 is the youngest
PAUSE = 30.0  # seconds between two tries while it cannot be written
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems without locks answer


class Broken(Struct, frozen=True):
    """From now on lines are lost to the file."""

    reason: str


class Mended(Struct, frozen=True):
    """It takes lines again, after so many were lost to it."""

    lost: int


class LogFile:
    """Whole lines, appended in one write each. Who finds the file too large moves it aside; the others notice that the
    name means another file by now."""

    def __init__(
        self, folder: str, clock: Clock, *, largest: int = LARGEST, kept: int = KEPT, pause: float = PAUSE
    ) -> None:
        self.path = os.path.join(os.path.abspath(folder), NAME)
        self._clock = clock
        self._largest = largest
        self._kept = kept
        self._pause = pause
        self._file: int | None = None
        self._lost = 0
        self._broken = False
        self._next_try = 0.0  # monotonic seconds

    def keep(self, lines: bytes) -> Broken | Mended | None:
        """Append them; never raises. What changed by that, once per change. (Without any: whether that works.)"""
        now = self._clock.monotonic()
        if self._broken and now < self._next_try:
            self._lost += lines.count(b"\n")
            return None
        try:
            self._append(lines)
        except OSError as error:
            self._lost += lines.count(b"\n")
            return self._failed(error, now)
        return self._worked() if self._broken else None

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _failed(self, error: OSError, now: float) -> Broken | None:
        with suppress(OSError):
            self.close()
        was_broken, self._broken = self._broken, True
        self._next_try = now + self._pause
        return None if was_broken else Broken(f"{error.strerror or error}: {error.filename or self.path}")

    def _worked(self) -> Mended:
        lost, self._lost, self._broken = self._lost, 0, False
        return Mended(lost)

    def _append(self, lines: bytes) -> None:
        file, size = self._open()
        if size and size + len(lines) > self._largest and self._moved_aside(len(lines)):
            file, size = self._open()
        written = os.write(file, lines)
        if written < len(lines):
            _take_back(file, written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)

    def _open(self) -> tuple[int, int]:
        """The file of our name, and its size in bytes."""
        if self._file is not None:
            opened = os.fstat(self._file)
            with suppress(FileNotFoundError):
                if os.path.samestat(opened, os.stat(self.path)):
                    return self._file, opened.st_size
            self.close()
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        # A pipe of this name that nobody reads must not hold us up.
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, MODE)
        return self._file, os.fstat(self._file).st_size

    def _moved_aside(self, room: int) -> bool:
        """False when somebody else is at it: nobody waits, so a line more goes into the old file."""
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, MODE)
        try:
            if not _locked(lock):
                return False
            with suppress(FileNotFoundError):  # somebody was faster, and has yet to make the new file
                if os.stat(self.path).st_size + room > self._largest:
                    self._shift()
            return True
        finally:
            os.close(lock)

    def _shift(self) -> None:
        for number in range(self._kept - 1, 0, -1):
            with suppress(FileNotFoundError):
                os.rename(f"{self.path}.{number}", f"{self.path}.{number + 1}")
        os.rename(self.path, f"{self.path}.1")


def _take_back(file: int, written: int) -> None:
    """The disk is full and took a piece of a line: off with it, or somebody's next line would begin with it."""
    with suppress(OSError):  # not a plain file
        end = os.lseek(file, 0, os.SEEK_CUR)
        if os.fstat(file).st_size == end:
            os.ftruncate(file, end - written)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True
