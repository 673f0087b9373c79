"""How the findings of `gridsidecar check` are shown: a line each, with what to do under it; or JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gridsidecar.cli.terminal import clean, console, interactive, json_text, padded
from gridsidecar.language import translated
from gridsidecar.language.quoting import unmarked

if TYPE_CHECKING:
    from gridsidecar.conformance import ConformanceReport, ReportedCheck

_NAME = 17  # columns
_WORDS = {
    "passed": ("ok", "green"),
    "failed": ("FAILED", "bold red"),
    "warning": ("warning", "yellow"),
    "not applicable": ("-", "dim"),
    "inconclusive": ("?", "magenta"),
}


def print_check(checked: ReportedCheck) -> None:
    """One finding, as soon as it is there."""
    finding = checked.finding
    word, style = _WORDS[finding.status]
    before = f"  {checked.name:<{_NAME}}"
    _print(
        padded(translated(word), 7),
        style,
        f"{before}  {clean(translated(finding.seen))}  [{', '.join(checked.requirements)}]",
    )
    if finding.advice and finding.status != "passed":
        _print(" " * 7, "", f"  {'':<{_NAME}}  -> {clean(translated(finding.advice))}")


def print_sum(report: ConformanceReport) -> None:
    from gridsidecar.conformance import Verdict

    counts = ((status.value, report.count(status)) for status in Verdict)
    told = ", ".join(f"{count} {translated(word)}" for word, count in counts if count)
    why = ""
    if report.guessed:
        why = ", as it says ready" if report.mode == "persistent" else ", as it says no ready (else: --mode persistent)"
    print("\n" + translated(f"{report.mode}{why}; level {report.level}: {told}"), flush=True)


def print_json(report: ConformanceReport) -> None:
    value = {
        "protocol": 1,
        "mode": report.mode,
        "level": report.level,
        "passed": not (report.failed or report.inconclusive),
        "checks": [
            {
                "name": checked.name,
                "requirements": checked.requirements,
                "level": checked.level,
                "status": checked.finding.status,
                "seen": unmarked(checked.finding.seen),
                "advice": checked.finding.advice,
            }
            for checked in report.checked
        ],
    }
    print(json_text(value), flush=True)


def _print(word: str, style: str, rest: str) -> None:
    if not interactive(sys.stdout):
        print(word + rest, flush=True)
        return
    from rich.text import Text

    console(sys.stdout).print(Text.assemble((word, style), rest))
