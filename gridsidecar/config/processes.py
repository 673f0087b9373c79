"""How the work of a sidecar is divided among its processes: the parts together are exactly what is configured."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.config.settings import Settings


def processes_of(settings: Settings) -> int:
    """How many processes; `auto` takes no more cores than there is work for."""
    if settings.worker.processes != "auto":
        return settings.worker.processes
    return min(len(os.sched_getaffinity(0)), settings.worker.concurrency, *staying(settings).values())


def staying(settings: Settings) -> Mapping[str, int]:
    """The most processes that each persistent handler keeps. One that is kept cannot be shared."""
    return {
        name: _width(handler, settings.worker.concurrency)
        for name, handler in settings.handlers.items()
        if handler.mode == "persistent"
    }


def shared_types(settings: Settings, of: int) -> dict[str, int]:
    """Handlers that run less tasks at a time than there are processes, and how many: no process can have a part."""
    widths = {name: _width(handler, settings.worker.concurrency) for name, handler in settings.handlers.items()}
    return {name: width for name, width in widths.items() if width < of}


def share(settings: Settings, number: int, of: int) -> Settings:
    """The settings of process `number` (from 1). Where `shared_types` has a handler, its limit is that of all."""
    worker = settings.worker

    def part(total: int) -> int:
        return total // of + (number <= total % of)

    def limit(total: int) -> int:
        """Of a handler; 0 is none."""
        total = min(total, worker.concurrency)
        return total and (part(total) if total >= of else min(total, part(worker.concurrency)))

    def handler(whole: HandlerSettings) -> HandlerSettings:
        kept = whole.persistent.model_copy(update={"processes": limit(whole.persistent.processes)})
        return whole.model_copy(update={"concurrency": limit(whole.concurrency), "persistent": kept})

    return settings.model_copy(
        update={
            "worker": worker.model_copy(
                update={
                    "concurrency": part(worker.concurrency),
                    "prefetch": None if worker.prefetch is None else part(worker.prefetch),
                    "name": f"{worker.name}-{number}",
                    "heartbeat_file": None,  # one for all, of the supervisor
                }
            ),
            "handlers": {name: handler(whole) for name, whole in settings.handlers.items()},
            "hooks": settings.hooks.model_copy(update={"on_startup": None, "on_shutdown": None}),
        }
    )


def _width(handler: HandlerSettings, concurrency: int) -> int:
    limits = [concurrency, handler.concurrency]
    if handler.mode == "persistent":
        limits.append(handler.persistent.processes)
    return min(limit for limit in limits if limit)
