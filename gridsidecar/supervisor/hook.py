"""The program of a hook that runs once for all processes: on_startup or on_shutdown."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from gridsidecar import telemetry
from gridsidecar.clock import SystemClock, system_random
from gridsidecar.config.settings import Settings
from gridsidecar.delivery.worker import HeldAttempts
from gridsidecar.environment import Environment
from gridsidecar.errors import EX_OK, GridSidecarError
from gridsidecar.handler import reaper
from gridsidecar.hooks import Hooks
from gridsidecar.runtime import signals
from gridsidecar.supervisor.plan import Plan, open_log
from gridsidecar.supervisor.program import signal_at_death_of_supervisor
from gridsidecar.telemetry import Readiness


def main(plan_fd: int, name: str) -> int:
    """The exit code; not 0 when on_startup forbids the start."""
    signals.obey(lambda *_: sys.exit(EX_OK))
    signal_at_death_of_supervisor(signal.SIGTERM)
    os.set_inheritable(plan_fd, False)
    plan = Plan.read(plan_fd)
    open_log(plan, plan_fd)
    os.close(plan_fd)
    reaper.share_marks(plan.marks, 0)
    try:
        asyncio.run(_run(Settings.model_validate(plan.settings), name))
    except GridSidecarError as error:
        telemetry.error("cannot go on", reason=str(error))
        return error.exit_code
    return EX_OK


async def _run(settings: Settings, name: str) -> None:
    cut_short = asyncio.Event()
    for number in signals.leaving():
        asyncio.get_running_loop().add_signal_handler(number, cut_short.set)
    reaper.become_subreaper()
    reaper.hide_from_children()
    env = Environment(settings.worker, Readiness(), SystemClock(), system_random())
    only = {other: None for other in ("on_startup", "on_shutdown") if other != name}
    hooks = Hooks(settings.hooks.model_copy(update=only), env, HeldAttempts(env.clock), settings.broker.queue)
    try:
        await hooks.start(cut_short)
        if name == "on_shutdown":
            await hooks.shut_down(cut_short)
    finally:
        await reaper.finish()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
