"""One bad row stops nobody: what the database will not let us change is found, told once, and left alone for a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.store.database import RowRejected

T = TypeVar("T")
MOST = 10_000  # rows that are remembered
FOUND_AT_ONCE = 100  # rows that one piece of work may find
REST = 3600.0  # seconds
HINT = "mend it, or what refuses the change (a trigger?); it is tried again in an hour, and when a worker starts"


class Ask:
    """Which rows not to work on, and the one that is being worked on."""

    def __init__(self, aside: tuple[str, ...]) -> None:
        self.aside = aside
        self.at: str | None = None
        self.fields: dict[str, str] = {}

    def looking_at(self, name: str, **fields: str) -> None:
        """Say which row is next, and by which fields it is told."""
        self.at, self.fields = name, fields


class Quarantine:
    """Rows, by a name of each, that this process leaves alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}  # monotonic seconds

    def __contains__(self, name: str) -> bool:
        return self._until.get(name, 0.0) > self._clock.monotonic()

    def add(self, name: str, seconds: float) -> bool:
        """Leave this row alone for so long. Whether that is news."""
        news = name not in self._until
        self._until[name] = self._clock.monotonic() + seconds
        if len(self._until) > MOST:
            del self._until[next(iter(self._until))]
        return news

    def forget(self, name: str) -> None:
        """The row can be changed after all."""
        self._until.pop(name, None)

    def rejected(self, name: str, fields: Mapping[str, str], seconds: float = REST, hint: str = HINT) -> None:
        """The database refused to change this row: it is left alone, and that is told once."""
        if self.add(name, seconds):
            telemetry.error("a row cannot be changed, and is left alone", **fields, hint=hint)

    def ask(self) -> Ask:
        """For work that is about to begin."""
        now = self._clock.monotonic()
        names = tuple(name for name, until in self._until.items() if until > now)
        return Ask(names or ("",))  # no row has an empty name, and a list must not be empty

    async def passing(self, work: Callable[[Ask], Awaitable[T]]) -> T:
        """The result of work in one transaction, done again without each row that is rejected.

        `work` names each row before it touches it.
        """
        for _ in range(FOUND_AT_ONCE):
            ask = self.ask()
            try:
                return await work(ask)
            except RowRejected as error:
                if ask.at is None:  # no row is at fault
                    raise
                self.rejected(ask.at, {**ask.fields, "error": str(error)})
                last = error
        raise last
