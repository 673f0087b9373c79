"""`gridsidecar operations`: what was cancelled or retried in bulk, and what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli.registering import add
from gridsidecar.cli.run import ConfigFile
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.steering import Steered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gridsidecar.config.settings import Settings
    from gridsidecar.store import OpenStore, Operation

app = typer.Typer(help="Cancels and retries of many tasks: look at them, go on with them.", no_args_is_help=True)

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
) -> None:
    """List operations, newest first. Ended ones are kept for seven days."""
    asyncio.run(_list(_settings(config), limit, as_json))


def show(id_: Id, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Show an operation, and with --json also what came of each task."""
    raise typer.Exit(asyncio.run(_show(_settings(config), id_, as_json)))


def resume(id_: Id, as_json: AsJson = False, config: ConfigFile = None) -> None:
    """Go on with an operation whose process is gone, and tell what comes of the tasks that are left."""
    raise typer.Exit(asyncio.run(_resume(_settings(config, "broker"), id_, as_json)))


def stop(id_: Id, config: ConfigFile = None) -> None:
    """End an operation: the tasks that are left stay as they are."""
    raise typer.Exit(asyncio.run(_stop(_settings(config), id_)))


add(app, "list", list_operations)
add(app, "show", show, EPILOG)
add(app, "resume", resume, EPILOG)
add(app, "stop", stop, EPILOG)


def _settings(config: str | None, *parts: Any) -> Settings:
    from gridsidecar.cli.parts import load_parts

    return load_parts(config, "store", *parts)


async def _list(settings: Settings, limit: int, as_json: bool) -> None:
    from gridsidecar.cli.listing import print_listing
    from gridsidecar.cli.parts import existing_store
    from gridsidecar.cli.screen import json_text, say
    from gridsidecar.cli.times import local_time
    from gridsidecar.shapes import operation_object

    async with existing_store(settings) as store:
        newest = [] if store is None else await store.operations.newest(limit)
        found = [] if store is None else [(one, await store.operations.outcomes(one.id)) for one in newest]
    if as_json:
        for one, counts in found:
            print(json_text(operation_object(one, counts)))
    elif found:
        columns = ("operation", "kind", "created", "state", "done", "asked")
        rows = [
            (one.id, str(one.kind), local_time(one.created_at), _state(one), _done(one, counts), _asked(one))
            for one, counts in found
        ]
        print_listing(columns, rows)
    else:
        say("no operations")


async def _show(settings: Settings, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.cli.parts import existing_store
    from gridsidecar.cli.screen import json_text
    from gridsidecar.cli.task_words import duration
    from gridsidecar.cli.times import local_time
    from gridsidecar.shapes import operation_object

    async with existing_store(settings) as store:
        known = None if store is None else await store.operations.get(id_)
        if store is None or known is None:
            return _unknown(id_)
        counts = await store.operations.outcomes(id_)
        if as_json:
            print(json_text(operation_object(known, counts) | {"outcomes": counts}))
            await _print_tasks(store, id_)
            return EX_OK
    facts = [("operation", known.id), ("kind", str(known.kind)), ("asked", _asked(known))]
    if known.spread:
        facts.append(("over", f"{duration(known.spread)}: the starts are spread over it"))
    facts.append(("created", local_time(known.created_at)))
    if known.ended_at:
        facts.append(("ended", local_time(known.ended_at)))
    facts += [("state", _state(known)), ("done", _done(known, counts))]
    print_facts([*facts, *(("", f"{count:,} {_words(name)}") for name, count in sorted(counts.items()))])
    return EX_OK


def _words(outcome: str) -> str:
    from gridsidecar.cli.steering import summary_of

    return "still to be done" if outcome == OPEN else summary_of(Steered(outcome))


def _done(operation: Operation, counts: Mapping[str, int]) -> str:
    found = sum(counts.values())
    if not operation.collected and operation.ended_at is None:
        return f"0, {found:,} found so far"
    return f"{found - counts.get(OPEN, 0):,} of {operation.total:,}"


async def _print_tasks(store: OpenStore, id_: str) -> None:
    from gridsidecar.cli.screen import json_text

    after = -1
    while rows := await store.operations.tasks(id_, after):
        for row in rows:
            print(json_text({"task_id": row["task_id"], "outcome": row["outcome"]}))
        after = int(rows[-1]["position"])


async def _resume(settings: Settings, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.parts import existing_store
    from gridsidecar.cli.steering import Report, drive, driver_of

    async with existing_store(settings) as store:
        known = None if store is None else await store.operations.get(id_)
        if store is None or known is None:
            return _unknown(id_)
        async with driver_of(settings, store, known.kind) as driver:
            return await drive(store, driver, id_, Report(as_json))


async def _stop(settings: Settings, id_: str) -> int:
    from gridsidecar.cli.parts import existing_store
    from gridsidecar.cli.screen import counted, say

    async with existing_store(settings) as store:
        if store is None or await store.operations.get(id_) is None:
            return _unknown(id_)
        if not await store.operations.stop(id_):
            say(f"the operation {id_} has ended before")
            return EX_FAILED
        left = (await store.operations.outcomes(id_)).get(OPEN, 0)
        say(f"stopped; {counted(left)} {'stays as it is' if left == 1 else 'stay as they are'}")
        return EX_OK


def _unknown(id_: str) -> int:
    from gridsidecar.cli.screen import say

    say(f"no operation {id_}; `gridsidecar operations list` shows them")
    return EX_FAILED


def _state(operation: Operation) -> str:
    if operation.ended_at is not None:
        return "ended"
    if not operation.driven:
        return "waiting for somebody to go on"
    return "running" if operation.collected else "looking for its tasks"


def _asked(operation: Operation) -> str:
    from gridsidecar.cli.screen import clean

    asked: Mapping[str, Any] = operation.asked
    if "ids" in asked:
        return f"{asked['ids']:,} ids"
    parts = [f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in asked.items()]
    return clean(" ".join(parts))
