"""What those who look cost the tasks that run: five open pages, and a program that asks for the figures each second."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext

from benchmarks import rows
from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.pages import FIGURES, OVERVIEW, open_pages
from benchmarks.settings import persistent
from benchmarks.sidecar import Checkout, Sidecar, place, sidecar

OFF, NOBODY = "no API", "nobody looks"
PAGES, PROGRAM = "five open pages", "/metrics and /v1/stats each second"
EARLIER = 200_000  # tasks in the table: nothing counts more than 100,000 of a state, so that a million cost no more


def contestants(bench: Bench) -> list[Contestant]:
    """All of one checkout use one table, filled before the first of the rounds."""
    tasks, earlier = bench.size(16_000, 200), bench.amount(EARLIER, 1000)
    filled: dict[Checkout, str] = {}

    def looked_at(by: Sidecar, pages: int | None, asked: dict[str, float]) -> AbstractContextManager[Counter[int]]:
        return nullcontext(Counter()) if pages is None else open_pages(by.api, pages, asked)

    def beside(checkout: Checkout, pages: int | None, asked: dict[str, float]) -> Figures:
        if checkout not in filled:
            filled[checkout] = rows.filled(bench, checkout, earlier)
        with place(bench.servers, filled[checkout]) as where:
            where.fill(tasks)
            handlers = {"default": persistent("noop.py", processes=16)}
            listen = None if pages is None else "127.0.0.1:0"
            with (
                sidecar(checkout, where, handlers, 16, bench.processes, listen=listen) as running,
                looked_at(running, pages, asked) as answers,
            ):
                figures = running.figures(tasks)
        return figures | {"answers": answers.total(), "unchanged": answers[304]}

    looking = {OFF: (None, {}), NOBODY: (0, {}), PAGES: (5, OVERVIEW), PROGRAM: (1, FIGURES)}
    return [
        each
        for name, (pages, asked) in looking.items()
        for each in bench.sidecars(name, lambda checkout, pages=pages, asked=asked: beside(checkout, pages, asked))
    ]


SCENARIO = Scenario("page", "Persistent no-op, 16 processes, 200,000 rows, by who looks", contestants)
