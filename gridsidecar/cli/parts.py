"""What commands use of the product: a part of its settings, a broker or a store for one errand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gridsidecar.cli.run import config_file
from gridsidecar.cli.screen import say
from gridsidecar.errors import EX_FAILED, UsageError

if TYPE_CHECKING:
    from gridsidecar.broker import Broker
    from gridsidecar.config.settings import BrokerSettings, Settings
    from gridsidecar.store import OpenStore

Part = Literal["broker", "store", "handlers"]

NO_HANDLER = "(none)"  # the handler of a configuration that a command does not ask for any

# Never opened or started: they stand where a command asks for nothing.
_NOT_USED = "sqlite:///not-used.db"
_STAND_INS: dict[Part, tuple[str, object]] = {
    "broker": ("broker.url", _NOT_USED),
    "store": ("store.url", _NOT_USED),
    "handlers": (f"handlers.{NO_HANDLER}.command", ["true"]),
}


def load_parts(config: str | None, *needed: Part, flags: dict[str, object] | None = None) -> Settings:
    """Settings of which only the `needed` parts mean anything: a producer knows no handlers, `exec` no servers."""
    from gridsidecar import language, telemetry
    from gridsidecar.config.load import load

    telemetry.configure("WARNING", "console", language=language.spoken)  # what it has to say is for whoever typed it
    stand_ins = dict(pair for part, pair in _STAND_INS.items() if part not in needed)
    return load(config_file(config), overrides=stand_ins | (flags or {}), environ=os.environ)


def has_store(settings: Settings) -> bool:
    """Whether the configuration names one."""
    return settings.store.url != _NOT_USED


def is_handled(settings: Settings, task_type: str) -> bool:
    """Whether a handler of this configuration takes such tasks; one that has no handlers at all does not know."""
    names = settings.handlers.keys() - {NO_HANDLER}
    return not names or bool(names & {task_type, "default"})


@asynccontextmanager
async def connected(settings: BrokerSettings) -> AsyncIterator[Broker]:
    """A broker for one errand; it connects when it is first asked."""
    from gridsidecar.broker import make_broker
    from gridsidecar.telemetry import Readiness

    broker = make_broker(settings, Readiness())
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def existing_store(settings: Settings) -> AsyncIterator[OpenStore | None]:
    """The store as it stands, to look and to change single rows: nothing is created. None: no SQLite file yet."""
    from gridsidecar.store import RowRejected, StatementRefused, make_store

    if _no_file_yet(settings):
        yield None
        return
    store = make_store(settings.store, settings.broker.queue)
    try:
        await store.open()
        yield store
    except StatementRefused:
        raise
    except RowRejected as error:  # a command line may hold any bytes
        raise UsageError(f"the database takes no such value, or holds one that cannot be read: {error}") from error
    finally:
        await store.close()


async def open_to_wait(store: OpenStore, settings: Settings) -> None:
    """Open a store whose first worker may start only now: tables that are missing are made, those that are there stay
    as they are."""
    await store.open()
    name = settings.store.table_prefix + settings.store.table_name
    if settings.store.migrate and name not in await store.reading.tables():
        await store.database.migrate(apply=True)


def _no_file_yet(settings: Settings) -> bool:
    """An SQLite file that no worker has made yet: looking must not make it."""
    from gridsidecar.config.urls import sqlite_path

    url = settings.store.url
    return url.startswith("sqlite:") and not Path(sqlite_path(url)).exists()


def unknown_tasks(ids: list[str], settings: Settings) -> int:
    """Say that there are no such tasks; the exit code."""
    for task_id in ids:
        say(f"no task {task_id} in {place_of(settings.store.url)}; a task appears there when a worker takes it up")
    return EX_FAILED


def place_of(url: str) -> str:
    """A store or broker as people know it, without its password."""
    from gridsidecar.config.secrets import masked_url

    return masked_url(url)
