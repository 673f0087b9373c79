"""Results as Markdown: printed after a run, and written between the markers of the pages that show them."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import pictures, results, scale
from benchmarks.bench import Scenario
from benchmarks.budgets import BUDGETS, Budget
from benchmarks.environment import ROOT
from benchmarks.rates import Spread, short
from benchmarks.results import Results
from benchmarks.rounds import Measured
from benchmarks.scenarios import SCENARIOS

PAGES = ("docs/benchmarks.md", "docs/scale.md", "docs/scale.zh-CN.md", "README.md", "README.zh-CN.md")
SHOWN = "docs/benchmarks"  # the folder with what the pages show
COLUMNS = {  # of a scenario's table, where they were measured
    "rate": "tasks/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "most_ms": "most, ms",
    "over_a_second": "% over 1 s",
    "first_mib": "MiB at first",
    "last_mib": "MiB at last",
    "most_mib": "MiB at most",
    "callbacks_rate": "callbacks/s",
    "output_rate": "MiB of output/s",
    "answers": "answers",
    "unchanged": "of 304",
    "cpu_own": "CPU: itself",
    "cpu_commands": "its commands",
    "cpu_database": "database",
    "cpu_broker": "RabbitMQ",
    "start_s": "start, s",
    "rss_mib": "RSS, MiB",
    "pss_mib": "PSS, MiB",
    "handlers_mib": "its handlers, MiB",
    "handlers_mib_each": "MiB a running task",
}


def text(found: Results) -> str:
    """The whole report."""
    blocks = [budgets(found)]
    blocks += [f"### {SCENARIOS[name].title}\n\n{measured(name, found)}" for name in found.scenarios]
    return "\n\n".join(blocks) + "\n"


def measured(name: str, found: Results) -> str:
    """A scenario's table, and what it was measured on."""
    return f"{table(SCENARIOS[name], found.scenarios[name])}\n\n{about(found.about[name])}"


def about(known: dict[str, Any]) -> str:
    machine, versions = known["machine"], known["versions"]
    commits = " against ".join(known["commits"].values())
    return (
        f"Commit {commits}, {known['measured_at'][:10]}; {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_mib'] / 1024:.0f} GiB, {machine['system']}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + f"; `innodb_flush_log_at_trx_commit` {known['database'].get('innodb_flush_log_at_trx_commit')}. "
        f"{known['rounds']} {'round' if known['rounds'] == 1 else 'rounds'}."
    )


def budgets(found: Results) -> str:
    rows = [("what", "budget", "median", "min – max", "")]
    rows += [_verdict(budget, budget.measure(found)) for budget in BUDGETS]
    return _markdown(rows)


def _verdict(budget: Budget, measured: Spread | None) -> tuple[str, ...]:
    verdict = budget.verdict(measured)
    if measured is None:
        return budget.what, budget.wording, "–", "–", verdict
    return (
        budget.what,
        budget.wording,
        f"{short(measured.middle)} {budget.unit}",
        f"{short(measured.low)} – {short(measured.high)}",
        verdict if verdict != "missed" else "**missed**",
    )


def table(scenario: Scenario, measured: Measured) -> str:
    """Contestants by figures: of the main one minimum, median, maximum, of others the median. CPU is in ms a task."""
    main = scenario.figure if scenario.figure in COLUMNS else "rate"
    others = [name for name in COLUMNS if name != main and any(name in each for each in measured.values())]
    heads = ("", "min", f"{COLUMNS[main]}, median", "max", *(COLUMNS[name] for name in others))
    rows = [heads]
    for name, figures in measured.items():
        spread = Spread.of(figures[main])
        cells = [short(median(figures[other])) if other in figures else "" for other in others]
        rows.append((name, short(spread.low), short(spread.middle), short(spread.high), *cells))
    return _markdown(rows)


def _markdown(rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" + "|---:" * (len(rows[0]) - 1) + "|")
    return "\n".join(lines)


# -- pictures and pages -----------------------------------------------------------------------------------------------


def draw(found: Results, folder: Path) -> None:
    for name, measured in found.scenarios.items():
        pictures.draw(SCENARIOS[name], measured, folder / f"{name}.svg")


def publish(folder: Path, root: Path = ROOT) -> None:
    """Show these results, beside those of other scenarios that are shown: JSON and pictures, tables between markers."""
    shown = root / SHOWN
    found = Results.read(shown) if (shown / results.FILE).exists() else Results({}, {})
    found.take(Results.read(folder))
    found.write(shown)
    draw(found, shown)
    for page in (root / name for name in PAGES):
        page.write_text(fill(page.read_text(), found, str(shown.relative_to(page.parent))))


def fill(page: str, found: Results, shown: str) -> str:
    """The page with each `<!-- benchmarks:NAME -->` … `<!-- /benchmarks:NAME -->` filled; `shown` leads to pictures."""

    def block(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        content = _block(name, found, shown)
        return match[0] if content is None else f"{begin}\n\n{content}\n\n{end}"

    return re.sub(r"(<!-- benchmarks:(\w+) -->).*?(<!-- /benchmarks:\2 -->)", block, page, flags=re.DOTALL)


def _block(name: str, found: Results, shown: str) -> str | None:
    """None for what was never measured: it stays as it was."""
    makers: dict[str, Any] = {"budgets": budgets, "cost": scale.cost, "scale": scale.steps}
    if name in makers:
        return str(makers[name](found))
    picture_only = name.removesuffix("_picture")
    if picture_only not in found.scenarios:
        return None
    scenario = SCENARIOS[picture_only]
    picture = f"![{scenario.title}]({shown}/{scenario.name}.svg)"
    return picture if picture_only != name else f"{picture}\n\n{measured(name, found)}"
