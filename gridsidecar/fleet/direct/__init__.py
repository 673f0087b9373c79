"""A fleet by the store and the broker of a configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gridsidecar.config.secrets import masked_url
from gridsidecar.config.settings import Settings
from gridsidecar.fleet import Fleet
from gridsidecar.fleet.direct.parts import Parts
from gridsidecar.fleet.direct.queue import DirectQueue
from gridsidecar.fleet.direct.steering import DirectSteering
from gridsidecar.fleet.direct.tasks import DirectTasks
from gridsidecar.fleet.direct.upkeep import DirectUpkeep


@asynccontextmanager
async def reach(settings: Settings, *, makes: bool = False, has_store: bool = True) -> AsyncIterator[Fleet]:
    """With `makes` the store is opened at once, and tables that are missing are made."""
    parts = Parts(settings, makes=makes, has_store=has_store)
    try:
        if makes:
            await parts.store()
        yield Fleet(
            masked_url(settings.store.url),
            DirectTasks(parts),
            DirectSteering(parts),
            DirectUpkeep(parts),
            DirectQueue(parts, ", ".join(map(masked_url, settings.broker.urls))),
        )
    finally:
        await parts.close()
