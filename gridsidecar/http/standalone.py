"""The API by itself, with no worker in this process."""

from __future__ import annotations

import asyncio

from gridsidecar import __version__, telemetry
from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import Settings
from gridsidecar.errors import EX_OK
from gridsidecar.http import ApiServer
from gridsidecar.runtime import signals
from gridsidecar.runtime.event_loop import fast_loop

GRACE = 5.0  # seconds for requests that are being answered


def serve(settings: Settings) -> int:
    """Answer until a signal says to leave; the exit code. Raises `ConfigError` and `CannotListen`."""
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    told = asyncio.Event()
    why = ""

    def leave(name: str) -> None:
        nonlocal why
        why = why or f"{name} received"
        told.set()

    loop = asyncio.get_running_loop()
    for number in signals.leaving():
        loop.add_signal_handler(number, leave, number.name)
    server = ApiServer(settings, SystemClock())
    server.start()
    telemetry.info("serving", version=__version__, queue=settings.broker.queue)
    await told.wait()
    telemetry.info("leaving", reason=why)
    await server.stop(GRACE)
    return EX_OK
