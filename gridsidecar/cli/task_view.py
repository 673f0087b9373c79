"""One task as an object for programs, and as text for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gridsidecar.cli.screen import clean, console, cut, interactive, json_text
from gridsidecar.cli.task_words import STYLES, View, due, duration, ended, error_line, percent, status_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gridsidecar.store import Reading

RESULT_SHOWN = 400  # characters
_LOG_COLUMNS = ("task_id", "log_head", "log_tail", "log_dropped")
_COLUMNS = ("#", "outcome", "started", "took", "exit", "error")
Attempts = Sequence[Mapping[str, Any]]


async def read_task(store: Reading, task_id: str) -> tuple[View, Attempts] | None:
    """A task and its history; None when there is no such task."""
    view = await store.get(task_id)
    return None if view is None else (view, await store.attempts(task_id))


def task_object(view: View, attempts: Attempts | None = None) -> dict[str, Any]:
    """The task for `--json`: times in ISO 8601, UTC."""
    shown = {name: _iso(name, value) for name, value in view.items()}
    if attempts is not None:
        shown["attempts"] = [
            {name: _iso(name, value) for name, value in row.items() if name not in _LOG_COLUMNS} for row in attempts
        ]
    return shown


def _iso(name: str, value: Any) -> Any:
    if name.endswith("_at") and isinstance(value, str):
        return _moment(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local_time(text: str) -> str:
    """A stored time as the person's own clock shows it, with its zone."""
    return _moment(text).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def print_task(view: View, attempts: Attempts) -> None:
    """The task on stdout: a panel on a terminal, plain lines elsewhere."""
    if not interactive(sys.stdout):
        print("\n".join(_plain(view, attempts)))
        return
    console(sys.stdout).print(_panel(view, attempts))


# -- the facts --------------------------------------------------------------------------------------------------------


def _facts(view: View) -> Iterator[tuple[str, str]]:
    """Label and text of what is worth a line; every text is safe to show."""
    yield "type", clean(view["task_type"])
    yield "attempt", _attempt_words(view)
    for label, name in (("created", "created_at"), ("started", "started_at"), ("ended", "completed_at")):
        if view[name] is not None:
            yield label, local_time(view[name])
    if view["started_at"] and view["completed_at"]:
        yield "took", duration(seconds_between(view["started_at"], view["completed_at"]))
    if view["next_run_at"] is not None and not ended(view):
        yield "next run", f"{due(view)}, at {local_time(view['next_run_at'])}"
    if view["cancel_requested"] and not ended(view):
        yield "cancel", "requested"
    if view["error_message"] or view["error_type"]:
        yield "error", error_line(view)
    if view["status"] == "success":
        yield "result", _shortened(view["result"])
    yield "data", _shortened(view["data"])


def _attempt_words(view: View) -> str:
    retries = f"{view['retry_count']} of {view['max_retry_count']} retries used" if view["max_retry_count"] else ""
    crashes = f"{view['crashes']} times its worker died" if view["crashes"] else ""
    details = ", ".join(part for part in (retries, crashes) if part)
    return f"{view['attempt']}{f' ({details})' if details else ''}"


def _shortened(value: Any) -> str:
    text = json_text(value)
    return text if len(text) <= RESULT_SHOWN else f"{cut(text, RESULT_SHOWN)} ({len(text):,} characters; see --json)"


def seconds_between(start: str, end: str) -> float:
    """Between two stored times."""
    return (_moment(end) - _moment(start)).total_seconds()


def _history(attempts: Attempts) -> list[tuple[str, ...]]:
    return [
        (
            str(row["attempt"]),
            row["outcome"],
            local_time(row["started_at"]).split(" ")[1] if row["started_at"] else "",
            duration(seconds_between(row["started_at"], row["ended_at"])) if row["started_at"] else "",
            _exit_words(row),
            error_line({"last_error_type": None, **row}),
        )
        for row in attempts
    ]


def _exit_words(row: Mapping[str, Any]) -> str:
    if row["signal_number"] is not None:
        return f"signal {row['signal_number']}"
    return "" if row["exit_code"] is None else str(row["exit_code"])


# -- on paper, and on a terminal --------------------------------------------------------------------------------------


def _plain(view: View, attempts: Attempts) -> Iterator[str]:
    message = clean(view["progress_message"] or "")
    yield f"{'task':<9} {clean(view['task_id'])}"
    yield f"{'status':<9} {status_of(view)}"
    yield f"{'progress':<9} {percent(view)} %{f' {message}' if message else ''}"
    for label, text in _facts(view):
        yield f"{label:<9} {text}"
    if attempts:
        rows = [_COLUMNS, *_history(attempts)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        yield "attempts"
        for row in rows:
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            yield f"  {'  '.join(cells)}".rstrip()


def _panel(view: View, attempts: Attempts) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    style = STYLES[status_of(view)]
    bar = Table.grid(padding=(0, 2, 0, 0))
    message = Text(clean(view["progress_message"] or ""))
    figure = Text(f"{percent(view)}%", style=style)
    bar.add_row(ProgressBar(100, percent(view), width=30, complete_style=style, finished_style=style), figure, message)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_row(Text("status", style="dim"), Text(status_of(view), style=f"bold {style}"))
    facts.add_row(Text("progress", style="dim"), bar)
    for label, text in _facts(view):
        facts.add_row(Text(label, style="dim"), Text(text, style="red" if label == "error" else "", overflow="fold"))
    parts: list[RenderableType] = [facts]
    if attempts:
        history = Table(*_COLUMNS, box=box.SIMPLE, pad_edge=False, header_style="dim")
        for row in _history(attempts):
            history.add_row(*(Text(cell, overflow="fold") for cell in row))
        parts.append(history)
    return Panel(Group(*parts), title=Text(clean(view["task_id"])), title_align="left", border_style=style)
