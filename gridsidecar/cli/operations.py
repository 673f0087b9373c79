"""`gridsidecar operations`: what was cancelled or retried in bulk, and what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.lazy_commands import add
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.language import counted
from gridsidecar.rules.steering import Steered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gridsidecar.fleet import Where
    from gridsidecar.views import OperationView

app = typer.Typer(
    help="Cancels and retries of many tasks: look at them, go on with them.", no_args_is_help=True, add_completion=False
)

OPEN = "open"  # the outcome of what is still to be done

EPILOG = """
Exit codes: 0 all done, 1 there is no such operation, somebody else drives it, it has ended, or some tasks were refused,
69 a server is away, 77 it refused, 78 configuration, 130 Ctrl-C.
"""
Id = Annotated[str, typer.Argument(help="Id of an operation.", metavar="ID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, times in UTC.")]


def list_operations(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="Show no more than this.")] = 20,
    as_json: AsJson = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """List operations, newest first. Ended ones are kept for seven days."""
    asyncio.run(_list(where(server, config, "store"), limit, as_json))


def show(id_: Id, as_json: AsJson = False, config: ConfigFile = None, server: ServerOption = None) -> None:
    """Show an operation, and with --json also what came of each task."""
    raise typer.Exit(asyncio.run(_show(where(server, config, "store"), id_, as_json)))


def resume(id_: Id, as_json: AsJson = False, config: ConfigFile = None, server: ServerOption = None) -> None:
    """Go on with an operation whose process is gone, and tell what comes of the tasks that are left."""
    raise typer.Exit(asyncio.run(_resume(where(server, config, "store", "broker"), id_, as_json)))


def stop(id_: Id, config: ConfigFile = None, server: ServerOption = None) -> None:
    """End an operation: the tasks that are left stay as they are."""
    raise typer.Exit(asyncio.run(_stop(where(server, config, "store"), id_)))


add(app, "list", list_operations)
add(app, "show", show, EPILOG)
add(app, "resume", resume, EPILOG)
add(app, "stop", stop, EPILOG)


async def _list(asked: Where, limit: int, as_json: bool) -> None:
    from gridsidecar.cli.listing import print_listing
    from gridsidecar.cli.terminal import json_text, say, told
    from gridsidecar.cli.times import local_time
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        found = await fleet.steering.operations(limit)
    if as_json:
        for one in found:
            print(json_text({name: value for name, value in one.items() if name != "outcomes"}))
    elif found:
        columns = ("operation", "kind", "created", "state", "done", "asked")
        rows = [
            (
                one["operation"],
                one["kind"],
                local_time(one["created_at"]),
                told(_state(one)),
                told(_done(one)),
                told(_asked(one)),
            )
            for one in found
        ]
        print_listing(columns, rows)
    else:
        say("no operations")


async def _show(asked: Where, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.cli.terminal import json_text
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        known = await fleet.steering.operation(id_)
        if known is None:
            return _unknown(id_)
        if as_json:
            print(json_text(known))
            async for row in fleet.steering.results(id_):
                print(json_text(row))
            return EX_OK
    print_facts(list(_facts(known)))
    return EX_OK


def _facts(known: OperationView) -> Iterator[tuple[str, str]]:
    from gridsidecar.cli.task_line import duration
    from gridsidecar.cli.times import local_time

    yield from (("operation", known["operation"]), ("kind", known["kind"]), ("asked", _asked(known)))
    if known["spread_s"]:
        yield "over", f"{duration(known['spread_s'])}: the starts are spread over it"
    yield "created", local_time(known["created_at"])
    if known["ended_at"]:
        yield "ended", local_time(known["ended_at"])
    yield from (("state", _state(known)), ("done", _done(known)))
    yield from (("", f"{count:,} {_words(name)}") for name, count in sorted(known["outcomes"].items()))


def _words(outcome: str) -> str:
    from gridsidecar.cli.steering import summary_of

    return "still to be done" if outcome == OPEN else summary_of(Steered(outcome))


def _done(operation: OperationView) -> str:
    if not operation["collected"] and operation["ended_at"] is None:
        return f"0, {operation['tasks']:,} found so far"
    return f"{operation['done']:,}/{operation['tasks']:,}"


async def _resume(asked: Where, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.steering import SteeringPrinter, drive
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        if await fleet.steering.operation(id_) is None:
            return _unknown(id_)
        return await drive(fleet.steering, id_, SteeringPrinter(as_json))


async def _stop(asked: Where, id_: str) -> int:
    from gridsidecar.cli.terminal import say
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        if await fleet.steering.operation(id_) is None:
            return _unknown(id_)
        if not await fleet.steering.stop(id_):
            say(f"the operation {id_} has ended before")
            return EX_FAILED
        known = await fleet.steering.operation(id_)
    left = 0 if known is None else known["outcomes"].get(OPEN, 0)
    say(f"stopped; {counted(left)} {'stays as it is' if left == 1 else 'stay as they are'}")
    return EX_OK


def _unknown(id_: str) -> int:
    from gridsidecar.cli.terminal import say

    say(f"no operation {id_}; `gridsidecar operations list` shows them")
    return EX_FAILED


def _state(operation: OperationView) -> str:
    if operation["state"] == "starting":
        from gridsidecar.cli.times import local_time

        return f"done, the last of its tasks starts at {local_time(operation['starts_until_at'])}"
    if operation["ended_at"] is not None:
        return "ended"
    if operation["state"] == "waiting":
        return "waiting for somebody to go on"
    return "running" if operation["collected"] else "looking for its tasks"


def _asked(operation: OperationView) -> str:
    from gridsidecar.cli.terminal import clean
    from gridsidecar.language.quoting import theirs

    asked: Mapping[str, Any] = operation["asked"]
    if "ids" in asked:
        return counted(asked["ids"], "id")
    parts = [f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in asked.items()]
    return theirs(clean(" ".join(parts)))
