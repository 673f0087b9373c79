"""The birth of a child: a new session, its end of our pipes, and no descriptor beside them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache

from msgspec import Struct

from gridsidecar.config.handlers import LimitSettings
from gridsidecar.wire import Spliced

_EVENTS_FD = 3


class Start(Struct, frozen=True, kw_only=True):
    """What to start: a program, found already, with all that it gets."""

    program: str
    argv: tuple[str, ...]
    cwd: str | None
    env: Mapping[str, str]
    stdin: bytes | Spliced | None  # None: it stays open, for `Process.send`
    limits: LimitSettings


def launch(start: Start, pipes: Sequence[int], env: dict[str, str]) -> int:
    """The child's pid. `pipes` are its ends: stdin, stdout, stderr and, where it is offered one, events.

    `os.posix_spawn` takes half the CPU of Popen, but cannot change the directory.
    """
    _disinherit()
    if start.cwd is None and min(pipes) > _EVENTS_FD:
        return _posix_spawn(start, pipes, env)
    return _popen(start, pipes, env)


def _posix_spawn(start: Start, pipes: Sequence[int], env: dict[str, str]) -> int:
    if len(pipes) > _EVENTS_FD:
        env["GRIDSIDECAR_EVENTS"] = f"/dev/fd/{_EVENTS_FD}"
    return os.posix_spawn(
        start.program,
        start.argv,
        env,
        file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(pipes)],
        setsid=True,
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # Python ignores them; a handler must not inherit that
    )


def _popen(start: Start, pipes: Sequence[int], env: dict[str, str]) -> int:
    if len(pipes) > _EVENTS_FD:
        env["GRIDSIDECAR_EVENTS"] = f"/dev/fd/{pipes[_EVENTS_FD]}"
    child = subprocess.Popen(
        start.argv,
        executable=start.program,
        stdin=pipes[0],
        stdout=pipes[1],
        stderr=pipes[2],
        pass_fds=pipes[_EVENTS_FD:],
        close_fds=True,
        start_new_session=True,
        cwd=start.cwd,
        env=env,
    )
    child.returncode = 0  # it is reaped elsewhere; Popen must not try it too
    return child.pid


def restrain(pid: int, limits: LimitSettings) -> tuple[str, ...]:
    """Set the limits of a fresh child; notes on those that could not be set."""
    if not (limits.open_files or limits.cpu_seconds or limits.memory_mb):
        return ()
    notes = []
    for name, kind, value in (
        ("open_files", resource.RLIMIT_NOFILE, limits.open_files),
        ("cpu_seconds", resource.RLIMIT_CPU, limits.cpu_seconds),
        ("memory_mb", resource.RLIMIT_AS, limits.memory_mb * 1024 * 1024),
    ):
        try:
            if value:
                # One second between SIGXCPU, which says why, and SIGKILL, which does not.
                resource.prlimit(pid, kind, (value, value + (kind == resource.RLIMIT_CPU)))
        except ProcessLookupError:
            break
        except (OSError, ValueError) as error:
            notes.append(f"limit {name} could not be set: {error}")
    return tuple(notes)


@cache
def _disinherit() -> None:
    """Undo what who started us may have left: open descriptors, and SIGCHLD ignored, which throws exit codes away."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):
                os.set_inheritable(int(name), False)  # what Python opens itself is closed on exec anyway
