"""`gridsidecar stats`: how many tasks are where, and who works on them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Annotated

import typer

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.cli.since import Since, moment
from gridsidecar.cli.terminal import clean, console, interactive, json_text, told
from gridsidecar.language import translated
from gridsidecar.language.quoting import theirs

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType

    from gridsidecar.config.settings import Settings
    from gridsidecar.fleet import Where
    from gridsidecar.views import Figures, PauseView, TypeCounts, WorkerView

BAR = 40  # columns of the terminal


def stats(
    since: Since = None,
    queue: Annotated[
        str | None, typer.Option("-q", "--queue", help="Only tasks, workers and pauses of this queue; else of all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, times in UTC.")] = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """Count tasks by type and status, callbacks that are owed, the workers that live, and what is paused."""
    from gridsidecar.clock import SystemClock

    start = moment(since, SystemClock().now())
    asked = where(server, config, "store")
    figures = asyncio.run(_read(asked, start, queue))
    if as_json:
        print(json_text({"since": start and start.isoformat(timespec="seconds").replace("+00:00", "Z"), **figures}))
    else:
        _print(figures, asked.settings)


async def _read(asked: Where, since: datetime | None, queue: str | None) -> Figures:
    from gridsidecar.fleet import reach

    async with reach(asked) as fleet:
        return await fleet.upkeep.figures(since, queue)


# -- for people -------------------------------------------------------------------------------------------------------


def _print(figures: Figures, settings: Settings | None) -> None:
    from gridsidecar.cli.listing import print_listing
    from gridsidecar.cli.task_line import STYLES

    statuses = {status: figures["statuses"][status] for status in STYLES if status in figures["statuses"]}
    if statuses and interactive(sys.stdout):
        console(sys.stdout).print(_bars(statuses, figures["at_least"]))
    elif statuses:
        rows = [(status, _number(count, status in figures["at_least"])) for status, count in statuses.items()]
        print_listing(("status", "tasks"), rows, STYLES)
    else:
        print(translated("no tasks"))
    paused = {one["task_type"] for one in figures["pauses"] if not one["ended"]}
    if types := _types(figures["tasks"], paused, settings):
        print()
        print_listing(("type", "status", "tasks", "mean time", ""), types, STYLES)
    print()
    callbacks, letters = (
        _counts(figures["callbacks"], figures["callbacks_at_least"]),
        _counts(figures["letters"], figures["letters_at_least"]),
    )
    print(translated("callbacks  " + ", ".join(f"{callbacks[word]} {word}" for word in ("owed", "dead", "delivered"))))
    if any(figures["letters"].values()):
        sentence = (
            f"letters    of tasks that failed for good: {letters['owed']} still to be sent to the dead-letter queue, "
            f"{letters['dead']} that it does not take, {letters['delivered']} sent"
        )
        print(translated(sentence))
    alive = [worker for worker in figures["workers"] if worker["alive"]]
    print(translated(f"workers    {len(alive)} alive"))
    for line in _workers(alive):
        print(f"  {line}")
    # One that is over and has brought back all that it kept is there until a worker forgets it, and says nothing.
    if pauses := [one for one in figures["pauses"] if one["parked"] or not one["ended"]]:
        print(translated("paused"))
        for line in _pauses(pauses):
            print(f"  {line}")


def _counts(counts: Mapping[str, int], floors: Collection[str]) -> dict[str, str]:
    return {word: _number(count, word in floors) for word, count in counts.items()}


def _pauses(pauses: list[PauseView]) -> Iterator[str]:
    from gridsidecar.cli.listing import aligned
    from gridsidecar.cli.task_line import reason_of
    from gridsidecar.cli.times import local_time

    rows = [
        (
            clean(one["task_type"]),
            translated(f"queue {theirs(clean(one['queue']))}"),
            translated(f"{one['parked']:,} parked"),
            translated(f"since {local_time(one['since_at'])}"),
            translated(_until(one)),
            translated(reason_of(one)),
        )
        for one in pauses
    ]
    yield from aligned(rows)


def _until(pause: PauseView) -> str:
    from gridsidecar.cli.task_line import until

    return "over: workers bring them back" if pause["ended"] else until(pause)


def _types(tasks: list[TypeCounts], paused: Set[str], settings: Settings | None) -> list[tuple[str, ...]]:
    """The time is that of the last attempt; a task that was cancelled may have been waiting then."""
    from gridsidecar.cli.task_line import duration

    return [
        (
            clean(entry["task_type"]),
            entry["status"],
            _number(entry["count"], entry["at_least"]),
            "" if entry["seconds"] is None or entry["status"] == "cancelled" else told(duration(entry["seconds"])),
            _held_up(entry["task_type"], paused, settings) if entry["status"] in ("pending", "retrying") else "",
        )
        for entry in tasks
    ]


def _held_up(task_type: str, paused: Set[str], settings: Settings | None) -> str:
    """What keeps tasks of a type from their start, as far as this machine knows."""
    from gridsidecar.handler.commands import missing_handler

    if task_type in paused:
        return translated("paused")
    missing = None if settings is None else missing_handler(settings, os.environ, task_type)
    return translated(f"its handler cannot be started on this machine: {missing}") if missing else ""


def _workers(alive: list[WorkerView]) -> Iterator[str]:
    from gridsidecar.cli.listing import aligned
    from gridsidecar.cli.times import local_time

    rows = [
        (
            clean(one["name"]),
            translated(f"queue {theirs(clean(one['queue']))}"),
            translated(_busy(one)),
            clean(one.get("version") or ""),
            translated(f"since {local_time(one['started_at'])}"),
        )
        for one in alive
    ]
    yield from aligned(rows) if rows else ()


def _busy(worker: WorkerView) -> str:
    """One of an earlier version does not say how many it runs at once."""
    most = worker.get("concurrency")
    return f"{worker['running']} of {most} running" if most else f"{worker['running']} running"


def _number(count: int, at_least: bool) -> str:
    return f"{count:,}+" if at_least else str(count)


def _bars(statuses: Mapping[str, int], at_least: Collection[str]) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from gridsidecar.cli.task_line import STYLES

    table = Table.grid(padding=(0, 2, 0, 0))
    most = max(statuses.values())
    for status, count in statuses.items():
        style, shown = STYLES[status], f"{count:,}{'+' if status in at_least else ''}"
        bar = ProgressBar(most, count, width=BAR, complete_style=style, finished_style=style)
        table.add_row(Text(status, style=style), Text(shown, justify="right"), bar)
    return table
