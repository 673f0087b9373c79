"""`gridsidecar logs`: what a task's handler said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli.run import ConfigFile
from gridsidecar.cli.screen import clean_text, json_text, say
from gridsidecar.errors import EX_FAILED, EX_OK

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings

_SHOWN = ("task_id", "attempt", "outcome", "started_at", "ended_at", "log_head", "log_tail", "log_dropped")

EPILOG = """
Of every attempt the first and last 64 KiB are kept, once it has ended. What would steer a terminal is escaped.

Exit codes: 0 shown, 1 there is no such task or attempt, 69 the database is away, 77 it refused, 78 configuration.
"""


def logs(
    task_id: Annotated[str, typer.Argument(help="Id of a task.", metavar="ID")],
    attempt: Annotated[int | None, typer.Option(help="This attempt instead of the last that ended.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all that is kept.")] = False,
    config: ConfigFile = None,
) -> None:
    """Show what a task's handler printed and logged."""
    from gridsidecar.cli.parts import load_parts

    raise typer.Exit(asyncio.run(_logs(load_parts(config, "store"), task_id, attempt, as_json)))


async def _logs(settings: Settings, task_id: str, attempt: int | None, as_json: bool) -> int:
    from gridsidecar.cli.parts import existing_store, unknown_tasks

    async with existing_store(settings) as store:
        known = store is not None and await store.reading.get(task_id) is not None
        rows = [] if store is None or not known else await store.reading.attempts(task_id)
    if not known:
        return unknown_tasks([task_id], settings)
    chosen = [row for row in rows if attempt in (None, row["attempt"])]
    if not chosen:
        have = ", ".join(str(row["attempt"]) for row in rows)
        what = "attempt" if attempt is None else f"attempt {attempt}"
        say(f"task {task_id} has no {what} that has ended" + (f"; there is {have}" if have else ""))
        return EX_FAILED
    _print(chosen[-1], as_json)
    return EX_OK


def _print(row: Mapping[str, Any], as_json: bool) -> None:
    from gridsidecar.cli.times import in_utc

    if as_json:
        shown = in_utc(row)
        print(json_text({name: shown[name] for name in (*_SHOWN, "stderr_tail")}))
    elif row["log_head"] or row["log_tail"]:
        for line in _lines(row):
            print(line)
    else:
        say(f"attempt {row['attempt']} of task {row['task_id']} said nothing")


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    head, tail, dropped = clean_text(row["log_head"] or ""), clean_text(row["log_tail"] or ""), row["log_dropped"]
    if dropped:
        yield head.removesuffix("\n")
        yield f"[... {dropped:,} bytes left out ...]"
        yield tail.removesuffix("\n")
    else:
        yield (head + tail).removesuffix("\n")
