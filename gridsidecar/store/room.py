"""How much whoever takes callbacks has room for."""

from __future__ import annotations

from typing import Protocol


class Room(Protocol):
    """How much a caller has room for, as one look fills it."""

    def has_room(self, receiver: str) -> bool:
        """Whether there may be room for one more callback of this receiver."""
        ...

    def take(self, receiver: str, size: int) -> bool:
        """Whether there is room for one more callback of this receiver, with a body of about so many characters (0:
        nobody knows); if so, it is taken."""
        ...


class Unlimited:
    """Room for everything."""

    def has_room(self, receiver: str) -> bool:
        return True

    def take(self, receiver: str, size: int) -> bool:
        return True
