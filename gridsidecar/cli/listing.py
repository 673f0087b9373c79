"""Rows and facts on stdout: a table on a terminal, plain aligned lines elsewhere. All texts must be safe to show."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gridsidecar.cli.screen import console, interactive

Row = Sequence[str]


def print_rows(columns: Row, rows: Sequence[Row]) -> None:
    """One line a row under the names of the columns; the last column may be of any length."""
    if interactive(sys.stdout):
        _print_table(columns, rows)
        return
    lines = [columns, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """A label and its text on each line."""
    if interactive(sys.stdout):
        _print_grid(facts)
        return
    width = max(len(label) for label, _ in facts)
    for label, text in facts:
        print(f"{label:<{width}}  {text}".rstrip())


def _print_table(columns: Row, rows: Sequence[Row]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console(sys.stdout).print(table)


def _print_grid(facts: Sequence[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for label, text in facts:
        grid.add_row(Text(label, style="dim"), Text(text, overflow="fold"))
    console(sys.stdout).print(grid)
