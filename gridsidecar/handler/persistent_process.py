"""One process that stays: it says that it is ready, then takes tasks, as many at once as it said."""

from __future__ import annotations

import asyncio
from functools import partial

from gridsidecar import telemetry, wire
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.handler import Stop
from gridsidecar.handler.assignment import Assignment
from gridsidecar.handler.assignments import Assignments
from gridsidecar.handler.launch import Start
from gridsidecar.handler.outcome import Cause, signal_name
from gridsidecar.handler.persistent_output import PersistentOutput
from gridsidecar.handler.process import Exit, Process, Sink
from gridsidecar.rules.task import Displaced, ErrorType
from gridsidecar.wire import LineSource

CLOSED_FOR_S = 1.0  # a process that closed a pipe gets so long to exit, which it most often is about to


class PersistentProcess:
    """Each of its tasks is an `Assignment` with its own times and its own end; one at a time where that is all.

    `ready` resolves to None, or to a sentence: why it will never be. `leaving` resolves when it gets no other task,
    `gone` once it is dead and reaped.
    """

    def __init__(self, start: Start, settings: HandlerSettings) -> None:
        """Starts it; OSError or ValueError when that fails."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[str | None] = self._loop.create_future()
        self.leaving: asyncio.Future[None] = self._loop.create_future()
        self.concurrency = 1  # tasks that it takes at once
        self.promised: set[str] = set()  # ids of those that it has, or is about to get
        self.tasks = 0  # that it has begun
        self.draining = False  # it gets no other task
        self.exited_idle = False  # it left by itself, without having a task
        self.crashed = False  # … or with some
        self._told_to_end = False  # by us
        self._given_up = False  # one of its tasks did not end in time
        self._broken = ""  # why nobody can tell any more which of its tasks it speaks of
        self._cancellable = False
        self.assignments = Assignments()
        self._output = PersistentOutput(settings, self.assignments, self._line, self._missed)
        self._process = Process(start, self._output.sinks(self._on_closed))
        self.gone: asyncio.Future[Exit] = self._process.ended
        self.gone.add_done_callback(self._on_gone)
        self.started_at = self._loop.time()
        self._ready_timer = self._loop.call_later(settings.persistent.ready_timeout, self._not_ready_in_time)
        self._stop_timer: asyncio.TimerHandle | None = None  # from the end of its input to signals

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def notes(self) -> tuple[str, ...]:
        return self._process.notes

    @property
    def exit_text(self) -> str:
        """How it ended, for people."""
        error = self.gone.exception()
        return str(error) if error else _how(self.gone.result(), self.assignments.between.last_words)

    # -- a task -------------------------------------------------------------------------------------------------------

    async def take(self, assignment: Assignment, task: bytes | wire.Spliced, stop: Stop) -> None:
        """Give it a task, and wait until that is over; what came of it is in the assignment."""
        if not self.assignments:
            self._output.read_all(self._process)  # what it has said until now is not about this task
        if self.draining or self._process.exited:
            self.drain()
            assignment.never_read = True
            return
        self.assignments.begin(assignment)
        assignment.begin(partial(self._end_for, assignment), self._process.sent)
        self._process.send(task)
        stop.listen(partial(self._obey, assignment, stop))
        try:
            await assignment.over
        finally:
            if assignment in self.assignments:  # nobody waits for it any more
                self._let_go(assignment)
                self.kill()
        self.tasks += not assignment.never_read

    def _let_go(self, assignment: Assignment) -> None:
        self.assignments.end(assignment)
        assignment.finish()

    def _settle(self, assignment: Assignment) -> None:
        """It has said how its task ended. What it had printed by then still belongs to that task, if to any."""
        if not self.assignments.several:
            self._output.read_text(self._process)
        self._let_go(assignment)
        if assignment.protocol_broken:
            self._stop()
        elif self._given_up:
            self._end_if_all_hang()

    # -- ending a task ------------------------------------------------------------------------------------------------

    def _obey(self, assignment: Assignment, stop: Stop) -> None:
        if assignment.over.done():
            return
        assert stop.reason is not None
        self._end_for(assignment, Cause.of(stop.reason))
        if stop.hurried:
            self.kill()

    def _end_for(self, assignment: Assignment, cause: Cause) -> None:
        """By a message where it understands that, else, or when it does not obey, by signals."""
        if assignment.over.done() or self._process.exited:
            return
        if assignment.cause is None or cause is Cause.DISOWNED:
            assignment.cause = cause
        if assignment.stopping:
            return
        assignment.stopping = True
        if not self._cancellable:  # so it has no other task
            self._stop()
            return
        grace = self._settings.kill_grace
        self._process.send(wire.encode_cancel(assignment.claim, reason=cause, grace_s=grace))
        assignment.expect_end(grace, self._unanswered)

    def _unanswered(self, assignment: Assignment) -> None:
        """This one costs its process, but not its neighbours their time."""
        assignment.hung = self._given_up = True
        self.drain()
        if self.assignments.several:
            telemetry.warning(
                "handler process is given up: a task of its does not end",
                pid=self.pid,
                task_id=assignment.claim.task_id,
                cause=assignment.cause,
                others=len(self.assignments) - 1,
            )
        self._end_if_all_hang()

    def _end_if_all_hang(self) -> None:
        if all(assignment.hung for assignment in self.assignments):
            self._stop()

    # -- ending the process -------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """It gets no other task."""
        if not self.draining:
            self.draining = True
            self.leaving.set_result(None)

    def retire(self, grace: float) -> None:
        """End of input, SIGTERM after `kill_grace`, SIGKILL `grace` seconds after that. It has no task."""
        self.drain()
        self._told_to_end = True
        self._ready_timer.cancel()
        self._process.close_stdin()
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        if self.ready.done():
            self._stop_timer = self._loop.call_later(self._settings.kill_grace, self._process.stop, grace)
        else:
            self._process.stop(grace)

    def kill(self) -> None:
        self.drain()
        self._told_to_end = True
        self._process.kill()

    def _stop(self) -> None:
        self.drain()
        self._told_to_end = True
        self._process.stop(self._settings.kill_grace)

    def _break(self, why: str) -> None:
        """None of its tasks can be told from the others any more."""
        self._broken = self._broken or why
        self._stop()

    def _on_closed(self, sink: Sink | None) -> None:
        """It lives but has shut a pipe, or (None) its stdin. Without its channel it is of no use."""
        if sink is None or self._output.is_channel(sink):
            self.drain()
            self._loop.call_later(CLOSED_FOR_S, self._end_closed)

    def _end_closed(self) -> None:
        if self.assignments.several:
            self._break("it closed its end of a pipe")
        for assignment in self.assignments if not self.assignments.several else ():
            self._end_for(assignment, Cause.CLOSED)
        self._stop()

    # -- its end ------------------------------------------------------------------------------------------------------

    def _on_gone(self, gone: asyncio.Future[Exit]) -> None:
        self._ready_timer.cancel()
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        self.exited_idle = not self.assignments and not self._told_to_end
        assignments = list(self.assignments)
        if (error := gone.exception()) is not None:
            for assignment in assignments:
                if not assignment.over.done():
                    assignment.over.set_exception(error)
            problem = f"it could not be listened to ({error})"
        else:
            self._output.finish()
            problem = f"it ended before it said that it is ready: {self.exit_text}"
            if gone.result().code == 0:
                problem = f"{problem}; a command that knows nothing of this needs mode: oneshot"
            self._end_with_it(
                [assignment for assignment in assignments if assignment.terminal is None or assignment.terminal.unread],
                gone.result(),
            )
        if not self.ready.done():
            self.ready.set_result(problem)
        for assignment in self.assignments:
            self._let_go(assignment)
        self.drain()

    def _end_with_it(self, assignments: list[Assignment], how: Exit) -> None:
        """What its end, which may have cut what it was about to say, means for these tasks of its."""
        for assignment in assignments:
            assignment.exit = how
            assignment.never_read = self._process.taken <= assignment.sent_at and not assignment.overdue
        begun = [assignment for assignment in assignments if not assignment.never_read]
        innocent = [assignment for assignment in begun if assignment.cause is None]
        self.crashed = bool(innocent)
        if len(begun) > 1 and innocent:
            self._displace(innocent, begun, how)

    def _displace(self, innocent: list[Assignment], begun: list[Assignment], how: Exit) -> None:
        """Nobody knows which of them did it, unless we were ending one."""
        suspect = len(innocent) == len(begun) and (not self._told_to_end or bool(self._broken))
        words = self._broken or _how(how, self.assignments.between.last_words)
        telemetry.warning(
            "handler process ended with several tasks, which are given back",
            pid=self.pid,
            reason=words,
            tasks=" ".join(assignment.claim.task_id for assignment in innocent),
            ending=" ".join(assignment.claim.task_id for assignment in begun if assignment.cause is not None),
        )
        end = Displaced(
            error=f"its process ended with {len(begun)} tasks: {words}",
            error_type=ErrorType.HANDLER_EXIT if how.signal is None else ErrorType.HANDLER_SIGNAL,
            suspect=suspect,
        )
        for assignment in innocent:
            assignment.displaced = end

    # -- what it says -------------------------------------------------------------------------------------------------

    def _line(self, line: bytes, channel: LineSource) -> None:
        task_id, event = wire.decode_among(line, channel, self.assignments.attempts)
        if isinstance(event, wire.Text):
            self.assignments.ear.take_text(line + b"\n")
        elif task_id is not None:
            assignment = self.assignments[task_id]
            if self.assignments.several:
                assignment.heard()
            assignment.hear(event)
            if assignment.terminal is not None:
                self._settle(assignment)
        elif self.ready.done():
            self._hear_aside(event)
        else:
            self._hear_start(event, channel)

    def _missed(self, head: bytes, tail: bytes, channel: LineSource) -> None:
        task_id, lost = wire.decode_ends_among(head, tail, channel, self.assignments.attempts)
        if task_id is not None:
            assignment = self.assignments[task_id]
            assignment.miss(head, lost)
            if assignment.terminal is not None:
                self._settle(assignment)
            return
        self.assignments.between.miss(head)
        if isinstance(lost, wire.Unreadable):
            self._hear_aside(lost)

    def _hear_aside(self, event: wire.Event | wire.Ignored | wire.Unreadable) -> None:
        if isinstance(event, wire.Unreadable) and self.assignments.several:
            self.assignments.between.ignore(event.reason)
            self._break(f"it sent {event.reason}")
        else:
            self.assignments.between.hear(event)

    # -- the start ----------------------------------------------------------------------------------------------------

    def _hear_start(self, event: wire.Event | wire.Ignored | wire.Unreadable, channel: LineSource) -> None:
        match event:
            case wire.ReadyEvent():
                self._ready_timer.cancel()
                self._output.channel = channel
                self._cancellable = "cancel" in event.capabilities
                if event.refused is not None:
                    self.assignments.between.ignore(f"concurrency must be a whole number from 1, not {event.refused}")
                if self._cancellable:  # else none of several could be ended without the others
                    self.concurrency = event.concurrency
                self.ready.set_result(None)
            case wire.ErrorEvent(error=error) | wire.Unreadable(event=wire.ErrorEvent(error=error), kind="error"):
                self._ready_timer.cancel()
                self.ready.set_result(f"it said that it cannot start: {error}")
                self._stop()
            case _:
                self.assignments.between.hear(event)

    def _not_ready_in_time(self) -> None:
        seconds = self._settings.persistent.ready_timeout
        words = self.assignments.between.last_words
        heard = f"; on stderr it said: {words}" if words else ""
        self.ready.set_result(
            f'it did not send {{"gs":1,"type":"ready"}} within {seconds:g} s (persistent.ready_timeout); '
            f"a command that knows nothing of this needs mode: oneshot{heard}"
        )
        self._stop()


def _how(exit_: Exit, last_words: str) -> str:
    end = f"exit status {exit_.code}" if exit_.signal is None else f"killed by {signal_name(exit_.signal)}"
    return f"{end}: {last_words}" if last_words else end
