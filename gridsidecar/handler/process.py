"""One child process over our own pipes: started, fed, read, stopped, drained and reaped.

The event loop only tells when a descriptor is ready. asyncio's own child support hangs on a leaked pipe; uvloop's gives
the child sockets instead of pipes and takes several times as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from gridsidecar.handler import reaper
from gridsidecar.handler.fd_poller import watcher_of
from gridsidecar.handler.launch import Start, launch, restrain
from gridsidecar.handler.stdin import PIPE_MODE, Stdin
from gridsidecar.wire import Spliced

DRAIN_S = 2.0  # how long output is awaited after the end, when something else holds a pipe open
_CHUNK = 65536
_FINAL_READS = 64  # chunks still read from each pipe at the end; more than any pipe holds
_OOM_SCORE_RAISE = 500
_OOM_SCORE_AFTER_S = 0.02  # a child that is gone by then cannot have taken much memory, and need not pay for this

Sink = Callable[[bytes], None]


class Sinks(Struct, frozen=True, kw_only=True):
    """Who takes the output, chunk by chunk. Without `events` the child is offered no private pipe."""

    stdout: Sink
    stderr: Sink
    events: Sink | None
    closed: Callable[[Sink | None], None] | None = None  # it lives, but has closed this one's pipe, or (None) its stdin


class Exit(Struct, frozen=True, kw_only=True):
    """How a child ended and what it used."""

    code: int | None
    signal: int | None
    duration_s: float
    cpu_s: float
    peak_rss_bytes: int | None  # None when it never used more than we did: the kernel then reports our own figure


class Process:
    """A running child. `ended` resolves once it is gone, its output is read and its process group is dead.

    An exception out of a sink ends the child and comes out of `ended`.
    """

    def __init__(self, start: Start, sinks: Sinks) -> None:
        """Starts the child; OSError or ValueError when that fails, with nothing left behind."""
        self._loop = asyncio.get_running_loop()
        self._watcher = watcher_of(self._loop)
        self.ended: asyncio.Future[Exit] = self._loop.create_future()
        self.exited = False
        self.taken = 0  # bytes that it read from a stdin kept open; known once it has exited
        self._closed = sinks.closed or (lambda _: None)
        self._readers: dict[int, Sink] = {}
        self._poll: select.poll | None = None  # of those, for who asks what is in them already
        self._stdin: Stdin | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._kill_at = 0.0  # loop time
        self._token = reaper.new_token()
        self._started = self._loop.time()
        self._finished = self._started
        before = time.perf_counter()  # the loop's own time stands still meanwhile
        try:
            self.pid, self._pidfd = self._spawn(start, sinks)
        except BaseException:
            reaper.release(None, self._token)
            self._close_pipes()
            raise
        self.spawn_s = time.perf_counter() - before
        self.notes = restrain(self.pid, start.limits)
        self._watch()

    # -- the start ----------------------------------------------------------------------------------------------------

    def _spawn(self, start: Start, sinks: Sinks) -> tuple[int, int]:
        theirs: list[int] = []
        try:
            self._stdin = Stdin(start.stdin, self._watcher, partial(self._closed, None))
            theirs.append(self._stdin.theirs)
            theirs.append(self._output(sinks.stdout))
            theirs.append(self._output(sinks.stderr))
            if sinks.events is not None:
                theirs.append(self._output(sinks.events))
            env = {**start.env, "GRIDSIDECAR_RUN": self._token}
            pid = reaper.marked(self._token, partial(launch, start, theirs, env))
        finally:
            for fd in theirs:
                os.close(fd)
        return pid, _open_pidfd(pid)

    def _output(self, sink: Sink) -> int:
        """The child's end of a pipe that `sink` reads."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        os.fchmod(theirs, PIPE_MODE)
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK)
        self._readers[ours] = sink
        return theirs

    def _watch(self) -> None:
        for fd, sink in self._readers.items():
            self._watcher.readable(fd, partial(self._readable, fd, sink))
        if self._stdin is not None:
            self._stdin.watch()
        self._watcher.readable(self._pidfd, self._on_exit)
        self._oom_timer = self._loop.call_later(_OOM_SCORE_AFTER_S, self._raise_oom_score)

    def _raise_oom_score(self) -> None:
        if not self.exited:
            _raise_oom_score(self.pid)

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _readable(self, fd: int, sink: Sink) -> bool:
        """Pass one chunk on; False when there is nothing more to read now."""
        if fd not in self._readers:  # a sink that was called meanwhile had it read to its end
            return False
        try:
            data = os.read(fd, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        if not data:
            self._close_reader(fd)
            return False
        try:
            sink(data)
        except Exception as error:
            self._fail(error)
            return False
        return True

    def _close_reader(self, fd: int) -> None:
        sink = self._readers.pop(fd, None)
        if sink is not None:
            self._watcher.forget(fd)
            self._poll = None
            os.close(fd)
        if self.exited and not self._readers:
            self._finish()
        elif sink is not None and not self.exited:
            self._closed(sink)

    def read_now(self, *sinks: Sink) -> None:
        """Pass on what is in the pipes of these sinks already. Most often that is nothing, which one poll tells."""
        if self._poll is None:
            self._poll = select.poll()
            for fd in self._readers:
                self._poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in self._poll.poll(0)}
        for fd, sink in list(self._readers.items()) if ready else ():
            if fd in ready and sink in sinks:
                self._read_all(fd, sink)

    @property
    def sent(self) -> int:
        """Bytes given to a stdin that stays open, until now."""
        return 0 if self._stdin is None else self._stdin.sent

    def send(self, data: bytes | Spliced) -> None:
        """More input for a child whose stdin stays open."""
        if self._stdin is not None:
            self._stdin.send(data)

    def close_stdin(self) -> None:
        """Nothing more will come: it may finish and exit."""
        if self._stdin is not None:
            self._stdin.close()

    # -- the end ------------------------------------------------------------------------------------------------------

    def stop(self, grace: float) -> None:
        """SIGTERM to the group now, SIGKILL after `grace` seconds. Only the first call counts."""
        if self.exited or self._timer is not None:
            return
        self._signal(signal.SIGTERM)
        self._kill_at = self._loop.time() + grace
        self._timer = self._loop.call_later(grace, self.kill)

    def kill(self) -> None:
        """SIGKILL to the group now; what it wrote is still read."""
        self._signal(signal.SIGKILL)
        self._kill_at = self._loop.time()
        if self.exited and self._pidfd >= 0:
            self._drain_until(0.0)

    def abandon(self) -> None:
        """Kill it and stop reading at once. The exit is still waited for in the background."""
        self._signal(signal.SIGKILL)
        self._close_pipes()
        if self.exited:
            self._finish()

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group. Its leader is reaped last, so the number cannot belong to anybody else."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _fail(self, error: Exception) -> None:
        self._signal(signal.SIGKILL)
        if not self.ended.done():
            self.ended.set_exception(error)
        self._close_pipes()

    def _on_exit(self) -> None:
        self._watcher.forget(self._pidfd)
        self.exited = True
        self._oom_timer.cancel()
        self._finished = self._loop.time()
        if self._stdin is not None:
            self.taken = self._stdin.taken()
        self.close_stdin()
        self._read_rest()
        if self._readers:
            self._drain_until(max(DRAIN_S, self._kill_at - self._finished))
        else:
            self._finish()

    def _drain_until(self, seconds: float) -> None:
        """Somebody else holds a pipe open: most often a worker behind a shell, which has its grace too."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._finish)

    def _read_rest(self) -> None:
        for fd, sink in list(self._readers.items()):
            self._read_all(fd, sink)

    def _read_all(self, fd: int, sink: Sink) -> None:
        for _ in range(_FINAL_READS):
            if not self._readable(fd, sink):
                break

    def _finish(self) -> None:
        """Kill what is left of the group, read what it left, reap the leader."""
        if self._pidfd < 0:
            return
        self._signal(signal.SIGKILL)
        os.close(self._pidfd)
        self._pidfd = -1
        self._read_rest()
        self._close_pipes()
        if self._timer is not None:
            self._timer.cancel()
        exit_ = self._reap()
        reaper.release(self.pid, self._token)
        reaper.sweep_soon(self._loop)
        if not self.ended.done():
            self.ended.set_result(exit_)

    def _reap(self) -> Exit:
        _, status, usage = os.wait4(self.pid, 0)
        peak = usage.ru_maxrss if usage.ru_maxrss > _own_peak(usage.ru_maxrss) else None
        return Exit(
            code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            duration_s=self._finished - self._started,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_rss_bytes=None if peak is None else peak * 1024,
        )

    def _close_pipes(self) -> None:
        self.close_stdin()
        while self._readers:
            fd, _ = self._readers.popitem()
            self._watcher.forget(fd)
            os.close(fd)


_seen_peak = 0  # KiB; a peak only grows, so an old figure is a lower bound


def _own_peak(child_peak: int) -> int:
    """Our own peak memory in KiB, asked for only where it matters."""
    global _seen_peak
    if child_peak > _seen_peak:
        _seen_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _seen_peak


def _open_pidfd(pid: int) -> int:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    reaper.own(pid)
    return pidfd


def _raise_oom_score(pid: int) -> None:
    """When memory runs out the kernel shall take the handler and what it started, not us."""
    if _OOM_SCORE is None:
        return
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as file:
            file.write(_OOM_SCORE)
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
            children = file.read().split()
        for child in children:
            _raise_oom_score(int(child))


def _handlers_oom_score() -> bytes | None:
    try:
        with open("/proc/self/oom_score_adj", "rb") as file:
            return b"%d" % min(1000, int(file.read()) + _OOM_SCORE_RAISE)
    except (OSError, ValueError):
        return None


_OOM_SCORE = _handlers_oom_score()
