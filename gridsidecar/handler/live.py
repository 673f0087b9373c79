"""What of a log is stored while its attempt runs: the beginning and the end, in parts."""

from __future__ import annotations

from collections import deque

from gridsidecar.handler.capture import KEPT_BYTES, LogText
from gridsidecar.rules.task import NewOutput, OutputPart

GROWING_BYTES = 4 * 1024  # a part with fewer is written again, longer: who says little by little makes few parts


class LiveText:
    """Knows how far a log is stored. It has no copy of it: what is behind the head and too old is left out."""

    def __init__(self, log: LogText) -> None:
        self._log = log
        self._growing = 0  # the byte at which the last part starts
        self._end = 0  # what is before this byte is stored, or gone
        self._kept: deque[tuple[int, int]] = deque()  # stored parts behind the head: start and end
        self._forgotten = 0  # behind the head, what is before this byte is not stored any more

    def news(self) -> NewOutput:
        """What is to be stored now; nothing where there is nothing new."""
        parts = []
        at, end = self._growing, self._end
        while end < self._log.total:
            start, data = self._log.since(at)
            if start > at:  # the last part cannot grow: some of it is gone from memory
                start, data = self._log.since(max(start, end))
            parts.append(OutputPart(start, data))
            at = end = start + len(data)
        return NewOutput(tuple(parts), self._outdated()) if parts else NewOutput()

    def _outdated(self) -> tuple[int, int] | None:
        if not self._kept or self._kept[0][0] <= self._forgotten:
            return None
        return self._log.head_size, self._kept[0][0]

    def stored(self, news: NewOutput) -> None:
        """All of that is in the database."""
        if news.outdated is not None:
            self._forgotten = news.outdated[1]
        for part in news.parts:
            self._end = part.start + len(part.data)
            self._growing = part.start if len(part.data) < GROWING_BYTES else self._end
            if part.start >= self._log.head_size:
                self._keep(part.start, self._end)

    def _keep(self, start: int, end: int) -> None:
        if self._kept and self._kept[-1][0] == start:
            self._kept.pop()
        self._kept.append((start, end))
        while end - self._kept[0][1] >= KEPT_BYTES:
            self._kept.popleft()
