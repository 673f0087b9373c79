"""One bad row stops nobody: what the database will not let us change is found, told once, and left out from then on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from gridsidecar import telemetry
from gridsidecar.store.database import RowRejected

T = TypeVar("T")
MOST = 10_000  # rows that are remembered


@dataclass(slots=True)
class Ask:
    """How many rows to work on, and which not."""

    limit: int
    aside: tuple[str, ...]
    at: list[str] = field(default_factory=list)  # the row that is being worked on

    def looking_at(self, task_id: str) -> None:
        """Say which row is next."""
        self.at[:] = [task_id]


class Aside:
    """Rows, by their task's id, that this process leaves alone."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._ids

    async def sparing(self, work: Callable[[Ask], Awaitable[list[T]]], limit: int) -> list[T]:
        """The results of work on rows, all at once in one transaction. Where one is refused, one after the other.

        `work` names each row before it touches it, and returns as many results as there are rows.
        """
        try:
            return await work(self._ask(limit))
        except RowRejected:
            done: list[T] = []
        for _ in range(limit):
            ask = self._ask(1)
            try:
                found = await work(ask)
            except RowRejected as error:
                if not ask.at:  # no row is at fault
                    raise
                self.add(ask.at[0], str(error))
                continue
            if not found:
                break
            done += found
        return done

    def _ask(self, limit: int) -> Ask:
        return Ask(limit, tuple(self._ids) or ("",))  # no task has an empty id, and a list must not be empty

    def add(self, task_id: str, problem: str) -> None:
        """Leave this row alone from now on; told once."""
        if task_id in self._ids:
            return
        telemetry.error(
            "a row cannot be changed, and is left alone",
            task_id=task_id,
            error=problem,
            hint="the next start of a worker tries it again",
        )
        self._ids[task_id] = None
        if len(self._ids) > MOST:
            del self._ids[next(iter(self._ids))]
