"""`gridsidecar operations`: what was cancelled or retried in bulk, and what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli.registering import add
from gridsidecar.cli.run import ConfigFile
from gridsidecar.errors import EX_FAILED, EX_OK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gridsidecar.config.settings import Settings
    from gridsidecar.store import OpenStore, Operation

app = typer.Typer(help="Cancels and retries of many tasks: look at them, go on with them.", no_args_is_help=True)

EPILOG = """
Exit codes: 0 all done, 1 there is no such operation, somebody else drives it, it has ended, or some tasks were refused,
69 a server is away, 77 it refused, 78 configuration, 130 Ctrl-C.
"""
Id = Annotated[str, typer.Argument(help="Id of an operation.", metavar="ID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, times in UTC.")]


def list_operations(
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="Show no more than this.")] = 20,
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

    async with existing_store(settings) as store:
        found = [] if store is None else await store.operations.newest(limit)
    if as_json:
        for one in found:
            print(json_text(_object(one)))
    elif found:
        columns = ("operation", "kind", "created", "state", "tasks", "asked")
        rows = [
            (one.id, str(one.kind), local_time(one.created_at), _state(one), f"{one.total:,}", _asked(one))
            for one in found
        ]
        print_listing(columns, rows)
    else:
        say("no operations")


async def _show(settings: Settings, id_: str, as_json: bool) -> int:
    from gridsidecar.cli.listing import print_facts
    from gridsidecar.cli.parts import existing_store
    from gridsidecar.cli.screen import json_text
    from gridsidecar.cli.times import local_time

    async with existing_store(settings) as store:
        known = None if store is None else await store.operations.get(id_)
        if store is None or known is None:
            return _unknown(id_)
        counts = await store.operations.outcomes(id_)
        if as_json:
            print(json_text(_object(known) | {"outcomes": counts}))
            await _print_tasks(store, id_)
            return EX_OK
    facts = [("operation", known.id), ("kind", str(known.kind)), ("asked", _asked(known))]
    facts += [("created", local_time(known.created_at)), ("state", _state(known)), ("tasks", f"{known.total:,}")]
    print_facts([*facts, *((name, f"{count:,}") for name, count in sorted(counts.items()))])
    return EX_OK


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
    from gridsidecar.cli.screen import say

    async with existing_store(settings) as store:
        if store is None or await store.operations.get(id_) is None:
            return _unknown(id_)
        if not await store.operations.stop(id_):
            say(f"the operation {id_} has ended before")
            return EX_FAILED
        say(f"stopped; {(await store.operations.outcomes(id_)).get('open', 0):,} tasks stay as they are")
        return EX_OK


def _unknown(id_: str) -> int:
    from gridsidecar.cli.screen import say

    say(f"no operation {id_}; `gridsidecar operations list` shows them")
    return EX_FAILED


def _state(operation: Operation) -> str:
    if operation.ended_at is not None:
        return "ended"
    return "running" if operation.driven else "waiting for somebody to go on"


def _asked(operation: Operation) -> str:
    from gridsidecar.cli.screen import clean

    asked: Mapping[str, Any] = operation.asked
    parts = [f"{name}={','.join(value) if isinstance(value, list) else value}" for name, value in asked.items()]
    return clean(" ".join(parts))


def _object(operation: Operation) -> dict[str, Any]:
    from gridsidecar.shapes import in_utc

    return {
        "operation": operation.id,
        "kind": str(operation.kind),
        "queue": operation.queue,
        "asked": operation.asked,
        "spread_s": operation.spread,
        "state": "ended" if operation.ended_at else "running" if operation.driven else "waiting",
        "tasks": operation.total,
        **in_utc({"created_at": operation.created_at, "ended_at": operation.ended_at}),
    }
