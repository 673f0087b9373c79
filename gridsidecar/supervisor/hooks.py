"""on_startup and on_shutdown, once for all processes. Each runs in a program of its own that has what hooks need."""

from __future__ import annotations

import signal

from gridsidecar import telemetry
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.supervisor.plan import Plan
from gridsidecar.supervisor.program import Program


class WorkerHooks:
    """on_shutdown runs where the start had come as far as on_startup."""

    def __init__(self, plan: Plan, plan_fd: int) -> None:
        self._hooks = plan.settings["hooks"]
        self._plan_fd = plan_fd
        self._running: tuple[str, Program] | None = None
        self._started = False
        self._stopped = False

    async def start(self) -> int:
        """0, or the exit code that this run is to end with."""
        code = await self._run("on_startup")
        self._started = code == EX_OK and not self._stopped
        return code

    async def shut_down(self) -> None:
        """All processes have left."""
        if self._running is not None:
            await self._running[1].ended
        if self._started:
            await self._run("on_shutdown")

    def stop(self, *, hurry: bool) -> None:
        """We leave, so that on_startup is not needed any more; on_shutdown is cut short only by who is in a hurry."""
        self._stopped = True
        if self._running is not None and (hurry or self._running[0] == "on_startup"):
            self._running[1].signal(signal.SIGTERM)

    async def _run(self, name: str) -> int:
        if self._hooks[name] is None:
            return EX_OK
        try:
            program = Program("gridsidecar.supervisor.hook", self._plan_fd, name, fds=(self._plan_fd,))
        except OSError as error:
            telemetry.warning("a hook failed", hook=name, reason=str(error))
            return EX_FAILED
        self._running = (name, program)
        code = await program.ended
        self._running = None
        return code if code >= 0 else EX_FAILED
