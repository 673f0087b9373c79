"""How long whoever asks the API waits for a page of tasks, and for statistics, however many tasks there are."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks import rows
from benchmarks.bench import Bench, Contestant, Figures, Scenario
from benchmarks.rates import percentile
from benchmarks.sidecar import Checkout, place, sidecar

SIZE = 1_000_000
ASKED = 20  # times in a round
PAGES: dict[str, dict[str, str]] = {
    "all": {},
    "status": {"status": "failed"},
    "type": {"type": "mail"},
    "type and status": {"type": "mail", "status": "failed"},
    "queue": {"queue": "other"},
    "error_type": {"error_type": "TimeoutError"},
    "id_prefix": {"id_prefix": "3f"},
}
NEWEST, MIDDLE = "the newest", "in the middle"


def contestants(bench: Bench) -> list[Contestant]:
    """All of one checkout use one table, filled before the first of the rounds."""
    size = bench.size(SIZE, 2000)
    filled: dict[Checkout, str] = {}

    def asked(checkout: Checkout, path: str, queries: list[dict[str, str]]) -> Figures:
        if checkout not in filled:
            filled[checkout] = rows.filled(bench, checkout, size, various=True)
        with (
            place(bench.servers, filled[checkout]) as where,
            sidecar(checkout, where, {"default": {"command": ["cat"]}}, listen="127.0.0.1:0") as running,
        ):
            times = _times(running.api, path, queries)
        return {"p50_ms": percentile(times, 0.5), "most_ms": times[-1]}

    questions: list[tuple[str, str, list[dict[str, str]]]] = [
        (f"{name}, {which}", "/v1/tasks", _ranges(wanted, back))
        for name, wanted in PAGES.items()
        for which, back in ((NEWEST, 0), (MIDDLE, rows.SINCE_S + size // 32))
    ]
    questions.append(("statistics", "/v1/stats", [{}]))
    return [
        each
        for name, path, queries in questions
        for each in bench.sidecars(name, lambda checkout, path=path, queries=queries: asked(checkout, path, queries))
    ]


def _ranges(wanted: dict[str, str], back: int) -> list[dict[str, str]]:
    """The question, up to so many seconds ago, with another range each time: what was asked before is remembered."""
    now = datetime.now(UTC)
    return [
        {
            **wanted,
            "since": _time(now - timedelta(days=30, seconds=number)),
            "until": _time(now - timedelta(seconds=back)),
        }
        for number in range(ASKED)
    ]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _times(url: str, path: str, queries: list[dict[str, str]]) -> list[float]:
    """Milliseconds to each answer, ascending."""
    times = []
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        _answer(connection, "/v1/queues")  # what is loaded by a first question is not measured
        for query in queries:
            began = time.monotonic()
            answer = _answer(connection, f"{path}?{urlencode(query)}")
            times.append(1000 * (time.monotonic() - began))
            assert path == "/v1/stats" or answer["tasks"], f"nothing was found by {query}"
    return sorted(times)


def _answer(connection: http.client.HTTPConnection, target: str) -> dict[str, Any]:
    connection.request("GET", target)
    response = connection.getresponse()
    content: dict[str, Any] = json.loads(response.read())
    assert response.status == 200, content
    return content


SCENARIO = Scenario(
    "lists", "Answers of the API with 1,000,000 tasks in the table", contestants, "p50_ms", "ms to the answer, median"
)
