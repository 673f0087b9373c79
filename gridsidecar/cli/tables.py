"""`gridsidecar migrate` and `gridsidecar version`."""

from __future__ import annotations

import asyncio

import typer

from gridsidecar import __version__
from gridsidecar.cli.run import ConfigFile


def migrate(config: ConfigFile = None) -> None:
    """Create the store's tables, or bring them up to this version. Safe to run at any time, by many at once."""
    from gridsidecar.cli.parts import load_parts
    from gridsidecar.store import make_store

    settings = load_parts(config, "store")

    async def apply() -> None:
        store = make_store(settings.store, settings.broker.queue)
        try:
            await store.open(migrate=True)
        finally:
            await store.close()

    asyncio.run(apply())
    typer.echo(f"the tables {settings.store.table_prefix}{settings.store.table_name}* are up to date", err=True)


def version() -> None:
    """Print the version."""
    typer.echo(f"gridsidecar {__version__}")
