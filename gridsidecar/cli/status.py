"""`gridsidecar status`: what became of tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.run import ConfigFile
from gridsidecar.errors import EX_FAILED, EX_OK

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings
    from gridsidecar.store import OpenStore

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
    """Show tasks: status, progress, times, result or error, and every attempt and callback so far."""
    from gridsidecar.cli.parts import load_parts

    settings = load_parts(config, "store")
    raise typer.Exit(asyncio.run(_status(settings, list(dict.fromkeys(ids)), watch, as_json)))


async def _status(settings: Settings, ids: list[str], watch: bool, as_json: bool) -> int:
    from gridsidecar.cli.parts import existing_store, unknown_tasks

    if watch:
        await _watch(settings, ids)
    async with existing_store(settings) as store:
        if store is None:
            return unknown_tasks(ids, settings)
        return max([await _show(store, one, settings, as_json) for one in ids])


async def _watch(settings: Settings, ids: list[str]) -> None:
    from gridsidecar.cli.bars import make_display
    from gridsidecar.cli.follow import follow
    from gridsidecar.cli.parts import open_to_wait
    from gridsidecar.store import make_store

    store = make_store(settings.store, settings.broker.queue)
    try:
        await open_to_wait(store, settings)
        with make_display() as display:
            await follow(store.reading, ids, display.show)
    finally:
        await store.close()


async def _show(store: OpenStore, task_id: str, settings: Settings, as_json: bool) -> int:
    from gridsidecar.cli.parts import unknown_tasks
    from gridsidecar.cli.screen import json_text
    from gridsidecar.cli.task_view import print_task, read_task
    from gridsidecar.cli.task_words import ended, succeeded
    from gridsidecar.shapes import task_object

    found = await read_task(store, task_id)
    if found is None:
        return unknown_tasks([task_id], settings)
    view, attempts, callbacks = found
    if as_json:
        print(json_text(task_object(view, attempts, callbacks)), flush=True)
    else:
        print_task(view, attempts, callbacks)
    return EX_FAILED if ended(view) and not succeeded(view) else EX_OK
