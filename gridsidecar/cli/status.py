"""`gridsidecar status`: what became of tasks."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.errors import EX_FAILED, EX_OK

if TYPE_CHECKING:
    from gridsidecar.cli.follow import Views
    from gridsidecar.config.settings import Settings
    from gridsidecar.fleet import Fleet, Where

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
    server: ServerOption = None,
) -> None:
    """Show tasks: status, progress, times, result or error, and every attempt and callback so far."""
    asked = where(server, config, "store")
    raise typer.Exit(asyncio.run(_status(asked, list(dict.fromkeys(ids)), watch, as_json)))


async def _status(asked: Where, ids: list[str], watch: bool, as_json: bool) -> int:
    from gridsidecar.fleet import reach

    async with reach(asked, makes=watch) as fleet:
        if watch:
            await _watch(fleet, ids)
        return max([await _show(fleet, one, as_json, asked.settings) for one in ids])


async def _watch(fleet: Fleet, ids: list[str]) -> None:
    from gridsidecar.cli.follow import UNKNOWN, follow
    from gridsidecar.cli.progress_bars import make_display
    from gridsidecar.cli.terminal import say

    with make_display() as display:
        told: set[str] = set()

        def show(views: Views) -> None:
            for one in () if told else views:
                if views[one] is None:
                    say(f"waiting for task {one}: {UNKNOWN}")
            told.update(views)
            display.show(views)

        await follow(fleet.tasks, ids, show)


async def _show(fleet: Fleet, task_id: str, as_json: bool, settings: Settings | None) -> int:
    from gridsidecar.cli.context import unknown_tasks
    from gridsidecar.cli.task_line import ended, succeeded
    from gridsidecar.cli.task_view import print_task, read_task
    from gridsidecar.cli.terminal import json_text
    from gridsidecar.handler.commands import missing_handler

    view = await read_task(fleet.tasks, task_id)
    if view is None:
        return unknown_tasks([task_id], fleet.place)
    if as_json:
        print(json_text(view), flush=True)
    else:
        print_task(view, None if settings is None else missing_handler(settings, os.environ, view["task_type"]))
    return EX_FAILED if ended(view) and not succeeded(view) else EX_OK
