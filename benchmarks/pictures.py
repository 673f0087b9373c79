"""Pictures of results as SVG: bars of contestants, curves over a number, memory over time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.bench import Scenario
from benchmarks.rates import Spread, short
from benchmarks.rounds import Measured

_LOOK = {
    "svg.hashsalt": "gridsidecar",  # the same figures make the same file
    "svg.fonttype": "none",  # letters stay letters
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",  # readable where a page is dark
}
_OURS, _OURS_BEFORE, _OTHERS = "#1f6feb", "#9ec5fe", "#9aa4b2"
_COLOURS = (_OURS, "#d9480f", "#2b8a3e", "#862e9c", "#9aa4b2", "#0b7285")
_PEERS = ("amqp-consume", "Celery", "Dramatiq")


def draw(scenario: Scenario, measured: Measured, file: Path) -> None:
    """One picture of the scenario's figure."""
    with plt.rc_context(_LOOK):
        over_time = all("memory_over_time" in figures for figures in measured.values())
        height = 4.5 if scenario.axis or over_time else 1.2 + 0.42 * len(measured)
        figure, axes = plt.subplots(figsize=(9, height), layout="constrained")
        axes.set_title(scenario.title.replace("`", ""), loc="left", fontsize=12)
        if over_time:
            _over_time(axes, scenario, measured)
        elif scenario.axis:
            _curves(axes, scenario, measured)
        else:
            _bars(axes, scenario, measured)
        figure.savefig(file, format="svg", metadata={"Date": None})
        plt.close(figure)


def _bars(axes: Axes, scenario: Scenario, measured: Measured) -> None:
    names = list(measured)[::-1]
    spreads = [Spread.of(measured[name][scenario.figure]) for name in names]
    colours = [_OTHERS if name.startswith(_PEERS) else _OURS_BEFORE if " @" in name else _OURS for name in names]
    axes.barh(names, [each.middle for each in spreads], color=colours, xerr=_whiskers(spreads), ecolor="#495057")
    widest = max(each.high for each in spreads)
    for row, each in enumerate(spreads):
        axes.text(each.high + widest * 0.012, row, short(each.middle), va="center")
    axes.set_xlim(0, widest * 1.12)
    axes.set_xlabel(scenario.label)


def _curves(axes: Axes, scenario: Scenario, measured: Measured) -> None:
    curves: dict[str, list[tuple[float, Spread]]] = {}
    for name, figures in measured.items():
        curves.setdefault(_series(name), []).append((figures["at"][0], Spread.of(figures[scenario.figure])))
    for colour, (name, points) in zip(_COLOURS * 9, curves.items(), strict=False):
        points.sort(key=lambda point: point[0])
        spreads = [spread for _, spread in points]
        axes.errorbar(
            [at for at, _ in points],
            [each.middle for each in spreads],
            yerr=_whiskers(spreads),
            label=name,
            color=colour,
            marker="o",
            capsize=3,
        )
    places = sorted({figures["at"][0] for figures in measured.values()})
    axes.set_xscale("symlog", base=2 if places[-1] < 1000 else 10, linthresh=1)
    axes.set_xticks(places, [f"{place:,.0f}" for place in places])
    axes.set_xticks([], minor=True)
    _finish(axes, scenario, scenario.axis or "")


def _over_time(axes: Axes, scenario: Scenario, measured: Measured) -> None:
    for colour, (name, figures) in zip(_COLOURS * 9, measured.items(), strict=False):
        samples = figures["memory_over_time"][-1]
        axes.plot([at for at, _ in samples], [mib for _, mib in samples], label=name, color=colour)
    _finish(axes, scenario, "seconds")


def _finish(axes: Axes, scenario: Scenario, below: str) -> None:
    axes.set_ylim(0, axes.get_ylim()[1] * 1.15)
    axes.set_xlabel(below)
    axes.set_ylabel(scenario.label)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)


def _series(name: str) -> str:
    """The contestant's name without its place on the axis."""
    return re.sub(r" · [\d,]+", "", name)


def _whiskers(spreads: Sequence[Spread]) -> tuple[list[float], list[float]]:
    return [each.middle - each.low for each in spreads], [each.high - each.middle for each in spreads]
