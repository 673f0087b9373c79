"""One run of a command that is no handler: input in, exit out, with a limit on its time."""

from __future__ import annotations

import asyncio

from gridsidecar.config.handlers import LimitSettings
from gridsidecar.handler import CommandEnd, Stop
from gridsidecar.handler.capture import STDERR_BYTES, Tail
from gridsidecar.handler.command import Command, NotStartable
from gridsidecar.handler.launch import Start
from gridsidecar.handler.process import Process, Sinks
from gridsidecar.wire import Spliced

KILL_GRACE = 1.0  # seconds between SIGTERM and SIGKILL


async def run(command: Command, stdin: bytes | Spliced, timeout: float, stop: Stop) -> CommandEnd:
    """See `handler.run_command`."""
    if stop.reason is not None:
        return CommandEnd(stopped=True)
    try:
        return await _CommandRun(command, stdin, stop).until_end(timeout)
    except NotStartable as problem:
        return CommandEnd(cannot_start=str(problem))
    except (OSError, ValueError) as error:
        return CommandEnd(cannot_start=command.explain(error))


class _CommandRun:
    """The process, and whether it was us who ended it."""

    def __init__(self, command: Command, stdin: bytes | Spliced, stop: Stop) -> None:
        """Starts it; NotStartable, OSError or ValueError when that fails."""
        self._stop = stop
        self._timed_out = False
        self._stopped = False
        self._stderr = Tail(STDERR_BYTES)
        start = Start(
            program=command.locate(),
            argv=command.argv,
            cwd=command.cwd,
            env=command.env,
            stdin=stdin,
            limits=LimitSettings(),
        )
        self._process = Process(start, Sinks(stdout=lambda _: None, stderr=self._stderr.write, events=None))

    async def until_end(self, timeout: float) -> CommandEnd:
        self._stop.listen(self._obey)
        timer = asyncio.get_running_loop().call_later(timeout, self._time_is_up)
        try:
            exit_ = await self._process.ended
        finally:
            timer.cancel()
            if not self._process.ended.done() or self._process.ended.cancelled():
                self._process.abandon()
        return CommandEnd(
            exit_code=exit_.code,
            signal=exit_.signal,
            timed_out=self._timed_out,
            stopped=self._stopped,
            stderr_line=self._stderr.last_line(),
        )

    def _time_is_up(self) -> None:
        self._timed_out = not (self._process.exited or self._stopped)
        self._end()

    def _obey(self) -> None:
        self._stopped = self._stopped or not (self._process.exited or self._timed_out)
        self._end()

    def _end(self) -> None:
        if self._process.exited or self._stop.hurried:
            self._process.kill()  # where it has ended by itself, only its last output was awaited
        else:
            self._process.stop(KILL_GRACE)
