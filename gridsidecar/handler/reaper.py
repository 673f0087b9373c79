"""Children that became ours: what escaped from a handler is killed, and unknown zombies are reaped.

A handler may start processes that leave its process group. With this process as their subreaper (or as PID 1) they
become our children once their parents are gone. Each handler carries a token in its environment; a child with the
token of an attempt that is over is killed.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import signal
from dataclasses import dataclass, field

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_VARIABLE = b"GRIDSIDECAR_RUN="
_SOON_S = 0.02  # also the first pause before looking again at what was just killed, which doubles
_RETRIES = 8


@dataclass(slots=True)
class _Family:
    """The children of this process, which are one list for all of it."""

    adopting: bool = field(default_factory=lambda: os.getpid() == 1)
    owned: set[int] = field(default_factory=set)  # started by us, reaped by whoever started them
    foreign: set[int] = field(default_factory=set)  # a library's own children: not our business
    live: set[bytes] = field(default_factory=set)  # tokens of attempts that still run
    prefix: str = field(default_factory=lambda: f"{os.getpid()}-{os.urandom(6).hex()}-")
    runs: int = 0
    sweeping: asyncio.AbstractEventLoop | None = None  # where the next sweep is planned


_family = _Family()


def become_subreaper() -> bool:
    """Orphans below us become our children instead of init's. Called once at start; False where the system refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return False
    _family.adopting = True
    return True


def hide_from_children() -> None:
    """Handlers of the same user cannot read our environment, memory or open files in /proc. (Root's still can, and
    everybody can read our arguments.)"""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def new_token() -> str:
    """A mark for one attempt's processes, unlike every other on this machine."""
    _family.runs += 1
    token = f"{_family.prefix}{_family.runs}"
    _family.live.add(token.encode())
    return token


def own(pid: int) -> None:
    """`pid` was started by us and will be reaped by who started it."""
    _family.owned.add(pid)


def release(pid: int | None, token: str) -> None:
    """The attempt is over: `pid` is reaped, and nothing with its token may live on."""
    if pid is not None:
        _family.owned.discard(pid)
    _family.live.discard(token.encode())


def sweep_soon(loop: asyncio.AbstractEventLoop) -> None:
    """Sweep in a moment, once for all attempts that end until then."""
    if _family.adopting and _family.sweeping is not loop:
        _family.sweeping = loop
        loop.call_later(_SOON_S, sweep, loop)


def sweep(loop: asyncio.AbstractEventLoop, attempt: int = 0) -> None:
    """Kill what outlived its attempt and reap unknown zombies; looks again a little later while some are dying."""
    _family.sweeping = None
    if not _family.adopting:
        return
    strays = _children() - _family.owned
    _family.foreign &= strays
    dying = [pid for pid in strays - _family.foreign if _put_down(pid)]
    if dying and attempt < _RETRIES:
        loop.call_later(_SOON_S * 2**attempt, sweep, loop, attempt + 1)


def _children() -> set[int]:
    """Orphans are always given to the main thread, so its children are all that matter here."""
    pid = os.getpid()
    try:
        file = os.open(f"/proc/self/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return set()  # a kernel without that file: nothing can be swept
    try:
        data = os.read(file, 65536)
        while data and not data.endswith(b" "):  # a pid cut in two
            more = os.read(file, 65536)
            data += more
            if not more:
                break
        return {int(word) for word in data.split()}
    finally:
        os.close(file)


def _put_down(pid: int) -> bool:
    """True while this child still has to be looked at again."""
    try:
        state, session = _state_and_session(pid)
        if session == os.getsid(0):
            _family.foreign.add(pid)
            return False
        if state == "Z":
            return os.waitpid(pid, os.WNOHANG)[0] == 0
        token = _token(pid)
        if token is None or token in _family.live or not token.startswith(_family.prefix.encode()):
            return state == "X"
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, ChildProcessError, FileNotFoundError, PermissionError):
        return False
    return True


def _state_and_session(pid: int) -> tuple[str, int]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
    return fields[0].decode(), int(fields[3])


def _token(pid: int) -> bytes | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError as error:
        if error.errno == errno.ESRCH:  # between death and zombie
            raise ProcessLookupError from error
        raise
    return next((entry[len(_VARIABLE) :] for entry in variables if entry.startswith(_VARIABLE)), None)
