"""What the project holds itself to, and whether a run kept it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.rates import Spread, ratios
from benchmarks.results import Results
from benchmarks.scenarios import page
from benchmarks.scenarios.peers import (
    AMQP_CONSUME,
    CELERY_CAT,
    CELERY_CAT_MYSQL,
    CELERY_NOOP,
    CELERY_NOOP_MYSQL,
    DRAMATIQ_CAT,
    DRAMATIQ_NOOP,
    ONESHOT_8,
    ONESHOT_16,
    ONESHOT_IN_2,
    WARM_2,
    WARM_16,
)

Verdict = Literal["met", "missed", "stretch met", "not measured"]
ONESHOT = (ONESHOT_8, ONESHOT_16)


@dataclass(frozen=True)
class Budget:
    """One line. `limit` is the least, or where `at_most` the most, that the median over the rounds may be."""

    what: str
    measure: Callable[[Results], Spread | None]
    limit: float
    unit: str = "×"
    at_most: bool = False
    stretch: float | None = None
    only_stretch: bool = False

    def verdict(self, measured: Spread | None) -> Verdict:
        if measured is None:
            return "not measured"
        if self.stretch is not None and self._keeps(measured, self.stretch):
            return "stretch met"
        return "met" if self._keeps(measured, self.limit) else "missed"

    def _keeps(self, measured: Spread, limit: float) -> bool:
        return measured.middle <= limit if self.at_most else measured.middle >= limit

    @property
    def wording(self) -> str:
        text = f"{'≤' if self.at_most else '≥'} {self.limit:g} {self.unit}"
        if self.only_stretch:
            return f"stretch {text}"
        return text if self.stretch is None else f"{text}, stretch {self.stretch:g} {self.unit}"


def _best(results: Results, scenario: str, names: Sequence[str], figure: str) -> list[float] | None:
    """In each round the largest value of these contestants."""
    columns = [column for name in names if (column := results.figures(scenario, name, figure))]
    return [max(row) for row in zip(*columns, strict=True)] if columns else None


def _rate(ours: Sequence[str], theirs: Sequence[str], scenario: str = "peers") -> Callable[[Results], Spread | None]:
    return _ratio(scenario, "rate", ours, theirs)


def _ratio(
    scenario: str, figure: str, ours: Sequence[str], theirs: Sequence[str]
) -> Callable[[Results], Spread | None]:
    def measure(results: Results) -> Spread | None:
        our, their = (_best(results, scenario, names, figure) for names in (ours, theirs))
        return ratios(our, their) if our and their else None

    return measure


def _against(contestant: str) -> Callable[[Results], Spread | None]:
    """Its CPU a task, against the other checkout's in the same rounds."""

    def measure(results: Results) -> Spread | None:
        against = results.about.get("peers", {"commits": {}})["commits"].get("against")
        name = f"{contestant} @{against}"
        return _ratio("peers", "cpu_own", [contestant], [name])(results)

    return measure


def _plain(scenario: str, contestant: str, figure: str) -> Callable[[Results], Spread | None]:
    def measure(results: Results) -> Spread | None:
        values = results.figures(scenario, contestant, figure)
        return Spread.of(values) if values else None

    return measure


def _slowest(results: Results) -> Spread | None:
    """In each round the question to the API that took longest, of its usual times."""
    found = results.scenarios.get("lists", {})
    columns = [figures["p50_ms"] for figures in found.values()]
    return Spread.of([max(row) for row in zip(*columns, strict=True)]) if columns else None


BUDGETS = (
    Budget("oneshot `cat`, best concurrency, against `amqp-consume`", _rate(ONESHOT, [AMQP_CONSUME]), 1.15),
    Budget("the same in 2 worker processes", _rate([ONESHOT_IN_2], [AMQP_CONSUME]), 1.15),
    Budget("oneshot at concurrency 8 against its own best", _rate([ONESHOT_8], ONESHOT), 0.9),
    Budget("oneshot `cat` against Celery prefork, no backend", _rate(ONESHOT, [CELERY_CAT]), 1.25),
    Budget("the same in 2 worker processes, as Celery has", _rate([ONESHOT_IN_2], [CELERY_CAT]), 1.25),
    Budget("oneshot `cat` against Celery prefork, MySQL backend", _rate(ONESHOT, [CELERY_CAT_MYSQL]), 3),
    Budget("oneshot `cat` against Dramatiq, which stores nothing", _rate(ONESHOT, [DRAMATIQ_CAT]), 0.85, stretch=1.0),
    Budget("the same in 2 worker processes, as Dramatiq has", _rate([ONESHOT_IN_2], [DRAMATIQ_CAT]), 0.85, stretch=1.0),
    Budget(
        "persistent no-op, 16 processes, against Celery, no backend", _rate([WARM_16], [CELERY_NOOP]), 1, stretch=1.1
    ),
    Budget("persistent no-op, 16 processes, against Celery, MySQL backend", _rate([WARM_16], [CELERY_NOOP_MYSQL]), 5),
    Budget("persistent with 2 warm processes against 16", _rate([WARM_2], [WARM_16]), 0.8),
    Budget(
        "persistent no-op against Dramatiq, which stores nothing",
        _rate([WARM_2, WARM_16], [DRAMATIQ_NOOP]),
        0.5,
        only_stretch=True,
    ),
    Budget(
        "CPU a task, oneshot at concurrency 16, against the other checkout", _against(ONESHOT_16), 0.5, at_most=True
    ),
    Budget(
        "CPU a task, persistent with 16 processes, against the other checkout", _against(WARM_16), 0.5, at_most=True
    ),
    Budget(
        "database 5 ms away, handler of 20 ms, concurrency 8", _plain("distant", "5 ms away", "rate"), 360, "tasks/s"
    ),
    Budget("1,000,000 rows against an empty table", _rate(["rows · 1,000,000"], ["rows · 0"], "table_size"), 0.9),
    Budget("the API's slowest page, or statistics, of 1,000,000 tasks", _slowest, 50, "ms", at_most=True),
    Budget("five open pages against none", _ratio("page", "rate", [page.PAGES], [page.NOBODY]), 0.95),
    Budget(
        "`/metrics` and `/v1/stats` each second against none",
        _ratio("page", "rate", [page.PROGRAM], [page.NOBODY]),
        0.95,
    ),
    Budget("the same against no API", _ratio("page", "rate", [page.PROGRAM], [page.OFF]), 0.95),
    Budget("start to consuming with the API", _plain("page", page.NOBODY, "start_s"), 1.0, "s", at_most=True),
    Budget("resident memory with the API in use", _plain("page", page.PROGRAM, "rss_mib"), 80, "MiB", at_most=True),
    Budget("publish → first byte, idle, p50", _plain("latency", "oneshot", "p50_ms"), 6, "ms", at_most=True),
    Budget("publish → first byte, idle, p99", _plain("latency", "oneshot", "p99_ms"), 25, "ms", at_most=True),
    Budget("start to consuming", _plain("peers", ONESHOT_8, "start_s"), 0.8, "s", at_most=True),
    Budget("resident memory, launcher included", _plain("peers", ONESHOT_8, "rss_mib"), 64, "MiB", at_most=True),
)
