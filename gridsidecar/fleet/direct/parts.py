"""Store and broker for one errand, each opened when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from gridsidecar.broker import Broker, make_broker
from gridsidecar.config.settings import Settings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.store import Store, make_store
from gridsidecar.telemetry import Readiness


class Parts:
    """`makes`: tables that are missing are made, those that are there stay as they are. Else nothing is created, and
    there may be no store: None where its SQLite file is not there yet, or where nothing names one."""

    def __init__(self, settings: Settings, *, makes: bool, has_store: bool) -> None:
        self.settings = settings
        self._makes = makes
        self._has_store = has_store
        self._store: Store | None = None
        self._made = False
        self._broker: Broker | None = None

    async def store(self) -> Store | None:
        if self._store is None and self._has_store and (self._makes or not self._no_file_yet()):
            store = make_store(self.settings.store, self.settings.broker.queue)
            try:
                await store.open()
            except BaseException:
                await store.close()
                raise
            self._store = store
        if self._store is not None and self._makes and not self._made:
            await self._make_tables(self._store)
            self._made = True
        return self._store

    async def store_to_write(self) -> Store | None:
        """With its tables, which are made from now on; None where nothing names one."""
        self._makes = True
        return await self.store()

    async def _make_tables(self, store: Store) -> None:
        settings = self.settings.store
        if not settings.migrate:
            return
        if settings.table_prefix + settings.table_name not in await store.reading.tables():
            await store.database.migrate(apply=True)

    def _no_file_yet(self) -> bool:
        """An SQLite file that no worker has made yet: looking must not make it."""
        url = self.settings.store.url
        return url.startswith("sqlite:") and not Path(sqlite_path(url)).exists()

    def broker(self) -> Broker:
        """It connects when it is first asked."""
        if self._broker is None:
            self._broker = make_broker(self.settings.broker, Readiness())
        return self._broker

    async def close(self) -> None:
        if self._broker is not None:
            await self._broker.close()
        if self._store is not None:
            await self._store.close()
