"""What one attempt hears of its handler, in either mode: text for its log, progress, and a count of what is ignored."""

from __future__ import annotations

from collections.abc import Callable

from gridsidecar import wire
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler.capture import STDERR_BYTES, LogText, Tail
from gridsidecar.rules.task import Checkpoint, Claim, Progress
from gridsidecar.wire.strict_json import data_json

SHOWN_BYTES = 256  # of a line that could not be read

OnProgress = Callable[[Progress], None]


class AttemptOutput:
    """Takes note of output and events; knows nothing of channels and processes."""

    def __init__(
        self, settings: HandlerSettings, claim: Claim, on_progress: OnProgress, log: LogText | None = None
    ) -> None:
        self.claim = claim
        self.log = LogText() if log is None else log
        self.stderr_tail = Tail(STDERR_BYTES)
        self.ignored = 0
        self.stopping = False  # set once we asked the handler to end: what it says from then on is late
        self.on_progress = on_progress
        self._limit = settings.max_result_bytes

    def take_text(self, data: bytes) -> None:
        """Plain output on stdout."""
        self.log.write(data, "stdout")

    def take_stderr(self, data: bytes) -> None:
        self.stderr_tail.write(data)
        self.log.write(data, "stderr")

    def ignore(self, reason: str) -> None:
        self.ignored += 1
        self.log.write(f"[ignored: {reason}]\n".encode("utf-8", "replace"), "log")

    def discarded(self, head: bytes) -> None:
        """A line was too long to be read; `head` is its beginning."""
        self.ignored += 1
        self.log.write(b"[line over 4 MiB discarded] " + head[:SHOWN_BYTES] + b"\n", "log")

    def unreadable(self, end: wire.Unreadable) -> None:
        self.ignored += 1
        told = end.reason if end.own else end.event.error
        self.log.write(f"[{told}]\n".encode("utf-8", "replace"), "log")

    def log_event(self, event: wire.LogEvent) -> None:
        fields = f" {data_json(event.fields)}" if event.fields else ""
        self.log.write(f"{event.level}: {event.message}{fields}\n".encode("utf-8", "replace"), event.level)

    def trimmed(self, event: wire.ResultEvent | wire.ErrorEvent) -> wire.ResultEvent | wire.ErrorEvent:
        """A result that is too large is refused for its size; nothing else of it is needed."""
        if isinstance(event, wire.ResultEvent) and event.size > self._limit:
            return wire.ResultEvent(None, event.size)
        return event


def noted(event: wire.ProgressEvent | wire.CheckpointEvent) -> Progress:
    """How far an attempt is, by one event of its."""
    if isinstance(event, wire.CheckpointEvent):
        return Progress(checkpoint=Checkpoint(event.data))
    return Progress(event.percent, event.message)
