"""The kernel's count of processes killed for lack of memory in our cgroup: the evidence for `OutOfMemory`."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

_KILLS = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


def own_memory_events() -> Path | None:
    """The `memory.events` file of the cgroup (version 2) that this process is in, if there is one."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    group = next((line[3:] for line in groups if line.startswith("0::")), None)
    if group is None:
        return None
    # Inside a container the path often names the host's hierarchy, of which only the own part is mounted.
    places = [Path("/sys/fs/cgroup") / group.lstrip("/"), Path("/sys/fs/cgroup")]
    return next((place / "memory.events" for place in places if (place / "memory.events").is_file()), None)


class OomCounter:
    """Reads the counter through one open file, because it is read at the start of every attempt."""

    def __init__(self, path: Path | None) -> None:
        self._fd: int | None = None
        if path is not None:
            try:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._fd = None

    def kills(self) -> int:
        """Kills so far; 0 where the system does not count them."""
        if self._fd is None:
            return 0
        try:
            found = _KILLS.search(os.pread(self._fd, 4096, 0))
        except OSError:
            return 0
        return int(found[1]) if found else 0

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@cache
def own_oom_counter() -> OomCounter:
    return OomCounter(own_memory_events())
