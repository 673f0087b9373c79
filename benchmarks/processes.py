"""CPU time of running processes, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def own_cpu(pid: int) -> float:
    """Seconds of CPU that the process itself used."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK


def children_cpu(pid: int) -> float:
    """Seconds of CPU of the children that it has waited for, and theirs."""
    fields = _fields(pid)
    return (int(fields[13]) + int(fields[14])) / _TICK


def tree_cpu(pid: int) -> float:
    """Seconds of CPU of a process, its living descendants, and the dead ones they waited for."""
    return own_cpu(pid) + children_cpu(pid) + sum(tree_cpu(child) for child in _living_children(pid))


def resident_mib(pid: int) -> float:
    """Resident memory in MiB."""
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith("VmRSS:"):
            return int(row.split()[1]) / 1024
    return 0.0


def _living_children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (thread / "children").read_text().split()]
    return found
