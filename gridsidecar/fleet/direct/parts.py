"""Store and broker for one errand, each opened when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from gridsidecar.broker import Broker, make_broker
from gridsidecar.config.settings import Settings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.errors import AccessRefused
from gridsidecar.store import Store, make_store
from gridsidecar.store.database import MIGRATE
from gridsidecar.telemetry import Readiness


class Parts:
    """`makes`: tables that are missing are made, those that are there stay as they are. Else nothing is created, and
    there may be no store: None where its SQLite file or its tables are not there yet, or where nothing names one."""

    def __init__(self, settings: Settings, *, makes: bool, has_store: bool) -> None:
        self.settings = settings
        self._makes = makes
        self._has_store = has_store
        self._store: Store | None = None
        self._there = False  # its tables
        self.looked_in_vain = False
        self._broker: Broker | None = None

    async def store(self) -> Store | None:
        if not self._has_store:
            return None
        self.looked_in_vain = not self._makes and self._no_file_yet()
        if self.looked_in_vain:
            return None
        if self._store is None:
            store = make_store(self.settings.store, self.settings.broker.queue)
            try:
                await store.open()
            except BaseException:
                await store.close()
                raise
            self._store = store
        if not self._there and self._makes:
            await self._make_tables(self._store)
        elif not self._there:
            self.looked_in_vain = await self._no_tables_yet(self._store)
        self._there = not self.looked_in_vain
        return self._store if self._there else None

    async def store_to_write(self) -> Store | None:
        """With its tables, which are made from now on; None where nothing names one."""
        self._makes = True
        return await self.store()

    async def _make_tables(self, store: Store) -> None:
        if self.settings.store.migrate and self._tasks not in await store.reading.tables():
            await store.database.migrate(apply=True)

    async def _no_tables_yet(self, store: Store) -> bool:
        """Nobody has made them. What is refused otherwise, or is of an earlier version, whoever asks is told."""
        try:
            await store.output.newest("")
        except AccessRefused as error:
            return MIGRATE in str(error) and self._tasks not in await store.reading.tables()
        return False

    @property
    def _tasks(self) -> str:
        """The name of their table."""
        return self.settings.store.table_prefix + self.settings.store.table_name

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
