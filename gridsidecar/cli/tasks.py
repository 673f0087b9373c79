"""`gridsidecar tasks`: which tasks there are, and what is done to them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli import cancel_and_retry
from gridsidecar.cli.cancel_and_retry import OfErrorType, States
from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.lazy_commands import add
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.cli.since import Since, Until, moment
from gridsidecar.cli.status import EPILOG, status
from gridsidecar.cli.terminal import clean, json_text, say
from gridsidecar.errors import UsageError
from gridsidecar.language import translated

if TYPE_CHECKING:
    from gridsidecar.fleet import Listed, Where
    from gridsidecar.store import Wanted
    from gridsidecar.views import TaskSummary

app = typer.Typer(help="Look at tasks, cancel them, run them again.", no_args_is_help=True, add_completion=False)

COLUMNS = ("task", "type", "status", "created", "took", "details")


def list_tasks(
    types: Annotated[list[str] | None, typer.Option("--type", help="Only tasks of this type; may be repeated.")] = None,
    states: States = None,
    error_type: OfErrorType = None,
    queue: Annotated[str | None, typer.Option("-q", "--queue", help="Only tasks of this queue, or of none.")] = None,
    since: Since = None,
    until: Until = None,
    id_prefix: Annotated[str, typer.Option(help="Only tasks whose ids begin so.", metavar="TEXT")] = "",
    after: Annotated[str | None, typer.Option(help="Go on after this task.", metavar="ID")] = None,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a task, times in UTC.")] = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """List tasks, newest first. `took` is the time of the last attempt."""
    from gridsidecar.clock import SystemClock
    from gridsidecar.store import Wanted

    now = SystemClock().now()
    try:
        wanted = Wanted(
            statuses=tuple(states or ()),
            task_types=tuple(types or ()),
            error_type=error_type,
            queue=queue,
            since=moment(since, now),
            until=moment(until, now, "--until"),
            id_prefix=id_prefix,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    page = asyncio.run(_read(where(server, config, "store"), wanted, after, limit, as_json))
    _print(page, as_json, now)
    if page.next is not None:
        say(_how_to_go_on(page))


add(app, "list", list_tasks)
add(app, "show", status, EPILOG)
add(app, "cancel", cancel_and_retry.cancel, cancel_and_retry.EPILOG)
add(app, "retry", cancel_and_retry.retry, cancel_and_retry.EPILOG)


async def _read(asked: Where, wanted: Wanted, after: str | None, limit: int, with_data: bool) -> Listed:
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        return await fleet.tasks.listed(wanted, after, limit, with_data=with_data)


def _how_to_go_on(page: Listed) -> str:
    assert page.next is not None
    if page.tasks and page.tasks[-1]["task_id"] == page.next:
        return f"there are more than these {len(page.tasks)}: --after {page.next}, or a larger --limit"
    return f"not all tasks were looked at; to go on: --after {page.next}"


def _print(page: Listed, as_json: bool, now: datetime) -> None:
    from gridsidecar.cli.listing import print_listing
    from gridsidecar.cli.task_line import STYLES

    if as_json:
        for view in page.tasks:
            print(json_text(view))
    elif page.tasks:
        print_listing(COLUMNS, [_row(view, now) for view in page.tasks], STYLES)
    elif page.next is None:
        say("no such tasks; a task appears here when a worker takes it up")


def _row(view: TaskSummary, now: datetime) -> tuple[str, ...]:
    from gridsidecar.cli.task_line import status_of
    from gridsidecar.cli.task_view import took
    from gridsidecar.cli.terminal import told
    from gridsidecar.cli.times import short_time

    names = clean(view["task_id"]), clean(view["task_type"])
    return (*names, status_of(view), short_time(view["created_at"], now), told(took(view)), _details(view))


def _details(view: TaskSummary) -> str:
    from gridsidecar.cli.task_line import error_line, percent, status_of, words

    match status_of(view):
        case "running":
            return translated(f"{percent(view)} %, {words(view)}".removesuffix(", running"))
        case "pending" | "retrying":
            return translated(words(view))
        case "failed":
            return translated(error_line(view))
        case _:
            return ""
