"""When a process that stays has served its time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from gridsidecar.config.handlers import PersistentSettings
from gridsidecar.handler.persistent import WarmProcess

_MEBIBYTE = 1024 * 1024
_PAGE = os.sysconf("SC_PAGE_SIZE")


def recycling_reason(process: WarmProcess, limits: PersistentSettings) -> str | None:
    """The limit that it has reached; asked for after each of its tasks."""
    if limits.max_tasks and process.tasks >= limits.max_tasks:
        return "max_tasks"
    if limits.max_age and asyncio.get_running_loop().time() - process.started_at >= limits.max_age:
        return "max_age"
    if limits.max_rss_mb and _resident_bytes(process.pid) > limits.max_rss_mb * _MEBIBYTE:
        return "max_rss_mb"
    return None


def _resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except OSError:
        return 0
