"""When maintenance would look for a parked task: in a century that never comes, each type in one of its own, so that an
index has those of one type in the order in which they were parked."""

from __future__ import annotations

from zlib import crc32

CENTURIES = 59
FIRST = 1000  # years from now
CENTURY = 100  # years


def parked_for(task_type: str) -> int:
    """Years from now until maintenance would look for a parked task of this type."""
    return FIRST + CENTURY * (crc32(task_type.encode("utf-8", "surrogatepass")) % CENTURIES)


def parked_between(task_type: str) -> tuple[str, str]:
    """From when, and until before when, such checks of one type are."""
    start = 2000 + parked_for(task_type)
    return f"{start}-01-01 00:00:00.000", f"{start + CENTURY}-01-01 00:00:00.000"
