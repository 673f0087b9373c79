"""One task as text for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gridsidecar.cli.callback_view import callback_words, called
from gridsidecar.cli.listing import aligned
from gridsidecar.cli.logs import last_line
from gridsidecar.cli.task_line import (
    STYLES,
    attempt_error,
    due,
    duration,
    ended,
    error_line,
    percent,
    reason_of,
    status_of,
    until,
)
from gridsidecar.cli.terminal import clean, console, cut, interactive, json_text, padded, told
from gridsidecar.cli.times import local_time, seconds_between
from gridsidecar.language import counted, translated
from gridsidecar.language.quoting import theirs

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gridsidecar.fleet import Tasks
    from gridsidecar.views import AttemptView, PausedView, TaskState, TaskView

RESULT_SHOWN = 400  # characters
_LABEL = 9  # columns
_COLUMNS = ("#", "outcome", "started", "took", "exit", "worker", "error")
AttemptViews = Sequence["AttemptView"]
LabelledTexts = Sequence[tuple[str, str]]  # label and text


async def read_task(tasks: Tasks, task_id: str) -> TaskView | None:
    """A task with its history, and the callbacks about it, newest first; None when there is no such task. One that runs
    has what it said last, as `says`."""
    view = await tasks.show(task_id)
    if view is not None and view["status"] == "running":
        view["says"] = await last_line(tasks, task_id)
    return view


def print_task(view: TaskView, missing: str | None = None) -> None:
    """The task on stdout: a panel on a terminal, plain lines elsewhere. `missing`: why its handler cannot be started on
    this machine."""
    attempts, callbacks = view["attempts"], view["callbacks"]
    facts = [*_facts(view, attempts, missing), *((called(row), callback_words(row)) for row in callbacks)]
    facts = [(label, told(text)) for label, text in facts]
    if not interactive(sys.stdout):
        print("\n".join(_plain(view, facts, attempts)))
        return
    console(sys.stdout).print(_panel(view, facts, attempts))


# -- the facts --------------------------------------------------------------------------------------------------------


def _facts(view: TaskView, attempts: AttemptViews, missing: str | None) -> Iterator[tuple[str, str]]:
    """Label and text of what is worth a line; every text is safe to show, and what is not in our words is marked."""
    yield "type", theirs(clean(view["task_type"]))
    yield "attempt", _attempt_words(view)
    times = {"created": view["created_at"], "started": view["started_at"], "ended": view["completed_at"]}
    yield from ((label, local_time(time)) for label, time in times.items() if time is not None)
    if ended(view) and (time := _own_time(attempts) or took(view)):
        yield "took", time
    if view["worker"]:
        yield "worker", theirs(clean(view["worker"]))
    if says := view.get("says"):
        yield "says", theirs(cut(says, RESULT_SHOWN))
    if paused := view.get("paused"):
        yield "paused", _pause_words(paused)
    elif view["next_run_at"] is not None and not ended(view):
        yield "next run", f"{due(view)}, at {local_time(view['next_run_at'])}"
    if missing and status_of(view) in ("pending", "retrying") and not (paused or view["due_in_s"]):
        yield "waits", f"perhaps for its handler, which cannot be started on this machine: {missing}"
    if view["cancel_requested"] and not ended(view):
        yield "cancel", "requested"
    if view["error_message"] or view["error_type"]:
        earlier = view["status"] in ("running", "pending")
        yield "error", error_line(view) + (" (of an earlier attempt)" if earlier else "")
    if view["status"] == "success":
        yield "result", _shortened(view["result"])
    yield "data", _shortened(view["data"])


def took(view: TaskState) -> str:
    """The time of its last attempt; empty while it has not ended, or was cancelled, perhaps while it waited."""
    start, end = view["started_at"], view["completed_at"]
    return duration(seconds_between(start, end)) if start and end and view["status"] != "cancelled" else ""


def _own_time(attempts: AttemptViews) -> str:
    """That of its attempts, without the waiting between them."""
    times = [seconds_between(row["started_at"], row["ended_at"]) for row in attempts if row["started_at"]]
    return duration(sum(times)) + (f" in {len(times)} attempts" if len(times) > 1 else "") if times else ""


def _pause_words(pause: PausedView) -> str:
    words = f"{until(pause)}, since {local_time(pause['since_at'])}"
    return f"{words}: {reason_of(pause)}" if pause["reason"] else words


def _attempt_words(view: TaskView) -> str:
    retries = (
        f"{view['retry_count']} of {counted(view['max_retry_count'], 'retry', 'retries')} used"
        if view["max_retry_count"]
        else ""
    )
    crashes = f"crashes: {view['crashes']}" if view["crashes"] else ""
    details = ", ".join(part for part in (retries, crashes) if part)
    number = view["attempt"] or _without_attempt(view)
    return f"{number}{f' ({details})' if details else ''}"


def _without_attempt(view: TaskView) -> str:
    if view["status"] == "running":
        return "none here, an earlier system runs it"
    if not ended(view):
        return "none yet"
    return "none here, an earlier system ran it" if view["started_at"] else "none, it never began"


def _shortened(value: Any) -> str:
    text = json_text(value)
    shown = theirs(cut(text, RESULT_SHOWN))
    return shown if len(text) <= RESULT_SHOWN else f"{shown} ({len(text):,} characters; see --json)"


def _history(attempts: AttemptViews) -> list[tuple[str, ...]]:
    return [
        (
            str(row["attempt"]),
            row["outcome"],
            local_time(row["started_at"]).split(" ")[1] if row["started_at"] else "",
            duration(seconds_between(row["started_at"], row["ended_at"])) if row["started_at"] else "",
            _exit_words(row),
            clean(row["worker"] or ""),
            told(attempt_error(row)),
        )
        for row in attempts
    ]


def _exit_words(row: AttemptView) -> str:
    if row["signal_number"] is not None:
        return f"signal {row['signal_number']}"
    return "" if row["exit_code"] is None else str(row["exit_code"])


# -- on paper, and on a terminal --------------------------------------------------------------------------------------


def _plain(view: TaskView, facts: LabelledTexts, attempts: AttemptViews) -> Iterator[str]:
    message = clean(view["progress_message"] or "")
    progress = f"{percent(view)} %{f' {message}' if message else ''}"
    state = ("task", clean(view["task_id"])), ("status", status_of(view)), ("progress", progress)
    for label, text in (*state, *facts):
        yield f"{padded(translated(label), _LABEL)} {text}"
    if attempts:
        yield translated("history")
        columns = [translated(column) for column in _COLUMNS]
        yield from (f"  {line}" for line in aligned([columns, *_history(attempts)]))


def _panel(view: TaskView, facts: LabelledTexts, attempts: AttemptViews) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    style = STYLES.get(status_of(view), "")
    bar = Table.grid(padding=(0, 2, 0, 0))
    message = Text(clean(view["progress_message"] or ""))
    figure = Text(f"{percent(view)}%", style=style)
    bar.add_row(ProgressBar(100, percent(view), width=30, complete_style=style, finished_style=style), figure, message)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(Text(translated("status"), style="dim"), Text(status_of(view), style=f"bold {style}"))
    table.add_row(Text(translated("progress"), style="dim"), bar)
    for label, text in facts:
        table.add_row(
            Text(translated(label), style="dim"), Text(text, style="red" if label == "error" else "", overflow="fold")
        )
    parts: list[RenderableType] = [table]
    if attempts:
        history = Table(*map(translated, _COLUMNS), box=box.SIMPLE, pad_edge=False, header_style="dim")
        for row in _history(attempts):
            history.add_row(*(Text(cell, overflow="fold") for cell in row))
        parts.append(history)
    return Panel(Group(*parts), title=Text(clean(view["task_id"])), title_align="left", border_style=style)
