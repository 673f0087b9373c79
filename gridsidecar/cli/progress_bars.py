"""Tasks on their way, on stderr: live bars on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from gridsidecar.cli.follow import Views
from gridsidecar.cli.task_line import STYLES, percent, status_of, words
from gridsidecar.cli.terminal import clean, console, interactive, repeat
from gridsidecar.clock import SystemClock
from gridsidecar.language import translated

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gridsidecar.views import TaskView

NARROWEST_NAME, WIDEST_NAME = 8, 36
WIDEST_BAR = 30
RESERVED_ROWS = 4  # of the terminal: the prompt, the summary, a line to breathe
_ACTIVE = ("running", "retrying")


class Display(Protocol):
    """Shows tasks again and again, inside `with`."""

    def __enter__(self) -> Display: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Leave the terminal as it was."""
        ...

    def show(self, views: Views) -> None:
        """The state of all tasks now."""
        ...


def make_display(names: Mapping[str, str] | None = None) -> Display:
    """What fits stderr. `names` are shown instead of ids where they are known."""
    return Bars(names or {}) if interactive(sys.stderr) else Lines(names or {})


class Lines:
    """One line for each change."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._told: dict[str, tuple[str, ...]] = {}
        self._clock = SystemClock()
        self._started = self._clock.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        return None

    def show(self, views: Views) -> None:
        seconds = self._clock.monotonic() - self._started
        width = min(WIDEST_NAME, max((len(self._names.get(one, one)) for one in views), default=0))
        for task_id, view in views.items():
            change = _change(view)
            if change != self._told.get(task_id, ("queued",)):
                self._told[task_id] = change
                name = clean(self._names.get(task_id, task_id))
                repeat(f"{seconds:6.1f} s  {name:<{width}}  {translated(_line(view))}")


def _change(view: TaskView | None) -> tuple[str, ...]:
    """What makes a new line worth it; the seconds until a retry do not."""
    if view is None:
        return ("queued",)
    return (status_of(view), str(view["attempt"]), str(percent(view)), view["progress_message"] or "")


def _line(view: TaskView | None) -> str:
    status = status_of(view)
    text = words(view)
    figure = f"{percent(view):3d} %  " if status == "running" else ""
    return figure + (text if text.startswith(status) or status != "running" else f"{status}: {text}")


class Bars:
    """A live list with a bar for each task; where there are more than rows, those that run, and a summary."""

    def __init__(self, names: Mapping[str, str]) -> None:
        from rich.live import Live

        self._names = names
        self._console = console(sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Bars:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._live.stop()

    def show(self, views: Views) -> None:
        self._live.update(self._picture(views), refresh=True)

    def _picture(self, views: Views) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        room = max(1, self._console.height - RESERVED_ROWS)
        shown = dict(views) if len(views) <= room else _most_active(views, room)
        parts: list[RenderableType] = [self._rows(shown)]
        if len(views) > 1:
            parts.append(Text(summary(views), style="dim"))
        return Group(*parts)

    def _rows(self, views: Views) -> RenderableType:
        from rich.cells import cell_len
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        width = self._console.width
        names = {one: clean(self._names.get(one, one)) for one in views}
        longest = max(map(cell_len, names.values()), default=0)
        name_width = max(NARROWEST_NAME, min(longest, WIDEST_NAME, width // 3))
        bar_width = max(5, min(WIDEST_BAR, width // 4))
        rest = max(10, width - name_width - bar_width - 4 - 3 * 2 - 1)
        table = Table.grid(padding=(0, 2, 0, 0))
        for task_id, view in views.items():
            style = STYLES.get(status_of(view), "")
            table.add_row(
                Text(_name(names[task_id], name_width), no_wrap=True),
                ProgressBar(100, percent(view), width=bar_width, complete_style=style, finished_style=style),
                Text(f"{percent(view):3d}%", style=style),
                Text(fitted(translated(words(view)), rest), style=style, no_wrap=True, overflow="crop"),
            )
        return table


def _name(text: str, width: int) -> str:
    """Exactly so many columns of a terminal; ids often differ at their ends, so a long one loses its middle."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return set_cell_size(text, width)
    tail = (width - 3) // 2
    return set_cell_size(text, width - 3 - tail) + "..." + set_cell_size(text[::-1], tail)[::-1]


def fitted(text: str, width: int) -> str:
    """Cut to so many columns of a terminal, of which some characters take two."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 3) + "..."


def _most_active(views: Views, room: int) -> dict[str, TaskView | None]:
    active = [one for one, view in views.items() if status_of(view) in _ACTIVE]
    return {one: views[one] for one in active[: room - 1]}


def summary(views: Views) -> str:
    """How many tasks are where."""
    counts = Counter(status_of(view) for view in views.values())
    return ", ".join(f"{counts[status]} {status}" for status in STYLES if counts[status])
