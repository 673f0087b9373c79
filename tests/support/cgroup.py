"""A memory limit of the kernel's for one process and what it starts, as a container has it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.waiting import eventually

ROOT = Path("/sys/fs/cgroup")


@contextmanager
def memory_limit(limit: int) -> Iterator[Path | None]:
    """The folder of a new cgroup; None where this machine lets us make none."""
    made = _make(limit)
    try:
        yield made
    finally:
        if made is not None:
            with suppress(OSError):
                made.rmdir()


def oom_kills(group: Path) -> int:
    """Processes that the kernel killed there for want of memory."""
    for name in ("memory.events", "memory.oom_control"):
        with suppress(OSError):
            words = (group / name).read_text().split()
            return int(words[words.index("oom_kill") + 1])
    return 0


def _make(limit: int) -> Path | None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for root, name in ((ROOT / "memory", "memory.limit_in_bytes"), (ROOT, "memory.max")):
            if controllers.split(",").count("memory") != (root != ROOT) or (root == ROOT and controllers):
                continue
            group = root / path.lstrip("/") / f"gridsidecar-{secrets.token_hex(4)}"
            try:
                group.mkdir()
                (group / name).write_text(str(limit))
            except OSError:
                with suppress(OSError):
                    group.rmdir()
                continue
            return group
    return None


def enter(group: Path) -> None:
    """For the child, before it becomes the program."""
    (group / "cgroup.procs").write_text(str(os.getpid()))


async def left(group: Path) -> None:
    """Wait until nobody is in it, so that it can be removed."""
    await eventually(lambda: not (group / "cgroup.procs").read_text().split())
