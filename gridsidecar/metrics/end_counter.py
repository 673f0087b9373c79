"""Tasks that came to their end, of all workers there were: from what is counted by the minute, a figure that grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from gridsidecar.clock import Clock
from gridsidecar.rules.task import Status

SETTLED = timedelta(minutes=3)  # after which workers have written what they counted in a minute


class Tallied(Protocol):
    """Of some kind of end, how many."""

    @property
    def outcome(self) -> Status: ...

    @property
    def count(self) -> int: ...


Between = Callable[[datetime, datetime], Awaitable[Iterable[Tallied]]]  # from one minute on, up to another


class EndCounter:
    """Counts from the start of this process on, each minute once, so nothing falls when old minutes are deleted."""

    def __init__(self, between: Between, clock: Clock) -> None:
        self._between = between
        self._clock = clock
        self._counted_until = self._settled()
        self._counts: Counter[str] = Counter({str(status): 0 for status in Status if status.terminal})

    async def counts(self) -> Mapping[str, int]:
        """By outcome. Raises what the store raises."""
        until = self._settled()
        if until > self._counted_until:
            tallies = await self._between(self._counted_until, until)
            self._counted_until = until
            for tally in tallies:
                if tally.outcome.terminal:  # attempts that are retried are counted by the minute, too
                    self._counts[str(tally.outcome)] += tally.count
        return self._counts

    def _settled(self) -> datetime:
        return (self._clock.now() - SETTLED).replace(second=0, microsecond=0)
