"""Rounds in which all contestants of a scenario take turns."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from benchmarks.bench import Bench, Contestant, Scenario

Measured = dict[str, dict[str, list[Any]]]  # contestant → figure → its value in each round


def measure(scenario: Scenario, bench: Bench, rounds: int) -> Measured:
    """Each round begins with another contestant, so that none always follows the same one."""
    with ExitStack() as kept:
        contestants = scenario.contestants(replace(bench, kept=kept))
        measured: Measured = {each.name: {} for each in contestants}
        progress = _Progress(scenario, rounds * len(contestants))
        for number in range(rounds):
            first = number % len(contestants)
            for contestant in contestants[first:] + contestants[:first]:
                progress.begin(contestant)
                figures = contestant.run()
                if contestant.at is not None:
                    figures["at"] = contestant.at
                for name, value in figures.items():
                    measured[contestant.name].setdefault(name, []).append(value)
                progress.ended(contestant, number, figures[scenario.figure])
    return measured


class _Progress:
    """A line on stderr for each turn, with the time that is left as far as one can tell."""

    def __init__(self, scenario: Scenario, turns: int) -> None:
        self._scenario = scenario
        self._turns = turns
        self._done = 0
        self._started = time.monotonic()

    def begin(self, contestant: Contestant) -> None:
        if sys.stderr.isatty():
            print(f"  … {contestant.name}", end="\r", file=sys.stderr, flush=True)

    def ended(self, contestant: Contestant, number: int, value: Any) -> None:
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self._turns - self._done)
        shown = f"{value:,.1f} {self._scenario.label}"
        print(
            f"{self._scenario.name} {self._done}/{self._turns}, round {number + 1}: {contestant.name}: {shown}; "
            f"{left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
