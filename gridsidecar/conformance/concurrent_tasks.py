"""Level 2, for a handler that takes many tasks at once: all are answered, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from gridsidecar import wire
from gridsidecar.conformance.bench import LARGE, Bench, ended, wait_for_ready
from gridsidecar.conformance.handler_under_test import HandlerLine, HandlerUnderTest
from gridsidecar.conformance.level1 import longer
from gridsidecar.conformance.level2 import can_cancel
from gridsidecar.conformance.run import names, shown, terminal_of
from gridsidecar.conformance.verdict import CheckResult, failed, inconclusive, not_applicable, passed
from gridsidecar.rules.task import Claim
from gridsidecar.wire import ErrorEvent, ReadyEvent, ResultEvent

_MOST = 20  # tasks that are sent at once
_ONE = not_applicable("it takes one task at a time")
_NEVER_READY = inconclusive("it never said ready", "see above")


def _beside_others(attempt: Callable[[Bench, HandlerUnderTest, int], CheckResult]) -> Callable[[Bench], CheckResult]:
    """A check with a handler that is ready, and so many tasks as are tried at once."""

    @wraps(attempt)
    def check(bench: Bench) -> CheckResult:
        with bench.started("persistent") as child:
            room = _room(bench, child)
            return room if isinstance(room, CheckResult) else attempt(bench, child, room)

    return check


@_beside_others
def at_once(bench: Bench, child: HandlerUnderTest, room: int) -> CheckResult:
    """Many tasks of 1 MiB each, sent before any is answered."""
    claims = [bench.claim(number=n, x_padding="x" * LARGE) for n in range(1, room + 1)]
    if (problem := _all_answered(bench, child, claims)) is not None:
        return problem
    for claim in claims:
        if len(ends := _ends(child, claim)) > 1:
            return failed(f"a second end of one task: {shown(ends[1])}", "say one result or error for each task")
    return passed(f"{room} tasks of 1 MiB at once, each with one end")


@_beside_others
def cancel_one(bench: Bench, child: HandlerUnderTest, room: int) -> CheckResult:
    """One of several is cancelled; the others end as ever."""
    claims = [bench.claim(number=n) for n in range(1, min(room, 5) + 1)]
    child.send(b"".join(map(bench.line, claims)))
    child.send(wire.encode_cancel(claims[0], reason="cancel", grace_s=bench.limits.grace))
    child.wait(lambda: ended(child, claims[0].task_id) or child.exit, bench.limits.grace)
    if not (first := _ends(child, claims[0])):
        return failed(f"the cancelled one of {len(claims)} tasks did not end", "end the task that `cancel` names")
    if (problem := _all_answered(bench, child, claims[1:], send=False)) is not None:
        return problem
    wanted = [type(line.heard) for line in bench.sample.terminal[:1]]
    for claim in claims[1:]:
        if [type(_ends(child, claim)[0].heard)] != wanted:
            return failed(
                f"a cancel for another task ended this one: {shown(_ends(child, claim)[0])}",
                "stop the task that `cancel` names, and no other",
            )
    if [type(first[0].heard)] == wanted:
        return not_applicable("the task was over by itself", longer(bench))
    return passed(f"one of {len(claims)} tasks ended, the others went on")


@_beside_others
def end_of_stdin(bench: Bench, child: HandlerUnderTest, room: int) -> CheckResult:
    """Stdin ends while it has several tasks: it finishes them, then exits."""
    claims = [bench.claim(number=n) for n in range(1, min(room, 5) + 1)]
    child.send(b"".join(map(bench.line, claims)))
    child.close_stdin()
    if (problem := _all_answered(bench, child, claims, send=False)) is not None:
        return problem
    if not child.wait_for_exit(bench.limits.grace):
        return failed(
            f"its tasks had ended, and it was still there {bench.limits.grace:g} s later",
            "exit when stdin is at its end and the last task is over",
        )
    return passed(f"{len(claims)} tasks ended, then it did")


@_beside_others
def mixed_cases(bench: Bench, child: HandlerUnderTest, room: int) -> CheckResult:
    """Tasks that differ in length and in how they end, in one process: each has its own answer."""
    cases: list[dict[str, Any]] = [
        {"case": "full", "seconds": 0.5},
        {"case": "fail"},
        {"case": "echo", "n": 1},
        {"case": "echo", "n": 2},
    ]
    claims = [bench.claim(number=n, data=data) for n, data in enumerate(cases[:room], 1)]
    if (problem := _all_answered(bench, child, claims)) is not None:
        return problem
    for data, claim in zip(cases, claims, strict=False):
        heard = _ends(child, claim)[0].heard
        if isinstance(heard, ErrorEvent) != (data["case"] == "fail"):
            return failed(f"{data['case']} ended otherwise: {shown(_ends(child, claim)[0])}", "keep tasks apart")
        if isinstance(heard, ResultEvent) and heard.result != _wanted(data, claim):
            return failed(f"the answer of another: {shown(_ends(child, claim)[0])}", "keep tasks apart")
    order = [_ends(child, claim)[0].at for claim in claims]
    if len(order) > 1 and order[0] < order[-1]:
        return failed("a task of half a second held up those beside it", "run them at once, or say a concurrency of 1")
    return passed(f"{len(claims)} tasks, each with its own answer, the quick before the slow")


def _wanted(data: dict[str, Any], claim: Claim) -> Any:
    return data if data["case"] == "echo" else {"attempt": 1, "checkpoint": None, "task_id": claim.task_id}


def _room(bench: Bench, child: HandlerUnderTest) -> int | CheckResult:
    """How many tasks are tried at once, or why none are."""
    ready = wait_for_ready(child, bench.limits.ready_timeout)
    if ready is None:
        return _NEVER_READY
    assert isinstance(ready.heard, ReadyEvent)
    if ready.heard.refused is not None:
        return failed(f"concurrency is {ready.heard.refused}", "say a whole number from 1, or leave it out")
    if ready.heard.concurrency == 1:
        return _ONE
    if not can_cancel(ready):
        return failed(
            "it takes many tasks at once and has no capability cancel: it gets one at a time",
            'answer `cancel`, and say "capabilities": ["cancel"]',
        )
    return min(ready.heard.concurrency, _MOST)


def _all_answered(
    bench: Bench, child: HandlerUnderTest, claims: Iterable[Claim], *, send: bool = True
) -> CheckResult | None:
    claims = list(claims)
    if send:
        child.send(b"".join(map(bench.line, claims)))
    child.wait(lambda: all(_ends(child, claim) for claim in claims) or child.exit, bench.limits.timeout)
    missing = [claim.task_id for claim in claims if not _ends(child, claim)]
    if not missing:
        return None
    state = "it still runs" if child.exit is None else f"{child.exit}: {child.stderr.last_line()}"
    return failed(
        f"{len(missing)} of {len(claims)} tasks at once got no result and no error ({state}), the first: {missing[0]}",
        "answer every task, or say a smaller concurrency",
    )


def _ends(child: HandlerUnderTest, claim: Claim) -> list[HandlerLine]:
    return [line for line in child.lines if terminal_of(line) is not None and names(line, claim.task_id)]
