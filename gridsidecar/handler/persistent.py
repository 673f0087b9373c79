"""One process that stays: it says that it is ready, then takes one task after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from gridsidecar import wire
from gridsidecar.config.settings import HandlerSettings
from gridsidecar.handler import Stop
from gridsidecar.handler.between import Between
from gridsidecar.handler.deadlines import Deadlines
from gridsidecar.handler.launch import Start
from gridsidecar.handler.lines import LineSplitter, MessageScanner
from gridsidecar.handler.process import Exit, Process, Sinks
from gridsidecar.handler.turn import Turn
from gridsidecar.handler.verdict import Cause, signal_name
from gridsidecar.wire import Channel

CLOSED_FOR_S = 1.0  # a process that closed a pipe gets so long to exit, which it most often is about to


class WarmProcess:
    """Whatever it says belongs to the task that it has (`Turn`) or to none (`Between`).

    `ready` resolves to None, or to a sentence: why it will never be. `gone` resolves once it is dead and reaped.
    """

    def __init__(self, start: Start, settings: HandlerSettings) -> None:
        """Starts it; OSError or ValueError when that fails."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[str | None] = self._loop.create_future()
        self.tasks = 0  # that it has begun
        self.spent = False  # it gets no other task
        self.deserted = False  # it left by itself, without having a task
        self._told = False  # to end, by us
        self._turn: Turn | None = None
        self._between = Between()
        self._ear: Turn | Between = self._between
        self._channel: Channel | None = None if settings.channel == "auto" else Channel(settings.channel)
        self._cancellable = False
        self._splitter = LineSplitter(on_discard=partial(self._missed, Channel.EVENTS))
        self._scanner = MessageScanner(
            lambda data: self._ear.take_text(data), self._stdout_line, partial(self._missed, Channel.STDOUT)
        )
        self._process = Process(start, self._sinks(settings))
        self.gone: asyncio.Future[Exit] = self._process.ended
        self.gone.add_done_callback(self._on_gone)
        self.started_at = self._loop.time()
        self._ready_timer = self._loop.call_later(settings.persistent.ready_timeout, self._not_ready_in_time)
        self._stop_timer: asyncio.TimerHandle | None = None  # from asking it to end to signals

    def _sinks(self, settings: HandlerSettings) -> Sinks:
        return Sinks(
            stdout=self._take_stdout,
            stderr=self._take_stderr,
            events=None if settings.channel == "stdout" else self._take_events,
            closed=self._on_closed,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def notes(self) -> tuple[str, ...]:
        return self._process.notes

    @property
    def farewell(self) -> str:
        """How it ended, for people."""
        error = self.gone.exception()
        return str(error) if error else _how(self.gone.result(), self._between.last_words)

    # -- a task -------------------------------------------------------------------------------------------------------

    async def take(self, turn: Turn, task: bytes | wire.Spliced, stop: Stop) -> None:
        """Give it a task, and wait until that is over; what came of it is in `turn`."""
        self._read_all()  # what it has said until now is not about this task
        if self.spent or self._process.exited:
            self.spent = turn.untouched = True
            return
        if not self._between.silent:
            self._between.pass_on(turn)
            self._between = Between()
        self._turn = self._ear = turn
        deadlines = Deadlines(turn.timeout, self._settings.stall_timeout, partial(self._end_for, turn))
        turn.begin(deadlines)
        before = self._process.sent
        self._process.send(task)
        stop.listen(partial(self._obey, turn, stop))
        try:
            await turn.over
        finally:
            deadlines.clear()
            if self._turn is turn:  # nobody waits for it any more
                self._let_go(turn)
                self.kill()
        if turn.exit is not None and self._process.taken <= before and not turn.overdue:
            turn.untouched = True
        else:
            self.tasks += 1

    def _let_go(self, turn: Turn) -> None:
        self._turn, self._ear = None, self._between
        if not turn.over.done():
            turn.over.set_result(None)

    def _settle(self, turn: Turn) -> None:
        """It has said how its task ended. What it had printed by then still belongs to that task."""
        self._call_off_stop()
        self._process.read_now(self._take_stderr)
        if self._channel is Channel.EVENTS:
            self._process.read_now(self._take_stdout)
        self._let_go(turn)
        if turn.lawless:
            self._stop()

    def _read_all(self) -> None:
        for sink in (self._take_events, self._take_stdout, self._take_stderr):
            self._process.read_now(sink)

    # -- ending a task or the process ---------------------------------------------------------------------------------

    def retire(self, grace: float) -> None:
        """It gets no other task: end of input, SIGTERM after `kill_grace`, SIGKILL `grace` seconds after that."""
        self.spent = self._told = True
        self._ready_timer.cancel()
        self._process.close_stdin()
        if self.ready.done():
            self._stop_later(self._settings.kill_grace, partial(self._process.stop, grace))
        else:
            self._process.stop(grace)

    def kill(self) -> None:
        self.spent = self._told = True
        self._process.kill()

    def _stop(self) -> None:
        self.spent = self._told = True
        self._process.stop(self._settings.kill_grace)

    def _stop_later(self, seconds: float, stop: Callable[[], None]) -> None:
        self._call_off_stop()
        self._stop_timer = self._loop.call_later(seconds, stop)

    def _call_off_stop(self) -> None:
        if self._stop_timer is not None:
            self._stop_timer.cancel()

    def _obey(self, turn: Turn, stop: Stop) -> None:
        if turn.over.done():
            return
        assert stop.reason is not None
        self._end_for(turn, Cause.of(stop.reason))
        if stop.hurried:
            self.kill()

    def _end_for(self, turn: Turn, cause: Cause) -> None:
        """By a message where it understands that, else, or when it does not obey, by signals."""
        if turn.over.done() or self._process.exited:
            return
        if turn.cause is None or cause is Cause.DISOWNED:
            turn.cause = cause
        if turn.stopping:
            return
        turn.stopping = True
        if not self._cancellable:
            self._stop()
            return
        turn.asked = True
        grace = self._settings.kill_grace
        self._process.send(wire.encode_cancel(turn.claim, reason=cause, grace_s=grace))
        self._stop_later(grace, self._stop)

    def _on_closed(self, sink: object) -> None:
        """It lives but has shut a pipe, or (None) its stdin. Without its channel it is of no use."""
        channel = self._take_events if self._channel is Channel.EVENTS else self._take_stdout
        if sink is None or (sink == channel and self._channel is not None):
            self.spent = True
            self._loop.call_later(CLOSED_FOR_S, self._end_closed)

    def _end_closed(self) -> None:
        if self._turn is not None:
            self._end_for(self._turn, Cause.CLOSED)
        self._stop()

    def _on_gone(self, gone: asyncio.Future[Exit]) -> None:
        self.spent = True
        self.deserted = self._turn is None and not self._told
        self._ready_timer.cancel()
        self._call_off_stop()
        turn = self._turn
        if (error := gone.exception()) is not None:
            if self._turn is not None and not self._turn.over.done():
                self._turn.over.set_exception(error)
            problem = f"it could not be listened to ({error})"
        else:
            for line in self._splitter.finish():
                self._event_line(line)
            self._scanner.finish()
            problem = f"it ended before it said that it is ready: {self.farewell}"
        if not self.ready.done():
            self.ready.set_result(problem)
        if turn is not None and (turn.said is None or turn.said.unread):
            turn.exit = None if error else gone.result()  # which may have cut what it was about to say
        if self._turn is not None:
            self._let_go(self._turn)

    # -- the streams --------------------------------------------------------------------------------------------------

    def _take_events(self, data: bytes) -> None:
        self._ear.heard()
        for line in self._splitter.feed(data):
            self._event_line(line)

    def _take_stdout(self, data: bytes) -> None:
        self._ear.heard()
        if self._channel is Channel.EVENTS:
            self._ear.take_text(data)
        else:
            self._scanner.feed(data)

    def _take_stderr(self, data: bytes) -> None:
        self._ear.heard()
        self._ear.take_stderr(data)

    def _event_line(self, line: bytes) -> None:
        if not line:
            return
        if self._channel is Channel.STDOUT:
            self._ear.ignore("on the events pipe, but it said on stdout that it is ready")
        else:
            self._line(line, Channel.EVENTS)

    def _stdout_line(self, line: bytes) -> None:
        if self._channel is Channel.EVENTS or (b'"gs"' not in line and b"\\u00" not in line):
            self._ear.take_text(line + b"\n")
        else:
            self._line(line, Channel.STDOUT)

    def _missed(self, channel: Channel, head: bytes, tail: bytes) -> None:
        if self._turn is None or channel is not self._channel:
            self._between.miss(head)
            return
        turn = self._turn
        turn.miss(head, tail, channel)
        if turn.said is not None:
            self._settle(turn)

    def _line(self, line: bytes, channel: Channel) -> None:
        turn = self._turn
        if turn is None:
            event = wire.decode_event(line, channel)
        else:
            event = wire.decode_event(
                line, channel, task_id=turn.claim.task_id, attempt=turn.claim.attempt, addressed=True
            )
        if isinstance(event, wire.Text):
            self._ear.take_text(line + b"\n")
        elif turn is not None:
            turn.hear(event)
            if turn.said is not None:
                self._settle(turn)
        elif self.ready.done():
            self._between.hear(event)
        else:
            self._hear_start(event, channel)

    # -- the start ----------------------------------------------------------------------------------------------------

    def _hear_start(self, event: wire.Event | wire.Ignored | wire.Unreadable, channel: Channel) -> None:
        match event:
            case wire.ReadyEvent(capabilities=capabilities):
                self._ready_timer.cancel()
                self._channel = channel
                self._cancellable = "cancel" in capabilities
                self.ready.set_result(None)
            case wire.ErrorEvent(error=error) | wire.Unreadable(event=wire.ErrorEvent(error=error), kind="error"):
                self._ready_timer.cancel()
                self.ready.set_result(f"it said that it cannot start: {error}")
                self._stop()
            case _:
                self._between.hear(event)

    def _not_ready_in_time(self) -> None:
        seconds = self._settings.persistent.ready_timeout
        said = self._between.last_words
        self.ready.set_result(
            f'it did not send {{"gs":1,"type":"ready"}} within {seconds:g} s (persistent.ready_timeout); '
            f"a command that knows nothing of this needs mode: oneshot{said and '; on stderr it said: ' + said}"
        )
        self._stop()


def _how(exit_: Exit, last_words: str) -> str:
    end = f"exit status {exit_.code}" if exit_.signal is None else f"killed by {signal_name(exit_.signal)}"
    return f"{end}: {last_words}" if last_words else end
