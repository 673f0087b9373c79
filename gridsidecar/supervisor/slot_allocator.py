"""Slots of handlers that run less tasks at a time than there are processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SharedSlotRequest:
    """One process asks for one slot. The number is that process's own."""

    process: int
    number: int
    grant: Callable[[], None] = field(compare=False)


class SlotAllocator:
    """First come, first served. A request waits, or holds a slot, until it is released."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        self._widths = widths
        self._held: dict[str, list[SharedSlotRequest]] = {name: [] for name in widths}
        self._waiting: dict[str, deque[SharedSlotRequest]] = {name: deque() for name in widths}

    def take(self, name: str, request: SharedSlotRequest) -> None:
        self._waiting[name].append(request)
        self._serve(name)

    def release(self, process: int, number: int) -> None:
        self._remove(lambda one: one.process == process and one.number == number)

    def drop(self, process: int) -> None:
        """It is dead, with all that it ran."""
        self._remove(lambda one: one.process == process)

    def _remove(self, which: Callable[[SharedSlotRequest], bool]) -> None:
        for name in self._widths:
            self._held[name] = [one for one in self._held[name] if not which(one)]
            self._waiting[name] = deque(one for one in self._waiting[name] if not which(one))
            self._serve(name)

    def _serve(self, name: str) -> None:
        while self._waiting[name] and len(self._held[name]) < self._widths[name]:
            request = self._waiting[name].popleft()
            self._held[name].append(request)
            request.grant()
