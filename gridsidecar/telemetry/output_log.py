"""`log.handler_output`: the lines that handlers print, also as lines of the worker's own log."""

from __future__ import annotations

from gridsidecar import telemetry
from gridsidecar.clock import Clock
from gridsidecar.rules.task import Claim

LONGEST_LINE = 2048  # bytes; the rest of a line is left out
BYTES_PER_SECOND = 128 * 1024  # of all handlers of this process: the log has room for its own lines beside them
LINES_PER_SECOND = 1000
_LINE_COSTS = BYTES_PER_SECOND // LINES_PER_SECOND


class OutputLog:
    """How much of it may be told right now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(BYTES_PER_SECOND)
        self._seen_at = clock.monotonic()

    def of(self, claim: Claim) -> AttemptLines:
        return AttemptLines(self, claim)

    def may_tell(self) -> bool:
        now = self._clock.monotonic()
        self._left = min(BYTES_PER_SECOND, self._left + (now - self._seen_at) * BYTES_PER_SECOND)
        self._seen_at = now
        return self._left > 0

    def told(self, size: int) -> None:
        self._left -= max(size, _LINE_COSTS)


class AttemptLines:
    """The lines of one attempt. What is too much is counted, and costs next to nothing."""

    def __init__(self, log: OutputLog, claim: Claim) -> None:
        self._log = log
        self._claim = claim
        self._begun: dict[str, bytes] = {}  # by stream: a line whose end has not come yet
        self._left_out = 0

    def hear(self, data: bytes, source: str) -> None:
        """Output as it arrives, and its source; notes of ours are no lines."""
        if source in telemetry.LEVELS:
            self._hear_event(data, source)
            return
        if source not in ("stdout", "stderr"):
            return
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            if not self._log.may_tell():
                self._left_out += data.count(b"\n", start)
                start = data.rfind(b"\n") + 1
                self._begun.pop(source, None)
                break
            self._tell(self._begun.pop(source, b"") + data[start : min(end, start + LONGEST_LINE)], source)
            start = end + 1
        if start < len(data):
            self._begun[source] = (self._begun.get(source, b"") + data[start : start + LONGEST_LINE])[:LONGEST_LINE]

    def _hear_event(self, data: bytes, level: str) -> None:
        """A log event comes whole."""
        if not self._log.may_tell():
            self._left_out += 1
            return
        self._tell(data.removeprefix(f"{level}: ".encode()).removesuffix(b"\n"), "log", level)

    def close(self) -> None:
        """The attempt is over: a last line may lack its end."""
        for source, line in self._begun.items():
            if self._log.may_tell():
                self._tell(line, source)
            else:
                self._left_out += 1
        self._tell_left_out()

    def _tell(self, line: bytes, stream: str, level: str = "info") -> None:
        self._tell_left_out()
        line = line[:LONGEST_LINE].rstrip(b"\r")
        self._log.told(len(line))
        telemetry.handler_said(self._claim, stream, line.decode("utf-8", "replace"), level)

    def _tell_left_out(self) -> None:
        if self._left_out:
            left_out, self._left_out = self._left_out, 0
            telemetry.handler_said_more(self._claim, left_out)
