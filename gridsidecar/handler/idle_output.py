"""What a process that stays says beside its tasks: kept for their logs, and never taken for their own."""

from __future__ import annotations

from gridsidecar import wire
from gridsidecar.handler.assignment import Assignment
from gridsidecar.handler.attempt_output import SHOWN_BYTES
from gridsidecar.handler.capture import STDERR_BYTES, Tail

_KEPT_BYTES = 8 * 1024


class IdleOutput:
    """Hears what a `Assignment` hears, and lets none of it decide anything."""

    def __init__(self) -> None:
        self._text = Tail(_KEPT_BYTES)
        self._stderr = Tail(STDERR_BYTES)
        self._ignored = 0
        self.total = 0  # bytes of text until now

    @property
    def silent(self) -> bool:
        return not self.total

    @property
    def last_words(self) -> str:
        """The last line on stderr that tells something."""
        return self._stderr.last_line()

    def heard(self) -> None:
        pass

    def take_text(self, data: bytes) -> None:
        self.total += len(data)
        self._text.write(data)

    def take_stderr(self, data: bytes) -> None:
        self.take_text(data)
        self._stderr.write(data)

    def hear(self, event: wire.Event | wire.Ignored | wire.Unreadable) -> None:
        match event:
            case wire.LogEvent(level, message):
                self.take_text(f"{level}: {message}\n".encode("utf-8", "replace"))
            case wire.HeartbeatEvent():
                pass
            case wire.Ignored(reason):
                self.ignore(reason)
            case wire.Unreadable(reason):
                self.ignore(f"{reason}, while it had no task")
            case _:
                self.ignore(f"{_WORDS.get(type(event), 'an event')} while it had no task")

    def ignore(self, reason: str) -> None:
        self._ignored += 1
        self.take_text(f"[ignored: {reason}]\n".encode("utf-8", "replace"))

    def miss(self, head: bytes) -> None:
        self.ignore(f"a line over 4 MiB: {head[:SHOWN_BYTES]!r}")

    def move_to(self, assignment: Assignment) -> None:
        """The next task is there: what was said until now stands at the start of its log, and is marked."""
        assignment.log.write(b"[before this task]\n" + self._text.bytes(), "between")
        assignment.log.write(b"[this task]\n", "log")
        assignment.ignored += self._ignored

    def show(self, assignment: Assignment) -> None:
        """Several tasks were there: this one is over, and what was said since it began may be about it."""
        said = self._text.bytes()[-(self.total - assignment.hears_from) :]
        assignment.log.write(b"[of its process, beside several tasks]\n" + said, "between")


_WORDS: dict[type, str] = {
    wire.ResultEvent: "a result",
    wire.ErrorEvent: "an error",
    wire.ProgressEvent: "progress",
    wire.CheckpointEvent: "a checkpoint",
    wire.ReadyEvent: "ready",
}
