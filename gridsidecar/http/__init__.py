"""The HTTP API over tasks, for programs, dashboards and probes. Imported only where it is asked for."""

from __future__ import annotations

from gridsidecar.clock import Clock
from gridsidecar.config.settings import Settings
from gridsidecar.http import bulk, description, end_counts, events, files, fleet, letters, me, probes, steering, tasks
from gridsidecar.http.api import Api, HealthSource
from gridsidecar.http.app import make_app
from gridsidecar.http.server import HttpServer, listen

__all__ = ["ApiServer"]

# In this order: a task may be called `cancel`, but what is to be done to many is looked at first.
PARTS = (files, probes, me, bulk, steering, tasks, events, fleet, end_counts, letters, description)
ENDPOINTS = tuple(endpoint for part in PARTS for endpoint in part.ENDPOINTS)


class ApiServer:
    """The API on `http.listen`, from `start` to `stop`."""

    def __init__(self, settings: Settings, clock: Clock, shown: HealthSource | None = None) -> None:
        """Binds the address. `shown` is the worker's; without one the fleet is shown. Raises `ConfigError` and
        `CannotListen`."""
        self._api = Api(settings, clock, shown)
        self._standalone = shown is None  # no worker is in this process
        self._server = HttpServer(make_app(self._api, ENDPOINTS), listen(settings.http))

    @property
    def url(self) -> str:
        """With the port that was given where 0 was asked for."""
        return self._server.url

    def start(self) -> None:
        """Answer from now on. Neither the store nor the broker has to be there."""
        self._server.start()
        if self._standalone:
            self._api.look_after_operations()

    async def stop(self, grace: float) -> None:
        """End the streams; requests that are being answered get `grace` seconds."""
        self._api.leave()
        await self._server.stop(grace)
        await self._api.close()
