"""What a process that stays says, stream by stream: its messages on one channel, and its plain output."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler.assignments import Assignments
from gridsidecar.handler.lines import LineSplitter, MessageScanner
from gridsidecar.handler.process import Process, Sink, Sinks
from gridsidecar.wire import LineSource

OnLine = Callable[[bytes, LineSource], None]
OnMissed = Callable[[bytes, bytes, LineSource], None]  # the beginning and the end of a line that was too long


class PersistentOutput:
    """Plain output goes to the ear of `assignments`, what may be a message to `on_line`."""

    def __init__(
        self, settings: HandlerSettings, assignments: Assignments, on_line: OnLine, on_missed: OnMissed
    ) -> None:
        self._assignments = assignments
        self._on_line = on_line
        self._on_missed = on_missed
        self._offers_pipe = settings.channel != "stdout"
        self.channel: LineSource | None = None if settings.channel == "auto" else LineSource(settings.channel)
        self._splitter = LineSplitter(on_discard=partial(self._missed, LineSource.EVENTS))
        self._scanner = MessageScanner(self._take_text, self._stdout_line, partial(self._missed, LineSource.STDOUT))

    def sinks(self, on_closed: Callable[[Sink | None], None]) -> Sinks:
        events = self._take_events if self._offers_pipe else None
        return Sinks(stdout=self._take_stdout, stderr=self._take_stderr, events=events, closed=on_closed)

    def is_channel(self, sink: Sink) -> bool:
        """It can be heard no more without this stream."""
        own = self._take_events if self.channel is LineSource.EVENTS else self._take_stdout
        return sink == own and self.channel is not None

    def read_all(self, process: Process) -> None:
        """What is in the pipes already."""
        process.read_now(self._take_events, self._take_stdout, self._take_stderr)

    def read_text(self, process: Process) -> None:
        """The same, of those that carry no messages."""
        if self.channel is LineSource.EVENTS:
            process.read_now(self._take_stderr, self._take_stdout)
        else:
            process.read_now(self._take_stderr)

    def finish(self) -> None:
        """All output is here; a last line may lack its LF."""
        for line in self._splitter.finish():
            self._event_line(line)
        self._scanner.finish()

    # -- the streams --------------------------------------------------------------------------------------------------

    def _take_events(self, data: bytes) -> None:
        self._assignments.ear.heard()
        for line in self._splitter.feed(data):
            self._event_line(line)

    def _take_stdout(self, data: bytes) -> None:
        self._assignments.ear.heard()
        if self.channel is LineSource.EVENTS:
            self._assignments.ear.take_text(data)
        else:
            self._scanner.feed(data)

    def _take_stderr(self, data: bytes) -> None:
        self._assignments.ear.heard()
        self._assignments.ear.take_stderr(data)

    def _take_text(self, data: bytes) -> None:
        self._assignments.ear.take_text(data)

    def _event_line(self, line: bytes) -> None:
        if not line:
            return
        if self.channel is LineSource.STDOUT:
            self._assignments.ear.ignore("on the events pipe, but it said on stdout that it is ready")
        else:
            self._on_line(line, LineSource.EVENTS)

    def _stdout_line(self, line: bytes) -> None:
        if self.channel is LineSource.EVENTS or (b'"gs"' not in line and b"\\u00" not in line):
            self._assignments.ear.take_text(line + b"\n")
        else:
            self._on_line(line, LineSource.STDOUT)

    def _missed(self, channel: LineSource, head: bytes, tail: bytes) -> None:
        if channel is self.channel:
            self._on_missed(head, tail, channel)
        else:
            self._assignments.between.miss(head)
