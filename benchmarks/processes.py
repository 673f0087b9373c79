"""CPU time and memory of running processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HANDLER_MARK = "GRIDSIDECAR_BENCHMARK_HANDLER"  # a variable that handlers alone have
_TICK = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of CPU so far: of a program's own processes, and of the commands that it runs."""

    own: float
    commands: float

    def since(self, earlier: Usage) -> Usage:
        return Usage(self.own - earlier.own, self.commands - earlier.commands)


def usage(root: int) -> Usage:
    """Of a program that runs commands: children that have ended, and living ones that bear the mark, are commands."""
    own = commands = 0.0
    for pid in descendants(root):
        try:
            itself, ended = _cpu(pid)
            if is_handler(pid):
                commands += itself + ended
            else:
                own, commands = own + itself, commands + ended
        except _GONE:
            continue
    return Usage(own, commands)


def tree_cpu(root: int) -> float:
    """Seconds of CPU of a process, its living descendants, and the dead ones they waited for."""
    spent = usage(root)
    return spent.own + spent.commands


def resident_mib(root: int) -> float:
    """Resident memory in MiB of a program without its commands, shared pages counted in each of its processes."""
    return _memory(root, "status", "VmRSS:")


def proportional_mib(root: int) -> float:
    """The same with each shared page counted once; costs the kernel a walk through all pages."""
    return _memory(root, "smaps_rollup", "Pss:")


def handlers_mib(root: int) -> float:
    """Resident memory in MiB of the commands of a program alone."""
    return sum(_resident(pid) for pid in descendants(root) if is_handler(pid))


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
    except _GONE:
        return 0.0


def descendants(root: int) -> Iterator[int]:
    """The process and all that live below it."""
    yield root
    try:
        lists = [file.read_text() for file in Path(f"/proc/{root}/task").glob("*/children")]
    except _GONE:
        return
    for child in " ".join(lists).split():
        yield from descendants(int(child))


def is_handler(pid: int) -> bool:
    try:
        return f"{HANDLER_MARK}=".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except _GONE:
        return False


def _cpu(pid: int) -> tuple[float, float]:
    """Of the process itself, and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own_user, own_system, user, system = (int(field) / _TICK for field in fields[11:15])
    return own_user + own_system, user + system


def _memory(root: int, file: str, key: str) -> float:
    total = 0.0
    for pid in descendants(root):
        try:
            rows = "" if is_handler(pid) else Path(f"/proc/{pid}/{file}").read_text()
        except _GONE:
            continue
        total += sum(int(row.split()[1]) for row in rows.splitlines() if row.startswith(key)) / 1024
    return total
