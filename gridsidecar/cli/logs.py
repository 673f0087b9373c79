"""`gridsidecar logs`: what a task's handler said, and says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsidecar.cli.config_options import ConfigFile
from gridsidecar.cli.server import ServerOption, where
from gridsidecar.cli.terminal import clean, clean_text, json_text, say
from gridsidecar.errors import EX_FAILED, EX_OK
from gridsidecar.language import counted, translated

if TYPE_CHECKING:
    from gridsidecar.fleet import Fleet, Tasks, Where
    from gridsidecar.store import OutputPage
    from gridsidecar.views import TaskView

EPILOG = """
Of every attempt the first and last 64 KiB are kept. While it runs, what is new can be seen after a second or two. What
would steer a terminal is escaped.

Exit codes: 0 shown, 1 there is no such task or attempt, 69 the database is away, 77 it refused, 78 configuration, 130
Ctrl-C.
"""


def logs(
    task_id: Annotated[str, typer.Argument(help="Id of a task.", metavar="ID")],
    attempt: Annotated[int | None, typer.Option(help="This attempt instead of the last one.", min=1)] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the task has ended; wait for an unknown one.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with all that is kept; with --follow one a piece.")
    ] = False,
    config: ConfigFile = None,
    server: ServerOption = None,
) -> None:
    """Show what a task's handler printed and logged, also while it runs."""
    shown = _shown(where(server, config, "store"), task_id, attempt, follow, as_json)
    raise typer.Exit(asyncio.run(shown))


async def _shown(asked: Where, task_id: str, attempt: int | None, follows: bool, as_json: bool) -> int:
    from gridsidecar.fleet import reach

    async with reach(asked, makes=follows) as fleet:
        show = _follow if follows else _logs
        return await show(fleet, task_id, attempt, as_json)


async def _logs(fleet: Fleet, task_id: str, attempt: int | None, as_json: bool) -> int:
    from gridsidecar.cli.context import unknown_tasks

    view = await fleet.tasks.get(task_id)
    if view is None:
        return unknown_tasks([task_id], fleet.place)
    page = await fleet.tasks.output(task_id, attempt)
    if page is None:
        say(_no_attempt(view, attempt))
        return EX_FAILED
    print(json_text(_object(page))) if as_json else _print(page)
    return EX_OK


async def _follow(fleet: Fleet, task_id: str, attempt: int | None, as_json: bool) -> int:
    from gridsidecar.cli.log_follower import JsonWriter, TextWriter, follow

    shown = await follow(fleet.tasks, task_id, attempt, JsonWriter() if as_json else TextWriter())
    if not shown:
        say(f"task {task_id} has ended without {'an attempt' if attempt is None else f'attempt {attempt}'}")
    return EX_OK if shown else EX_FAILED


def _no_attempt(view: TaskView, attempt: int | None) -> str:
    from gridsidecar.cli.task_line import ended, words

    if view["attempt"]:
        have = ", ".join(map(str, range(1, view["attempt"] + 1)))
        return f"task {view['task_id']} has no {f'attempt {attempt}' if attempt else 'attempt'}; there is {have}"
    if ended(view):
        if view["started_at"]:
            return f"task {view['task_id']} is {view['status']}; an earlier system ran it, its output is not here"
        return f"task {view['task_id']} is {view['status']}; no attempt of it ever began"
    return f"task {view['task_id']} has no attempt yet: {words(view)}"


def _object(page: OutputPage) -> dict[str, Any]:
    from gridsidecar.operations.shapes import in_utc

    head = page.pieces[0].text if page.pieces and not page.pieces[0].left_out else ""
    return in_utc(
        {
            "task_id": page.task_id,
            "attempt": page.attempt,
            "outcome": page.outcome,
            "running": page.running,
            "started_at": page.started_at,
            "ended_at": page.ended_at,
            "worker": page.worker,
            "worker_id": page.worker_id,
            "log_head": head or None,
            "log_tail": page.text[len(head) :] or None,
            "log_dropped": sum(piece.left_out for piece in page.pieces),
            "stderr_tail": page.stderr_tail,
        }
    )


def _print(page: OutputPage) -> None:
    for piece in page.pieces:
        if piece.left_out:
            print(left_out(piece.left_out))
        print(clean_text(piece.text).removesuffix("\n"))
    if page.lost or page.running or not page.pieces:
        say(state_of(page))


def left_out(count: int) -> str:
    return translated(f"[... {counted(count, 'byte')} left out ...]")


def state_of(page: OutputPage, *, shown: bool = False) -> str:
    """What is to be known beside the text; `shown`: some of it was shown before."""
    which = f"attempt {page.attempt} of task {page.task_id}"
    if page.running:
        words = "" if page.pieces else ", and nothing that it said has come yet"
        return f"{which} runs on {clean(page.worker or 'an earlier system')}{words}"
    if page.lost:
        worker = clean(page.worker or "an earlier system")
        words = (
            "the last seconds before that may be missing"
            if page.pieces or shown
            else "nothing is known of what it said"
        )
        return f"{which} was lost with its worker, {worker}: {words}"
    if page.notes and "its log is left out" in page.notes:
        return f"of {which}, {clean(page.notes)}"
    if page.outcome is None:
        return f"nothing is known of what {which} said"
    return f"{which} said nothing"


async def last_line(tasks: Tasks, task_id: str) -> str:
    """The last line that a running task has said, safe to show; empty where there is none."""
    page = await tasks.output(task_id)
    lines = page.text.splitlines() if page is not None else []
    return clean(next((line.strip() for line in reversed(lines) if line.strip()), ""))
