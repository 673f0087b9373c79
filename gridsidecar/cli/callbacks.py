"""`gridsidecar callbacks`: what is owed to those who asked for it, and what was given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.lazy_commands import add
from gridsidecar.cli.queue import Yes
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.cli.terminal import clean, json_text, say
from gridsidecar.errors import EX_FAILED, EX_OK, UsageError
from gridsidecar.language import counted, translated

if TYPE_CHECKING:
    from gridsidecar.fleet import Where
    from gridsidecar.views import CallbackView

app = typer.Typer(help="Look at callbacks, send them again, drop them.", no_args_is_help=True, add_completion=False)

EPILOG = """
Exit codes: 0 done, 1 one of the ids has no callback, 64 usage, 69 the database is away, 77 it refused,
78 configuration.
"""

DROP_EPILOG = """
Exit codes: 0 done, 1 one of the ids has none that is owed or was given up, or the answer was no, 64 usage,
69 the database is away, 77 it refused, 78 configuration.
"""

Ids = Annotated[list[str] | None, typer.Argument(help="Ids of tasks or of callbacks.", metavar="ID")]
Dead = Annotated[bool, typer.Option("--dead", help="All that were given up.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a callback, times in UTC.")]
COLUMNS = ("task", "state", "tries", "created", "to", "last error")


def list_callbacks(
    dead: Annotated[bool, typer.Option("--dead", help="Only those that were given up.")] = False,
    owed: Annotated[bool, typer.Option("--owed", help="Only those that are still to be sent.")] = False,
    task: Annotated[str | None, typer.Option(help="Only those of this task.", metavar="ID")] = None,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1)] = 20,
    as_json: AsJson = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """List callbacks, newest first: owed, delivered, or dead when they were given up."""
    if dead and owed:
        raise UsageError("--dead and --owed exclude each other")
    found = asyncio.run(_read(where(server, config, "store"), task, True if dead else None, owed, limit + 1))
    _print(found[:limit], as_json)
    if len(found) > limit and not as_json:
        say(f"there are more than these {limit}; --limit shows them")


def show(
    id_: Annotated[str, typer.Argument(help="Id of a task or of a callback.", metavar="ID")],
    as_json: AsJson = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """Show the callbacks of a task, or one, whole: state, tries, receiver, and what is sent."""
    raise typer.Exit(asyncio.run(_show(where(server, config, "store"), id_, as_json)))


def replay(
    ids: Ids = None,
    dead: Dead = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """Send callbacks again, whatever became of them: a running worker does it, at once and with new tries."""
    if bool(ids) == dead:
        raise UsageError("name ids of tasks or callbacks, or --dead")
    raise typer.Exit(asyncio.run(_replay(where(server, config, "store"), ids or [])))


def drop(
    ids: Ids = None,
    dead: Dead = False,
    yes: Yes = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """Remove callbacks that are owed or were given up: nobody is told. With --dead it asks first, or needs --yes."""
    from gridsidecar.cli.terminal import must_ask

    if bool(ids) == dead:
        raise UsageError("name ids of tasks or callbacks, or --dead")
    ask = dead and must_ask(yes, "callbacks drop --dead")
    raise typer.Exit(asyncio.run(_drop(where(server, config, "store"), ids or [], ask)))


add(app, "list", list_callbacks)
add(app, "show", show, EPILOG)
add(app, "replay", replay, EPILOG)
add(app, "drop", drop, DROP_EPILOG)


async def _read(asked: Where, task_id: str | None, dead: bool | None, owed: bool, limit: int) -> list[CallbackView]:
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        return await fleet.upkeep.callbacks(task_id, dead, limit, owed=owed)


async def _replay(asked: Where, ids: list[str]) -> int:
    """Those of these ids; without any, all that were given up."""
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        counts = await fleet.upkeep.replay(ids) if ids else {"": await fleet.upkeep.replay_dead()}
    unknown = [one for one in ids if not counts[one]]
    for one in unknown:
        say(f"no callback of a task {one}, and none with this id")
    total = sum(counts.values())
    say(f"{counted(total, 'callback')} to be sent again")
    return EX_FAILED if unknown else EX_OK


async def _show(asked: Where, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.callback_view import facts
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        found = await fleet.upkeep.callback(id_)
    for shown, row in enumerate(found):
        if as_json:
            print(json_text(row))
        else:
            print("\n" if shown else "", end="", flush=True)
            print_facts(list(facts(row)))
    if not found:
        say(f"no callback of a task {id_}, and none with this id")
    return EX_OK if found else EX_FAILED


async def _drop(asked: Where, ids: list[str], ask: bool) -> int:
    """Those of these ids; without any, all that were given up."""
    from gridsidecar.cli.terminal import agreed
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        if ask and not agreed("Remove all callbacks for good that were given up?"):
            return EX_FAILED
        counts = await fleet.upkeep.drop(ids) if ids else {"": await fleet.upkeep.drop_dead()}
    unknown = [one for one in ids if not counts[one]]
    for one in unknown:
        say(f"nothing is owed or was given up of a task {one}, nor with this id")
    say(f"{sum(counts.values()):,} dropped")
    return EX_FAILED if unknown else EX_OK


def _print(rows: list[CallbackView], as_json: bool) -> None:
    from gridsidecar.cli.callback_view import STATES
    from gridsidecar.cli.listing import print_listing

    if as_json:
        for row in rows:
            print(json_text(row))
    elif rows:
        print_listing(COLUMNS, [_row(row) for row in rows], STATES)
    else:
        say("no such callbacks")


def _row(row: CallbackView) -> tuple[str, ...]:
    from gridsidecar.cli.callback_view import target
    from gridsidecar.cli.times import short_time
    from gridsidecar.clock import SystemClock

    created = short_time(row["created_at"], SystemClock().now())
    error = clean(row["last_error"] or "")
    return clean(row["task_id"]), row["state"], str(row["tries"]), created, translated(target(row)), translated(error)
