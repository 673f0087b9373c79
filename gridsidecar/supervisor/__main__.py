"""`python -m gridsidecar.supervisor FD`: what `gridsidecar run` becomes with several processes."""

from __future__ import annotations

import asyncio
import os
import sys

from gridsidecar import telemetry
from gridsidecar.errors import GridSidecarError
from gridsidecar.runtime import signals
from gridsidecar.supervisor.plan import Plan, open_log
from gridsidecar.supervisor.supervisor import Supervisor


def main(plan_fd: int) -> int:
    """The exit code."""
    signals.obey(lambda *_: sys.exit(0))
    os.set_inheritable(plan_fd, False)
    plan = Plan.read(plan_fd)
    open_log(plan, plan_fd)
    try:
        return asyncio.run(_run(plan, plan_fd))
    except GridSidecarError as error:  # it cannot listen
        telemetry.error("cannot go on", reason=str(error))
        return error.exit_code


async def _run(plan: Plan, plan_fd: int) -> int:
    return await Supervisor(plan, plan_fd).run()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
