"""Rows and facts on stdout: columns on a terminal, plain aligned lines elsewhere. All texts must be safe to show."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gridsidecar.cli.terminal import columns as wide
from gridsidecar.cli.terminal import console, interactive, padded, told
from gridsidecar.language import translated

if TYPE_CHECKING:
    from rich.table import Table

Rows = Sequence[Sequence[str]]
GAP = 2  # columns of the terminal between two columns
NARROWEST_REST = 8
_COLOURED = ("status", "state")


def print_listing(columns: Sequence[str], rows: Rows, styles: Mapping[str, str] | None = None) -> None:
    """One line a row under the names of the columns. On a terminal the last column is cut to the room that is left, and
    a status or state has its style. Cells are shown as they are: whoever has one in our words translates it."""
    if interactive(sys.stdout):
        out = console(sys.stdout)
        out.print(_table(columns, rows, styles or {}, out.width))
    else:
        print("\n".join(aligned([[translated(column) for column in columns], *rows])))


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """A label and its text on each line. The texts are in our words, but for what is marked in them."""
    named = [(translated(label), told(text)) for label, text in facts]
    if interactive(sys.stdout):
        _print_grid(named)
        return
    width = max(wide(label) for label, _ in named)
    for label, text in named:
        print(f"{padded(label, width)}  {text}".rstrip())


def aligned(rows: Rows) -> Iterator[str]:
    """A line for each row, its cells under one another."""
    widths = [max(wide(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (padded(cell, width) for cell, width in zip(row, widths, strict=True))
        yield (" " * GAP).join(cells).rstrip()


def _table(columns: Sequence[str], rows: Rows, styles: Mapping[str, str], width: int) -> Table:
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from gridsidecar.cli.progress_bars import fitted

    named = [translated(column) for column in columns]
    table = Table(*named, box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    taken = [max(map(cell_len, cells)) + GAP for cells in zip(named, *rows, strict=True)]
    rest = max(NARROWEST_REST, width - sum(taken[:-1]))
    for *cells, last in rows:
        coloured = [
            Text(cell, style=styles.get(cell, "") if name in _COLOURED else "", overflow="fold")
            for name, cell in zip(columns, cells, strict=False)
        ]
        table.add_row(*coloured, Text(fitted(last, rest), no_wrap=True, overflow="crop"))
    return table


def _print_grid(facts: Sequence[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, text in facts:
        grid.add_row(Text(label, style="dim"), Text(text, overflow="fold"))
    console(sys.stdout).print(grid)
