"""`gridsidecar status`: what became of tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.run import ConfigFile
from gridsidecar.errors import EX_FAILED, EX_OK

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings
    from gridsidecar.store import Reading

EPILOG = """
Exit codes: 0 all succeeded or have not ended yet, 1 one failed, was cancelled or is unknown, 69 the database is away,
77 it refused, 78 configuration, 130 Ctrl-C.
"""


def status(
    ids: Annotated[list[str], typer.Argument(help="Ids of tasks.", metavar="ID")],
    watch: Annotated[
        bool, typer.Option("-w", "--watch", help="Follow the tasks until they have ended; wait for unknown ones.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a task, times in UTC.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show tasks: status, progress, times, result or error, and every attempt so far."""
    from gridsidecar.cli.parts import load_parts

    settings = load_parts(config, "store")
    raise typer.Exit(asyncio.run(_status(settings, list(dict.fromkeys(ids)), watch, as_json)))


async def _status(settings: Settings, ids: list[str], watch: bool, as_json: bool) -> int:
    from gridsidecar.store import make_store

    if not watch and _no_file(settings.store.url):
        return _unknown(ids, settings)
    store = make_store(settings.store, settings.broker.queue)
    try:
        await store.open(migrate=settings.store.migrate if watch else None)
        if watch:
            await _watch(store.reading, ids)
        return max([await _show(store.reading, one, settings, as_json) for one in ids])
    finally:
        await store.close()


def _no_file(url: str) -> bool:
    """An SQLite file that no worker has made yet: asking for a task must not make it."""
    from gridsidecar.config.urls import sqlite_path

    return url.startswith("sqlite:") and not Path(sqlite_path(url)).exists()


def _unknown(ids: list[str], settings: Settings) -> int:
    from gridsidecar.cli.parts import place_of
    from gridsidecar.cli.screen import say

    for task_id in ids:
        say(f"no task {task_id} in {place_of(settings.store.url)}; a task appears there when a worker takes it up")
    return EX_FAILED


async def _watch(store: Reading, ids: list[str]) -> None:
    from gridsidecar.cli.bars import make_display
    from gridsidecar.cli.follow import follow

    with make_display() as display:
        await follow(store, ids, display.show)


async def _show(store: Reading, task_id: str, settings: Settings, as_json: bool) -> int:
    from gridsidecar.cli.screen import json_text
    from gridsidecar.cli.task_view import print_task, read_task, task_object
    from gridsidecar.cli.task_words import ended, succeeded

    found = await read_task(store, task_id)
    if found is None:
        return _unknown([task_id], settings)
    view, attempts = found
    if as_json:
        print(json_text(task_object(view, attempts)), flush=True)
    else:
        print_task(view, attempts)
    return EX_FAILED if ended(view) and not succeeded(view) else EX_OK
