"""The program of each process below a supervisor: a sidecar with its part of the work."""

from __future__ import annotations

import os
import signal
import socket
import sys

from gridsidecar import daemon, failpoints, telemetry
from gridsidecar.config.load import renew_by_files
from gridsidecar.config.processes import share
from gridsidecar.config.settings import Settings
from gridsidecar.errors import GridSidecarError
from gridsidecar.handler import reaper
from gridsidecar.runtime import signals
from gridsidecar.runtime.memory_budget import MEBIBYTE, automatic_room, cgroup_limit
from gridsidecar.supervisor.plan import Plan, open_log
from gridsidecar.supervisor.program import signal_at_death_of_supervisor
from gridsidecar.supervisor_link import SupervisorLink


def main(plan_fd: int, end: int, number: int, life: int) -> int:
    """The exit code."""
    signals.obey(lambda *_: sys.exit(0))
    signal_at_death_of_supervisor(signal.SIGCONT)  # one that is stopped shall notice, and leave
    for fd in (plan_fd, end):
        os.set_inheritable(fd, False)
    plan = Plan.read(plan_fd)
    open_log(plan, plan_fd)
    os.close(plan_fd)
    reaper.share_marks(plan.marks, life)
    if life <= plan.processes:
        failpoints.arm(plan.failpoints)
    settings = _settings(plan, number)
    link = SupervisorLink(socket.socket(fileno=end), plan.shared)
    try:
        return daemon.run(settings, daemon.RunOptions(fail_fast=plan.fail_fast), link)
    except GridSidecarError as error:
        telemetry.error("cannot go on", reason=str(error))
        return error.exit_code


def _settings(plan: Plan, number: int) -> Settings:
    ours = share(Settings.model_validate(plan.settings), number, plan.processes)
    renew_by_files(ours, plan.recipes)
    if ours.worker.memory_budget_mb is not None or cgroup_limit() is None:
        return ours
    room = max(1, automatic_room() // plan.processes // MEBIBYTE)  # what the container leaves is for all of us
    return ours.model_copy(update={"worker": ours.worker.model_copy(update={"memory_budget_mb": room})})


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
