"""What is asked of a server alone, beside what is asked of any handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gridsidecar.conformance.bench import Bench
from gridsidecar.conformance.level0 import told
from gridsidecar.conformance.level1 import like_the_sample
from gridsidecar.conformance.verdict import CheckResult, failed, not_applicable, passed, warning
from gridsidecar.handler.command import NotStartable
from gridsidecar.handler.http_end import TEXTS, is_json
from gridsidecar.rules.task import Succeeded

if TYPE_CHECKING:
    from gridsidecar.conformance.server_bench import ServerBench

LINES = "application/x-ndjson"
JSON = "application/json"


def media_type(bench: Bench) -> CheckResult:
    kind = _server(bench).media_type
    if not bench.sample.events:
        return _of_no_messages(bench, kind)
    if kind == LINES:
        return passed(kind)
    return warning(f"its messages come as {kind or 'no type'}", f"send Content-Type: {LINES}")


def _of_no_messages(bench: Bench, kind: str) -> CheckResult:
    if not isinstance(bench.sample.outcome, Succeeded) or kind in TEXTS or is_json(kind):
        return not_applicable("it says no messages")
    return warning(f"its result comes as {kind}", f"send Content-Type: {JSON}")


def at_once(bench: Bench) -> CheckResult:
    """Each with an outcome of its own."""
    try:
        runs = _server(bench).at_once
    except NotStartable as refused:
        return warning(f"it does not take several tasks at once: {refused}", "give its handler a concurrency of 1")
    wrong = next((run for run in runs if not isinstance(run.outcome, Succeeded)), None)
    if wrong is None or not isinstance(bench.sample.outcome, Succeeded):
        return passed(f"{len(runs)} tasks at once: {told(runs[0].outcome)}")
    return failed(
        f"{len(runs)} tasks at once: {told(wrong.outcome)}",
        "keep tasks apart, or say 503 and give its handler a concurrency of 1",
    )


def closed_connection(bench: Bench) -> CheckResult:
    """Whether it stopped the task nobody can see; that it goes on serving, everybody."""
    if not _server(bench).hang_up():
        return not_applicable(
            "its task ended before the connection was closed", "to have it checked, give it a task that takes longer"
        )
    try:
        run = bench.run(bench.claim())
    except NotStartable as gone:
        return failed(f"after a connection was closed: {gone}", "let a closed connection end its task, and no more")
    return like_the_sample(
        bench, run, "after a connection was closed", "let a closed connection end its task, and no more"
    )


def _server(bench: Bench) -> ServerBench:
    from gridsidecar.conformance.server_bench import ServerBench

    assert isinstance(bench, ServerBench)  # these checks are for no other
    return bench
