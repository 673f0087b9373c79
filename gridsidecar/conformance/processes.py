"""The processes that a handler started: found by a mark in their environment or by their group."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

VARIABLE = "GRIDSIDECAR_RUN"


def new_mark() -> str:
    """Unlike every other on this machine."""
    return os.urandom(8).hex()


def marked(mark: str, *, group: int) -> set[int]:
    """Living processes of this group, or with this mark in their environment."""
    entry = f"{VARIABLE}={mark}".encode()
    return {pid for pid in _all() if _alive(pid) and (_group(pid) == group or entry in _environment(pid))}


def names_of(pids: Iterable[int]) -> tuple[str, ...]:
    return tuple(sorted(filter(None, map(_name, pids))))


def reap(pids: Iterable[int]) -> None:
    """Those that became our children; they are dead or dying."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> list[bytes]:
    return _file(pid, "environ").split(b"\0")


def _name(pid: int) -> str:
    return _file(pid, "comm").decode("utf-8", "replace").strip()


def _alive(pid: int) -> bool:
    return _status(pid)[:1] not in ([], [b"Z"], [b"X"])


def _group(pid: int) -> int:
    words = _status(pid)
    return int(words[2]) if len(words) > 2 else 0


def _status(pid: int) -> list[bytes]:
    """From the state on; the name before it may hold anything."""
    return _file(pid, "stat").rpartition(b")")[2].split()


def _file(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:  # gone meanwhile, or not ours to see
        return b""
