"""Attempts that wait for a process, the longest first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Set
from contextlib import suppress
from typing import NamedTuple

from gridsidecar.handler.persistent_process import PersistentProcess
from gridsidecar.rules.task import CannotStart

Got = PersistentProcess | CannotStart | None  # None: the attempt was stopped while it waited


class Waiter(NamedTuple):
    task_id: str
    got: asyncio.Future[Got]

    def stop(self) -> None:
        """It needs no process any more."""
        if not self.got.done():
            self.got.set_result(None)


class WaitQueue:
    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()

    def __len__(self) -> int:
        return sum(not waiter.got.done() for waiter in self._waiters)

    def join(self, task_id: str) -> Waiter:
        waiter = Waiter(task_id, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        with suppress(ValueError):
            self._waiters.remove(waiter)

    def first(self, but_for: Set[str]) -> Waiter | None:
        """The one that waits longest, but for other attempts of these tasks."""
        for waiter in self._waiters:
            if not waiter.got.done() and waiter.task_id not in but_for:
                return waiter
        return None

    def fail(self, problem: str, most: int) -> bool:
        """Tell so many that no process starts for them; False when nobody waits."""
        waiting = [waiter for waiter in self._waiters if not waiter.got.done()]
        for waiter in waiting[:most]:
            waiter.got.set_result(CannotStart(problem))
        return bool(waiting)
