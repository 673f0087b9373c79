"""A fleet by the store and the broker of a configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gridsidecar import telemetry
from gridsidecar.config.secrets import masked_url
from gridsidecar.config.settings import Settings
from gridsidecar.fleet import Fleet
from gridsidecar.fleet.direct.parts import Parts
from gridsidecar.fleet.direct.queue import DirectQueue
from gridsidecar.fleet.direct.steering import DirectSteering
from gridsidecar.fleet.direct.tasks import DirectTasks
from gridsidecar.fleet.direct.upkeep import DirectUpkeep

WHO_MAKES_THEM = "a worker makes them at its start, or `gridsidecar migrate`; store.url says where"


@asynccontextmanager
async def reach(settings: Settings, *, makes: bool = False, has_store: bool = True) -> AsyncIterator[Fleet]:
    """With `makes` the store is opened at once, and tables that are missing are made."""
    parts = Parts(settings, makes=makes, has_store=has_store)
    place = masked_url(settings.store.url)
    try:
        if makes:
            await parts.store()
        yield Fleet(
            place,
            DirectTasks(parts),
            DirectSteering(parts),
            DirectUpkeep(parts),
            DirectQueue(parts, ", ".join(map(masked_url, settings.broker.urls))),
        )
        if parts.looked_in_vain:
            telemetry.warning("there are no tables yet", store=place, hint=WHO_MAKES_THEM)
    finally:
        await parts.close()
