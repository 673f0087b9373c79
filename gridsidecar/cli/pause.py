"""`gridsidecar pause TYPE…` and `gridsidecar resume TYPE…`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.queue import QueueOption
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.errors import EX_FAILED, UsageError
from gridsidecar.rules.task import LONGEST_TYPE
from gridsidecar.wire.moments import later_of

if TYPE_CHECKING:
    from gridsidecar.fleet import Where


EPILOG = """
Exit codes: 0, 1 a type was not paused (resume), 64 usage, 69 the database is away, 77 it refused, 78 configuration.
"""

Types = Annotated[list[str], typer.Argument(help="task_type, one or more.", metavar="TYPE…")]


def pause(
    types: Types,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", help="In 30m, 2h, 7d, or at 2026-01-31T08:00; without it until resumed.", metavar="WHEN"
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for stats and the log.")] = None,
    config: ConfigFile = None,
    queue: QueueOption = None,
    server: ServerOption = None,
) -> None:
    """Start no more tasks of these types, on any worker of the queue. What runs goes on.

    Workers know within two seconds. Messages are taken from the queue all the same and kept in the database, so that
    nothing of other types waits behind them.
    """
    from gridsidecar.cli.terminal import clean, say
    from gridsidecar.clock import SystemClock
    from gridsidecar.config.handled_types import is_handled

    moment = later(until, SystemClock().now())
    _check(types)
    asked = where(server, config, "store", queue=queue)
    asyncio.run(_pause(asked, types, moment, reason))
    for task_type in types:
        print(clean(task_type))
        if asked.settings is not None and not is_handled(asked.settings, task_type):
            say(f"{task_type} is not among the handlers of this configuration; it is paused all the same")
    say(f"paused {'until resumed' if moment is None else f'until {moment.astimezone():%Y-%m-%d %H:%M:%S %Z}'}")


def resume(types: Types, config: ConfigFile = None, queue: QueueOption = None, server: ServerOption = None) -> None:
    """Let tasks of these types start again; workers bring back what was kept, the oldest first.

    Ends the pause of a breaker, too. A type that is not paused is named on stderr, and the exit code is 1.
    """
    from gridsidecar.cli.terminal import clean, say

    _check(types)
    resumed = asyncio.run(_resume(where(server, config, "store", queue=queue), types))
    for task_type in types:
        if task_type in resumed:
            print(clean(task_type))
        else:
            say(f"{task_type} is not paused")
    if resumed:
        say("resumed; workers start what was kept, the oldest first")
    if len(resumed) < len(types):
        raise typer.Exit(EX_FAILED)


def later(text: str | None, now: datetime) -> datetime | None:
    """UsageError when it is none, or over."""
    try:
        return None if text is None else later_of(text, now)
    except ValueError as error:
        raise UsageError(f"--until {text!r} {error}") from None


def _check(types: list[str]) -> None:
    for task_type in types:
        if not 1 <= len(task_type) <= LONGEST_TYPE:
            raise UsageError(f"a task_type has 1 to {LONGEST_TYPE} characters: {task_type[:LONGEST_TYPE]!r}")
    if len(set(types)) < len(types):
        raise UsageError("a type is named twice")


async def _pause(asked: Where, types: list[str], until: datetime | None, reason: str | None) -> None:
    from gridsidecar.fleet import reach

    async with reach(asked, makes=True) as fleet:  # it may be there before the first worker
        await fleet.upkeep.pause(types, until, reason)


async def _resume(asked: Where, types: list[str]) -> set[str]:
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        return await fleet.upkeep.resume(types)
