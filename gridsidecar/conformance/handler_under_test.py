"""A handler under observation: what it says on each pipe and when, and what it leaves behind.

It is started as for real; only the reading differs, because a check also wants to know times, raw lines and leftovers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypedDict

from msgspec import Struct

from gridsidecar.clock import Clock
from gridsidecar.config.handlers import LimitSettings
from gridsidecar.conformance import processes
from gridsidecar.handler.capture import STDERR_BYTES, Tail
from gridsidecar.handler.command import Command
from gridsidecar.handler.launch import Start, launch
from gridsidecar.handler.lines import LineSplitter
from gridsidecar.rules.task import Claim
from gridsidecar.wire import Event, Ignored, LineSource, Text, Unreadable, decode_ends, decode_event

_CHUNK = 65536
DRAIN_S = 2.0  # how long output is awaited after the end, as for real


class HandlerLine(Struct, frozen=True):
    """One line of a handler; `at` is seconds since its start."""

    at: float
    channel: LineSource
    raw: bytes
    heard: Event | Text | Ignored | Unreadable


class ObservedExit(Struct, frozen=True):
    code: int | None
    signal: int | None
    at: float  # seconds since the start

    def __str__(self) -> str:
        return f"exit {self.code}" if self.signal is None else f"killed by {signal.Signals(self.signal).name}"


class _Addressee(TypedDict, total=False):
    task_id: str
    attempt: int


class HandlerUnderTest:
    """A started handler. `lines` and `exit` grow while somebody waits; `close` ends it and all that it started."""

    def __init__(
        self,
        command: Command,
        env: Mapping[str, str],
        clock: Clock,
        *,
        only: Claim | None = None,
        limits: LimitSettings | None = None,
        offer_events: bool = True,
        plain_stdout: bool = False,
    ) -> None:
        """`only`: its one task, in oneshot mode; what names another is ignored. `plain_stdout`: no messages there.

        NotStartable, OSError or ValueError when it cannot be started.
        """
        self._clock = clock
        self._only = only
        self._plain_stdout = plain_stdout
        self.printed = 0  # bytes on stdout
        self.lines: list[HandlerLine] = []
        self.stderr = Tail(STDERR_BYTES)
        self.exit: ObservedExit | None = None
        self.leftovers: tuple[str, ...] = ()  # names of processes that were there after the exit
        self.silent_drop = 0  # lines over the limit
        self._selector = selectors.DefaultSelector()
        self._unsent = bytearray()
        self._closing = False
        self._splitters = {
            channel: LineSplitter(on_discard=partial(self._discarded, channel)) for channel in LineSource
        }
        self._mark = processes.new_mark()
        self._started = clock.monotonic()
        self._open(command, {**env, processes.VARIABLE: self._mark}, offer_events, limits or LimitSettings())

    # -- what others ask of it ----------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since its start."""
        return self._clock.monotonic() - self._started

    def send(self, data: bytes) -> None:
        """Queue a line for its stdin; it is written while somebody waits."""
        self._unsent += data
        self._feed()

    def close_stdin(self) -> None:
        """After what is still to be written."""
        self._closing = True
        self._feed()

    @property
    def state(self) -> str:
        """How it ended, and its last words, if it had any."""
        if self.exit is None:
            return "it still runs"
        words = self.stderr.last_line()
        return f"{self.exit}: {words}" if words else f"{self.exit}, nothing on stderr"

    def terminate(self) -> None:
        """SIGTERM to its process group."""
        self._signal(signal.SIGTERM)

    def wait(self, until: Callable[[], object], seconds: float) -> bool:
        """Read and write until something holds, its end is reached, or the time is over. Whether it holds."""
        deadline = self.now + seconds
        while not until():
            left = deadline - self.now
            if left <= 0 or (self.exit is not None and not self._readers):
                return bool(until())
            self._turn(left)
        return True

    def wait_for_exit(self, seconds: float) -> bool:
        """Whether it is gone; its output is then read as for real, and its leftovers are counted."""
        if not self.wait(lambda: self.exit is not None, seconds):
            return False
        self.leftovers = processes.names_of(self._relatives())
        self.wait(lambda: not self._readers, DRAIN_S)
        return True

    def close(self) -> None:
        """Nothing of it is left when this returns."""
        relatives = self._relatives()
        self._signal(signal.SIGKILL)
        for pid in relatives:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.wait(lambda: self.exit is not None, DRAIN_S)
        for fd in (*self._readers, *(() if self._stdin is None else (self._stdin,))):
            self._forget(fd)
        self._selector.close()
        os.close(self._pidfd)
        os.waitpid(self.pid, 0)
        processes.reap(relatives)

    # -- pipes --------------------------------------------------------------------------------------------------------

    def _open(self, command: Command, env: dict[str, str], offer_events: bool, limits: LimitSettings) -> None:
        start = Start(
            program=command.locate(),
            argv=command.argv,
            cwd=command.cwd,
            env=env,
            stdin=b"",
            limits=limits,
        )
        theirs_in, ours_in = os.pipe2(os.O_CLOEXEC)
        pairs = [os.pipe2(os.O_CLOEXEC) for _ in range(3 if offer_events else 2)]
        theirs = [theirs_in, *(write for _, write in pairs)]
        self._readers = dict(
            zip((read for read, _ in pairs), (LineSource.STDOUT, None, LineSource.EVENTS), strict=False)
        )
        self._stdin: int | None = ours_in
        try:
            self.pid = launch(start, theirs, env)
        except BaseException:
            for fd in (ours_in, *self._readers):
                os.close(fd)
            self._selector.close()
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        for fd in (ours_in, *self._readers):
            fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
        self._pidfd = os.pidfd_open(self.pid)
        for fd in (self._pidfd, *self._readers):
            self._selector.register(fd, selectors.EVENT_READ)

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fd == self._stdin:
                self._feed()
            elif key.fd == self._pidfd:
                self._look_for_exit()
            else:
                self._read(key.fd)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        channel = self._readers[fd]
        if channel is None:
            self.stderr.write(data)
        else:
            self.printed += len(data) if channel is LineSource.STDOUT else 0
            splitter = self._splitters[channel]
            self._take(channel, splitter.feed(data) if data else splitter.finish())
        if not data:
            self._forget(fd)

    def _take(self, channel: LineSource, lines: list[bytes]) -> None:
        at = self.now
        self.lines += [HandlerLine(at, channel, raw, self._heard(channel, raw)) for raw in lines if raw]

    def _heard(self, channel: LineSource, raw: bytes) -> Event | Text | Ignored | Unreadable:
        if self._plain_stdout and channel is LineSource.STDOUT:
            return Text(raw.decode("utf-8", "replace"))
        return decode_event(raw, channel, **self._about())

    def _discarded(self, channel: LineSource, head: bytes, tail: bytes) -> None:
        if self._plain_stdout and channel is LineSource.STDOUT:
            return
        lost = decode_ends(head, tail, channel, **self._about())
        if isinstance(lost, Unreadable):
            self.lines.append(HandlerLine(self.now, channel, head, lost))
        else:
            self.silent_drop += 1

    def _about(self) -> _Addressee:
        if self._only is None:
            return {}
        return {"task_id": self._only.task_id, "attempt": self._only.attempt}

    def _feed(self) -> None:
        if self._stdin is None:
            return
        try:
            if self._unsent:
                del self._unsent[: os.write(self._stdin, self._unsent[:_CHUNK])]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it did not want all of its input, which is its right
            self._unsent.clear()
            self._closing = True
        if self._unsent:
            if self._stdin not in self._selector.get_map():
                self._selector.register(self._stdin, selectors.EVENT_WRITE)
        elif self._closing:
            self._forget(self._stdin)
            self._stdin = None
        elif self._stdin in self._selector.get_map():
            self._selector.unregister(self._stdin)

    def _forget(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
        self._readers.pop(fd, None)
        os.close(fd)

    # -- its end ------------------------------------------------------------------------------------------------------

    def _look_for_exit(self) -> None:
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            by_signal = found.si_code != os.CLD_EXITED
            code, number = (None, found.si_status) if by_signal else (found.si_status, None)
            self.exit = ObservedExit(code, number, self.now)
            self._selector.unregister(self._pidfd)

    def _relatives(self) -> set[int]:
        return processes.marked(self._mark, group=self.pid) - {self.pid}

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group. Its leader is reaped last, so the number cannot belong to anybody else."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
