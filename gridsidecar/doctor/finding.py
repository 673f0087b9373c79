"""What a check found, and what there is to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class State(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, but not as it should, or not for long
    FAIL = "fail"  # it cannot work
    UNKNOWN = "unknown"  # it could not be found out


class Finding(Struct, frozen=True):
    """`found` is what is there, `advice` what to do about it; both in plain words, without passwords."""

    state: State
    found: str
    advice: str = ""


Examine = Callable[[], Awaitable[Finding]]


class Diagnostic(Struct, frozen=True):
    """One question. `id` is stable: its first word is the area. Where `vital`, no answer is a failure."""

    id: str
    examine: Examine
    vital: bool = False


class Diagnosis(Struct, frozen=True):
    """A check with what it found."""

    id: str
    finding: Finding

    @property
    def area(self) -> str:
        return self.id.partition(".")[0]


class CannotTell(Exception):
    """Why something could not be found out, in one sentence."""


class Asked(Generic[T]):
    """What several checks need to know: asked once, when the first of them wants it. `by` is the check that tells of
    its failure; the others only name that."""

    def __init__(self, by: str, ask: Callable[[], Awaitable[T]]) -> None:
        self._by = by
        self._ask = ask
        self._answer: asyncio.Future[T] | None = None

    async def answer(self) -> T:
        """Raises what the question raised."""
        if self._answer is None:
            self._answer = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._answer)

    async def known(self) -> T:
        """For a check that is about something else. Raises CannotTell."""
        try:
            return await self.answer()
        except CannotTell:  # it hangs on another itself
            raise
        except Exception as error:
            raise CannotTell(f"could not be asked: see {self._by}") from error

    async def forget(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            await asyncio.gather(self._answer, return_exceptions=True)


def ok(found: str) -> Finding:
    return Finding(State.OK, found)


def warn(found: str, advice: str) -> Finding:
    return Finding(State.WARN, found, advice)


def fail(found: str, advice: str) -> Finding:
    return Finding(State.FAIL, found, advice)


def unknown(found: str, advice: str = "") -> Finding:
    return Finding(State.UNKNOWN, found, advice)


def at_once(check: Callable[[], Finding]) -> Examine:
    """A check that waits for nobody."""

    async def examine() -> Finding:
        return check()

    return examine
