"""Suspects: tasks that may have ended a process under others, and get one to themselves. Pure.

`lifecycle` answers `AwaitOwnProcess` for them, `delivery.admission` waits for a process before the claim,
`handler.isolation` has them run in one.
"""

from __future__ import annotations

MOST_OWN_PROCESSES = 4  # in processes beside the others: memory is not to grow by a process for each task of a dead one


def is_suspect(crashes: int) -> bool:
    """If it was the one, it fails by itself next time and takes nobody with it."""
    return crashes > 0


def own_processes(width: int) -> int:
    """How many suspects may run at the same time, of `width` attempts of a handler whose tasks share processes."""
    return min(MOST_OWN_PROCESSES, width // 2)
