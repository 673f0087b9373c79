"""Children that became ours: what escaped from a handler is killed, and unknown zombies are reaped.

A handler may start processes that leave its process group. With this process as their subreaper (or as PID 1) they
become our children once their parents are gone, and two marks tell whose they are. A token in the environment is what
others can look for; but a program may empty or overwrite its environment, or forbid to read it. So each child is born
with a number of its own as its limit of file locks, which Linux passes on to all descendants, shows to everybody, and
has not used for anything else since 2.4.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import resource
import signal
from collections.abc import Callable

from msgspec import Struct, field

from gridsidecar import telemetry

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_VARIABLE = b"GRIDSIDECAR_RUN="
_RLIMIT_LOCKS = 10
_LOCKS_LINE = b"Max file locks"
_SOON_S = 0.02  # also the first pause before looking again at what was just killed, which doubles
_RETRIES = 8
_SEVERAL = 1 << 61  # above all marks of sidecars that are one process
_EACH = 1 << 24  # runs of one of several processes; beyond, only the supervisor may take one for a sibling's
_ALL = 1 << 36


class _Family(Struct):
    """The children of this process, which are one list for all of it."""

    adopting: bool = field(default_factory=lambda: os.getpid() == 1)
    owned: set[int] = field(default_factory=set)  # started by us, reaped by whoever started them
    foreign: set[int] = field(default_factory=set)  # older than we, or a library's own: not our business
    live: set[int] = field(default_factory=set)  # runs that are not over
    runs: int = 0  # the last one's number
    prefix: str = field(default_factory=lambda: f"{os.getpid()}-{os.urandom(6).hex()}-")  # of a token; a number follows
    locks: int = field(default_factory=lambda: int.from_bytes(os.urandom(3)) + 1 << 32)  # the limit of run 0
    sweeping: asyncio.AbstractEventLoop | None = None  # where the next sweep is planned


_family = _Family()


def become_subreaper() -> bool:
    """Orphans below us become our children instead of init's. Called once at start; False where the system refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        return False
    if not _family.adopting:
        _family.foreign |= _children()  # left to us by the program that we were before
    _family.adopting = True
    return True


def hide_from_children() -> None:
    """Handlers of the same user cannot read our environment, memory or open files in /proc. (Root's still can, and
    everybody can read our arguments.)"""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def share_marks(marks: str, process: int) -> None:
    """This process is one of several of a sidecar: its marks are among those that its supervisor knows."""
    _family.prefix, _family.locks = f"{marks}-{process}-", _base(marks) + process * _EACH % _ALL


def know_marks(marks: str) -> None:
    """Whatever has one of these and becomes our child was started by a sibling of theirs that is dead."""
    _family.prefix, _family.locks, _family.runs = f"{marks}-", _base(marks), _ALL


def _base(marks: str) -> int:
    return _SEVERAL + int(marks, 16) * _ALL


def new_token() -> str:
    """A mark for one attempt's processes, unlike every other on this machine."""
    _family.runs += 1
    _family.live.add(_family.runs)
    return f"{_family.prefix}{_family.runs}"


def marked(token: str, start: Callable[[], int]) -> int:
    """What `start` starts, which is a pid, has the mark that nobody gets rid of; where the system lets us."""
    own = resource.getrlimit(_RLIMIT_LOCKS)
    try:
        resource.setrlimit(_RLIMIT_LOCKS, (_family.locks + _number(token), own[1]))
    except (OSError, ValueError):
        return start()
    try:
        return start()
    finally:
        resource.setrlimit(_RLIMIT_LOCKS, own)


def own(pid: int) -> None:
    """`pid` was started by us and will be reaped by who started it."""
    _family.owned.add(pid)


def disown(pid: int) -> None:
    """`pid` is reaped."""
    _family.owned.discard(pid)


def release(pid: int | None, token: str) -> None:
    """The attempt is over: `pid` is reaped, and nothing with its token may live on."""
    if pid is not None:
        _family.owned.discard(pid)
    _family.live.discard(_number(token))


def _number(token: str) -> int:
    return int(token.rpartition("-")[2])


def sweep_soon(loop: asyncio.AbstractEventLoop) -> None:
    """Sweep in a moment, once for all attempts that end until then."""
    if _family.adopting and _family.sweeping is not loop:
        _family.sweeping = loop
        loop.call_later(_SOON_S, sweep, loop)


def sweep(loop: asyncio.AbstractEventLoop, attempt: int = 0) -> None:
    """Kill what outlived its attempt and reap unknown zombies; looks again a little later while some are dying."""
    _family.sweeping = None
    if _sweep() and attempt < _RETRIES:
        loop.call_later(_SOON_S * 2**attempt, sweep, loop, attempt + 1)


async def finish() -> None:
    """All runs are over, and we leave: nothing that we adopted outlives us."""
    _family.live.clear()
    for attempt in range(_RETRIES):
        if not _sweep():
            return
        await asyncio.sleep(_SOON_S * 2**attempt)


def _sweep() -> bool:
    """True while something is dying."""
    if not _family.adopting:
        return False
    strays = _children() - _family.owned
    _family.foreign &= strays
    dying = [pid for pid in strays - _family.foreign if _put_down(pid)]
    return bool(dying)


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
            reaped = os.waitpid(pid, os.WNOHANG)[0] != 0
            telemetry.counts["orphans reaped"] += reaped
            return not reaped
        if _may_stay(_run_of(pid)):
            return state == "X"
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, ChildProcessError, FileNotFoundError, PermissionError):
        return False
    return True


def _state_and_session(pid: int) -> tuple[str, int]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
    return fields[0].decode(), int(fields[3])


def _may_stay(run: int | None) -> bool:
    """What cannot be told from a running attempt's waits until none runs. PID 1 adopts for its whole container: what
    is not marked may come from a person's `kubectl exec`, and dies with the container anyway."""
    if run is None:
        return bool(_family.live) or os.getpid() == 1
    return run in _family.live


def _run_of(pid: int) -> int | None:
    """The number of the run that it comes from; None when it is none of ours, as far as can be seen."""
    run = _limit(pid) - _family.locks
    if not 0 < run <= _family.runs:
        token = _token(pid).decode("ascii", "replace")
        run = _number(token) if token.startswith(_family.prefix) else 0
    return run or None


def _limit(pid: int) -> int:
    for line in _file(pid, "limits").splitlines():
        if line.startswith(_LOCKS_LINE):
            soft = line[len(_LOCKS_LINE) :].split()[0]
            return int(soft) if soft.isdigit() else 0
    return 0


def _token(pid: int) -> bytes:
    for entry in _file(pid, "environ").split(b"\0"):
        if entry.startswith(_VARIABLE):
            return entry[len(_VARIABLE) :]
    return b""


def _file(pid: int, name: str) -> bytes:
    """Empty when it is not ours to see; ProcessLookupError when the process is gone."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except PermissionError:
        return b""
    except OSError as error:
        if error.errno == errno.ESRCH:  # between death and zombie
            raise ProcessLookupError from error
        raise
