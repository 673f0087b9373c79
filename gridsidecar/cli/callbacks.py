"""`gridsidecar callbacks`: what is owed to those who asked for it, and what was given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli.registering import add
from gridsidecar.cli.run import ConfigFile
from gridsidecar.cli.screen import clean, json_text, say
from gridsidecar.cli.server import Server, where
from gridsidecar.errors import EX_FAILED, EX_OK, UsageError

if TYPE_CHECKING:
    from gridsidecar.fleet import Where

app = typer.Typer(help="Look at callbacks, and send them again.", no_args_is_help=True, add_completion=False)

EPILOG = """
Exit codes: 0 done, 1 one of the ids has no callback, 64 usage, 69 the database is away, 77 it refused,
78 configuration.
"""

COLUMNS = ("task", "state", "tries", "created", "to", "last error")


def list_callbacks(
    dead: Annotated[bool, typer.Option("--dead", help="Only those that were given up.")] = False,
    task: Annotated[str | None, typer.Option(help="Only those of this task.", metavar="ID")] = None,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object a callback, times in UTC.")] = False,
    config: ConfigFile = None,
    server: Server = None,
) -> None:
    """List callbacks, newest first: owed, delivered, or dead when they were given up."""
    found = asyncio.run(_read(where(server, config, "store"), task, True if dead else None, limit + 1))
    _print(found[:limit], as_json)
    if len(found) > limit and not as_json:
        say(f"there are more than these {limit}; --limit shows them")


def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of tasks or of callbacks.", metavar="ID")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that were given up.")] = False,
    config: ConfigFile = None,
    server: Server = None,
) -> None:
    """Send callbacks again, whatever became of them: a running worker does it, at once and with new tries."""
    if bool(ids) == dead:
        raise UsageError("name ids of tasks or callbacks, or --dead")
    raise typer.Exit(asyncio.run(_replay(where(server, config, "store"), ids or [])))


add(app, "list", list_callbacks)
add(app, "replay", replay, EPILOG)


async def _read(asked: Where, task_id: str | None, dead: bool | None, limit: int) -> list[dict[str, Any]]:
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        return await fleet.upkeep.callbacks(task_id, dead, limit)


async def _replay(asked: Where, ids: list[str]) -> int:
    """Those of these ids; without any, all that were given up."""
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        counts = await fleet.upkeep.replay(ids) if ids else {"": await fleet.upkeep.replay_dead()}
    unknown = [one for one in ids if not counts[one]]
    for one in unknown:
        say(f"no callback of a task {one}, and none with this id")
    total = sum(counts.values())
    say(f"{total} {'callback' if total == 1 else 'callbacks'} to be sent again")
    return EX_FAILED if unknown else EX_OK


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    from gridsidecar.cli.callback_view import STATES
    from gridsidecar.cli.listing import print_listing

    if as_json:
        for row in rows:
            print(json_text(row))
    elif rows:
        print_listing(COLUMNS, [_row(row) for row in rows], STATES)
    else:
        say("no such callbacks")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    from gridsidecar.cli.callback_view import target
    from gridsidecar.cli.times import short_time
    from gridsidecar.clock import SystemClock

    created = short_time(row["created_at"], SystemClock().now())
    error = clean(row["last_error"] or "")
    return clean(row["task_id"]), row["state"], str(row["tries"]), created, target(row), error
