"""What a handler says: its messages on two channels, its plain output, and which terminal message decides."""

from __future__ import annotations

from functools import partial
from typing import assert_never

from msgspec import Struct

from gridsidecar import wire
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler.attempt_output import AttemptOutput, OnProgress, noted
from gridsidecar.handler.capture import LogText, text_of
from gridsidecar.handler.lines import LineSplitter, MessageScanner
from gridsidecar.handler.outcome import StdoutResult, TerminalMessage
from gridsidecar.rules.task import Claim
from gridsidecar.wire.strict_json import JsonRefused, parse_json


class _Voice(Struct):
    """One channel of a handler: whether it was used, and the first terminal message on it."""

    channel: wire.LineSource
    used: bool = False  # for a valid message, or a terminal one that could not be read
    terminal: TerminalMessage | None = None
    too_long: TerminalMessage | None = None  # what counts where no other end came: one was over the line limit
    lost: bool = False  # a message over the line limit was discarded here, and nobody knows its type


class OneshotOutput(AttemptOutput):
    """Takes the three output streams of one attempt. A terminal message is provisional until the process is gone.

    One valid message on the events pipe, and stdout decides nothing: text from elsewhere that a handler prints can
    then not pass for its result.
    """

    def __init__(
        self, settings: HandlerSettings, claim: Claim, on_progress: OnProgress, log: LogText | None = None
    ) -> None:
        super().__init__(settings, claim, on_progress, log)
        self._events = _Voice(wire.LineSource.EVENTS)
        self._stdout = _Voice(wire.LineSource.STDOUT)
        self._splitter = LineSplitter(on_discard=partial(self._lose, self._events))
        self._scanner = MessageScanner(self.take_text, self._stdout_line, partial(self._lose, self._stdout))
        self._output = bytearray()
        self._output_size = 0
        if settings.result_from == "stdout":
            self.take_stdout = self._keep_output
        elif settings.channel == "events":
            self.take_stdout = self.take_text
        else:
            self.take_stdout = self._scanner.feed

    # -- the streams --------------------------------------------------------------------------------------------------

    def take_events(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            self._event_line(line)

    def finish(self) -> None:
        """All output is here; a last line may lack its LF."""
        for line in self._splitter.finish():
            self._event_line(line)
        self._scanner.finish()
        if self._events.used and self._stdout.terminal is not None:
            self.ignored += 1  # it came before the first message on the pipe
        # These lead back here. Without them an attempt is gone with its end, and is no garbage to be searched for.
        del self._splitter, self._scanner, self.take_stdout

    # -- what it came to ----------------------------------------------------------------------------------------------

    @property
    def terminal(self) -> TerminalMessage | None:
        """The terminal message that decides, if there is one."""
        return self._deciding.terminal or self._deciding.too_long

    @property
    def lost_message(self) -> bool:
        """A message on the deciding channel was too long to be read."""
        return self._deciding.lost or self._events.lost

    def output(self) -> StdoutResult:
        """The whole of stdout as a result: its JSON value, or else its text without line ends at the end."""
        if self._output_size > self._limit:
            return StdoutResult(None, self._output_size)
        text = text_of(self._output).rstrip("\r\n")
        if not text:
            return StdoutResult(None, 0)
        try:
            value = parse_json(text)
        except JsonRefused:
            value = text
        return StdoutResult(value, self._output_size)

    @property
    def _deciding(self) -> _Voice:
        return self._events if self._events.used else self._stdout

    # -- one line -----------------------------------------------------------------------------------------------------

    def _event_line(self, line: bytes) -> None:
        if line:
            self._hear(self._events, self._decode(line, self._events), line)

    def _stdout_line(self, line: bytes) -> None:
        # Programs that log JSON would cost a parse for each line. An encoder may write the marker with escapes.
        if b'"gs"' not in line and b"\\u00" not in line:
            self.take_text(line + b"\n")
            return
        heard = self._decode(line, self._stdout)
        if self._events.used and not isinstance(heard, wire.Text):
            self.ignored += 1
            self.take_text(line + b"\n")
            return
        self._hear(self._stdout, heard, line)

    def _decode(self, line: bytes, voice: _Voice) -> wire.Event | wire.Text | wire.Ignored | wire.Unreadable:
        return wire.decode_event(line, voice.channel, task_id=self.claim.task_id, attempt=self.claim.attempt)

    def _hear(self, voice: _Voice, heard: wire.Event | wire.Text | wire.Ignored | wire.Unreadable, line: bytes) -> None:
        match heard:
            case wire.Text():
                self.take_text(line + b"\n")
                return
            case wire.Ignored(reason):
                self.ignore(reason)
                return
            case wire.ResultEvent() | wire.ErrorEvent():
                self._take_terminal(voice, TerminalMessage(self.trimmed(heard), late=self.stopping))
            case wire.Unreadable(event=event, own=own):
                self.unreadable(heard)
                self._take_terminal(voice, TerminalMessage(event, late=self.stopping, unread=not own))
            case wire.ProgressEvent() | wire.CheckpointEvent():
                self._progress(voice, heard)
            case wire.LogEvent():
                self.log_event(heard)
            case wire.HeartbeatEvent() | wire.ReadyEvent():
                pass
            case _:
                assert_never(heard)
        voice.used = True

    def _take_terminal(self, voice: _Voice, terminal: TerminalMessage) -> None:
        if voice.terminal is not None:
            self.ignored += 1
            return
        voice.terminal = terminal

    def _progress(self, voice: _Voice, event: wire.ProgressEvent | wire.CheckpointEvent) -> None:
        if voice.terminal is None:
            self.on_progress(noted(event))
        else:
            self.ignored += 1

    def _keep_output(self, data: bytes) -> None:
        self._output_size += len(data)
        if self._output_size <= self._limit:
            self._output += data
        self.take_text(data)

    def _lose(self, voice: _Voice, head: bytes, tail: bytes) -> None:
        self.discarded(head)
        lost = wire.decode_ends(head, tail, voice.channel, task_id=self.claim.task_id, attempt=self.claim.attempt)
        match lost:
            case None:
                voice.lost = True
            case wire.Unreadable(event=event, own=own):
                voice.used = True
                voice.too_long = voice.too_long or TerminalMessage(event, late=self.stopping, unread=not own)
