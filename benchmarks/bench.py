"""What scenarios are made of: contestants that take turns, each giving figures for one round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers import Servers
from benchmarks.sidecar import Checkout, place, sidecar

Figures = dict[str, Any]  # numbers; or a list of them, as memory over time


@dataclass(frozen=True)
class Contestant:
    """`run` is one round of it. `at` is its place on the axis of a picture that has one."""

    name: str
    run: Callable[[], Figures]
    at: float | None = None


@dataclass(frozen=True)
class Bench:
    """One run of the command: its servers, and what it was asked for."""

    servers: Servers
    checkouts: Sequence[Checkout]
    smoke: bool
    tasks: int | None = None
    processes: str | None = None
    kept: ExitStack = field(default_factory=ExitStack)  # what lives as long as a scenario

    def size(self, usual: int, smoke: int) -> int:
        """How many, of anything: as asked for, or the scenario's own number."""
        return self.tasks or (smoke if self.smoke else usual)

    def amount(self, usual: int, smoke: int) -> int:
        """The same for what `--tasks` does not change."""
        return smoke if self.smoke else usual

    def sidecars(self, name: str, run: Callable[[Checkout], Figures], at: float | None = None) -> list[Contestant]:
        """The same contestant once for each checkout."""
        return [
            Contestant(name + checkout.suffix, lambda checkout=checkout: run(checkout), at)  # type: ignore[misc]
            for checkout in self.checkouts
        ]

    def plain(self, *rated: Any) -> list[Contestant]:
        """`rated`, where a smoke run has seen the same elsewhere and does without."""
        return [] if self.smoke else self.rated(*rated)

    def rated(
        self, name: str, handlers: dict[str, Any], concurrency: int, tasks: int, at: float | None = None
    ) -> list[Contestant]:
        """The ordinary contestants: a queue full of tasks, a sidecar, and how it went."""

        def run(checkout: Checkout) -> Figures:
            with place(self.servers) as where:
                where.fill(tasks)
                with sidecar(checkout, where, handlers, concurrency, self.processes) as running:
                    return running.figures(tasks, every=0.1 if self.smoke else 0.5)

        return self.sidecars(name, run, at)


@dataclass(frozen=True)
class Scenario:
    """A question, and the contestants that answer it. `figure` is what its picture shows."""

    name: str
    title: str
    contestants: Callable[[Bench], list[Contestant]]
    figure: str = "rate"
    label: str = "tasks a second"
    axis: str | None = None  # what `Contestant.at` counts, where the picture is a curve
