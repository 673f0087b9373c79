"""How the findings of `gridsidecar doctor` are shown: a line each, with what to do under it; or JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gridsidecar import __version__
from gridsidecar.cli.terminal import clean, console, interactive, json_text
from gridsidecar.language import translated

if TYPE_CHECKING:
    from rich.text import Text

    from gridsidecar.doctor import Diagnosis, DoctorReport

SCHEMA_VERSION = 1  # of the JSON
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "unknown": "magenta"}
STATE = 9  # columns


def print_report(report: DoctorReport) -> None:
    shown = folded(report.checked)
    if interactive(sys.stdout):
        _print_groups(shown)
    else:
        width = max((len(each.id) for each in shown), default=0) + 2
        for each in shown:
            print(f"{each.finding.state:<{STATE}}{each.id:<{width}}{clean(translated(each.finding.found))}")
            if each.finding.advice:
                print(f"{'':<{STATE + width}}-> {clean(translated(each.finding.advice))}")
    print(("\n" if interactive(sys.stdout) else "") + _sum(report), flush=True)


def folded(checked: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Those of an area that could not be made for one and the same reason, told once: they would hide what failed."""
    alike: dict[object, list[Diagnosis]] = {}
    for each in checked:
        key = (each.area, each.finding) if each.finding.state == "unknown" else len(alike)
        alike.setdefault(key, []).append(each)
    return [same[0] if len(same) == 1 else _told_once(same) for same in alike.values()]


def _told_once(same: list[Diagnosis]) -> Diagnosis:
    first = same[0]
    found = f"{len(same)} checks: {first.finding.found}"
    return replace(first, id=f"{first.area}.*", finding=replace(first.finding, found=found))


def print_json(report: DoctorReport) -> None:
    value = {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "counts": {state: sum(each.finding.state == state for each in report.checked) for state in STYLES},
        "findings": [
            {
                "id": each.id,
                "state": each.finding.state,
                "found": each.finding.found,
                "advice": each.finding.advice or None,
            }
            for each in report.checked
        ],
    }
    print(json_text(value), flush=True)


def _print_groups(shown: Sequence[Diagnosis]) -> None:
    """On a terminal: an area under its name, texts folded under one another. An id goes on with what is in its line."""
    from rich.table import Table
    from rich.text import Text

    out = console(sys.stdout)
    width = max((len(_tail(each)) for each in shown), default=0)
    for area, group in groupby(shown, key=lambda each: each.area):
        out.print(Text(area, style="bold"))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(min_width=STATE, no_wrap=True)
        table.add_column(min_width=width, no_wrap=True)
        table.add_column(ratio=1, overflow="fold")
        for each in group:
            table.add_row(*_cells(each))
        out.print(table)


def _cells(each: Diagnosis) -> tuple[Text, Text, Text]:
    from rich.text import Text

    finding = each.finding
    told = Text(clean(translated(finding.found)))
    if finding.advice:
        told.append(f"\n→ {clean(translated(finding.advice))}", style="cyan")
    return Text(f"  {finding.state}", style=STYLES[finding.state]), Text(_tail(each)), told


def _tail(each: Diagnosis) -> str:
    return each.id.removeprefix(f"{each.area}.")


def _sum(report: DoctorReport) -> str:
    counts = [(sum(each.finding.state == state for each in report.checked), state) for state in STYLES]
    return ", ".join(f"{count} {state}" for count, state in counts if count) or translated("nothing was checked")
