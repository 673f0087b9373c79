"""A program of ours as a process below the supervisor, and how it ended."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence

from gridsidecar.handler import reaper
from gridsidecar.runtime import signals
from gridsidecar.supervisor.plan import python

_PR_SET_PDEATHSIG = 1


class Program:
    """Started with a session of its own: a signal to the supervisor's group, as Ctrl-C, comes to it only once."""

    def __init__(self, module: str, *arguments: object, fds: Sequence[int]) -> None:
        """Raises OSError when it cannot be started."""
        with signals.blocked():  # until it obeys them
            self._process = subprocess.Popen(python(module, *arguments), pass_fds=fds, start_new_session=True)
        self.pid = self._process.pid
        reaper.own(self.pid)
        self._pidfd = os.pidfd_open(self.pid)
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        loop.add_reader(self._pidfd, self._on_exit)

    def signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            self._process.send_signal(number)

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._process.wait()
        reaper.disown(self.pid)
        self.ended.set_result(code)  # negative: the number of a signal


def signal_at_death_of_supervisor(number: signal.Signals) -> None:
    """Comes to this process when the one that started it dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
