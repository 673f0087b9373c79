"""`gridsidecar migrate`: the store's tables."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.terminal import say


def migrate(config: ConfigFile = None) -> None:
    """Create the store's tables, or bring them up to this version. Safe to run at any time, by many at once."""
    from gridsidecar.cli.context import load_parts
    from gridsidecar.store import Count, make_store

    settings = load_parts(config, "store")
    name = settings.store.table_prefix + settings.store.table_name

    async def apply() -> str:
        store = make_store(settings.store, settings.broker.queue)
        try:
            await store.open()
            before = await store.reading.tables()
            await store.database.migrate(apply=True)
            counts = (await store.counting.by_status()).values()
            return _done(name, before, str(sum(counts, start=Count(0))))
        finally:
            await store.close()

    say(asyncio.run(apply()))


def _done(name: str, before: Mapping[str, bool], rows: str) -> str:
    """What a migration did, by the tables that there were before."""
    if f"{name}_schema_version" in before:
        return f"the tables {name}* are up to date"
    if name in before:
        told = f"{rows} {'row' if rows == '1' else 'rows'}"
        return f"the table {name} is adopted, with {told}"
    others = sorted(other for other, of_tasks in before.items() if of_tasks)
    hint = f"; {', '.join(others)} was there before: store.table_prefix and store.table_name say which is meant"
    return f"the tables {name}* are created{hint if others else ''}"
