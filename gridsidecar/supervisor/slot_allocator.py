"""Slots of handlers that run less tasks at a time than there are processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_Key = tuple[int, int]  # process, number


@dataclass(frozen=True, slots=True)
class SharedSlotRequest:
    """One process asks for one slot. The number is that process's own."""

    process: int
    number: int
    grant: Callable[[], None] = field(compare=False)

    @property
    def key(self) -> _Key:
        return self.process, self.number


class SlotAllocator:
    """First come, first served. A request waits, or holds a slot, until it is released."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        self._widths = widths
        self._held: dict[str, set[_Key]] = {name: set() for name in widths}
        self._waiting: dict[str, dict[_Key, SharedSlotRequest]] = {name: {} for name in widths}  # in their order

    def take(self, name: str, request: SharedSlotRequest) -> None:
        self._waiting[name][request.key] = request
        self._serve(name)

    def release(self, process: int, number: int) -> None:
        for name in self._widths:
            self._remove(name, (process, number))

    def drop(self, process: int) -> None:
        """It is dead, with all that it ran."""
        for name in self._widths:
            for key in [key for key in (*self._waiting[name], *self._held[name]) if key[0] == process]:
                self._remove(name, key)

    def _remove(self, name: str, key: _Key) -> None:
        self._waiting[name].pop(key, None)
        if key in self._held[name]:
            self._held[name].discard(key)
            self._serve(name)

    def _serve(self, name: str) -> None:
        while self._waiting[name] and len(self._held[name]) < self._widths[name]:
            request = self._waiting[name].pop(next(iter(self._waiting[name])))
            self._held[name].add(request.key)
            request.grant()
