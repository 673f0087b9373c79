"""`gridsidecar tasks`: which tasks there are, and what is done to them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli import steer
from gridsidecar.cli.registering import add
from gridsidecar.cli.run import ConfigFile
from gridsidecar.cli.screen import clean, json_text, say
from gridsidecar.cli.since import Since, moment
from gridsidecar.cli.status import EPILOG, status
from gridsidecar.task import Status

if TYPE_CHECKING:
    from gridsidecar.cli.task_words import View
    from gridsidecar.config.settings import Settings

app = typer.Typer(help="Look at tasks, cancel them, run them again.", no_args_is_help=True)

COLUMNS = ("task", "type", "status", "created", "took", "details")


def list_tasks(
    task_type: Annotated[str | None, typer.Option("--type", help="Only tasks of this type.")] = None,
    state: Annotated[Status | None, typer.Option("--status", help="Only tasks in this state.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a task, times in UTC.")] = False,
    config: ConfigFile = None,
) -> None:
    """List tasks, newest first."""
    from gridsidecar.cli.parts import load_parts
    from gridsidecar.clock import SystemClock

    now = SystemClock().now()
    wanted = {"task_type": task_type, "status": state and state.value, "since": moment(since, now)}
    found = asyncio.run(_read(load_parts(config, "store"), wanted, limit + 1))
    _print(found[:limit], as_json, now)
    if len(found) > limit and not as_json:
        say(f"there are more than these {limit}; --limit shows them")


add(app, "list", list_tasks)
add(app, "show", status, EPILOG)
add(app, "cancel", steer.cancel, steer.EPILOG)
add(app, "retry", steer.retry, steer.EPILOG)


async def _read(settings: Settings, wanted: dict[str, Any], limit: int) -> list[View]:
    from gridsidecar.cli.parts import existing_store

    async with existing_store(settings) as store:
        return [] if store is None else await store.reading.tasks(**wanted, limit=limit)


def _print(views: list[View], as_json: bool, now: datetime) -> None:
    from gridsidecar.cli.listing import print_listing
    from gridsidecar.cli.task_words import STYLES
    from gridsidecar.shapes import task_object

    if as_json:
        for view in views:
            print(json_text(task_object(view)))
    elif views:
        print_listing(COLUMNS, [_row(view, now) for view in views], STYLES)
    else:
        say("no such tasks; a task appears here when a worker takes it up")


def _row(view: View, now: datetime) -> tuple[str, ...]:
    from gridsidecar.cli.task_view import took
    from gridsidecar.cli.task_words import status_of
    from gridsidecar.cli.times import short_time

    names = clean(view["task_id"]), clean(view["task_type"])
    return (*names, status_of(view), short_time(view["created_at"], now), took(view), _details(view))


def _details(view: View) -> str:
    from gridsidecar.cli.task_words import error_line, percent, status_of, words

    match status_of(view):
        case "running":
            return f"{percent(view)} %, {words(view)}".removesuffix(", running")
        case "pending" | "retrying":
            return words(view)
        case "failed":
            return error_line(view)
        case _:
            return ""
