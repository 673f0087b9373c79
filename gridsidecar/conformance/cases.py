"""An SDK's own program, which does what `data.case` says: what no other handler can be asked to show."""

from __future__ import annotations

import json
from typing import Any

from gridsidecar.conformance.bench import Bench, wait_for_ready
from gridsidecar.conformance.handler_under_test import HandlerLine, HandlerUnderTest
from gridsidecar.conformance.level0 import told
from gridsidecar.conformance.level2 import can_cancel, cancelled
from gridsidecar.conformance.run import Run, deciding, fields_of
from gridsidecar.conformance.verdict import CheckResult, failed, passed
from gridsidecar.rules.task import Claim, Failed, Succeeded
from gridsidecar.wire import ReadyEvent

TEXT = 'é ☃ 𝄞 \u2028 \u0085 "quoted" \\ \n \u0001'
LARGEST = 1024 * 1024 - 2  # characters of a result that is just not too large
ODD: dict[str, Any] = {
    "list": [],
    "object": {},
    "nothing": None,
    "no": False,
    "zero": 0,
    "text": "",
    "whole": 2**53 - 1,
    "part": 0.25,
    "deep": [[{"键": [None, {}]}]],
}
_PAUSE = 0.6  # seconds between the first messages of `full` and its end
_AT_WORK = 2.0  # seconds after which a program has started, and one that does not work is over
_FULL: tuple[dict[str, Any], ...] = (
    {"type": "progress", "progress": 10, "progress_message": "started"},
    {"type": "log", "level": "warning", "message": "slow disk", "fields": {"ms": 812}},
    {"type": "heartbeat"},
    {"type": "checkpoint", "data": {"page": 17}},
    {"type": "progress", "progress": 90.5},
)


def _run(bench: Bench, name: str, **data: Any) -> tuple[Run, Claim]:
    claim = bench.claim(data={"case": name, **data})
    return bench.run(claim), claim


def full(bench: Bench) -> CheckResult:
    run, claim = _run(bench, "full", seconds=_PAUSE)
    said = [fields_of(line) for line in run.events]
    missing = [wanted for wanted in _FULL if not any(wanted.items() <= fields.items() for fields in said)]
    if missing:
        return failed(f"it did not say {missing[0]}", "say each of its messages, with these fields")
    wanted = {"attempt": 1, "checkpoint": None, "task_id": claim.task_id}
    if run.outcome != Succeeded(wanted):
        return failed(f"{_shown(run)}, not {wanted}", "return attempt, last checkpoint and id of the task")
    if run.events[-1].at - _first(run).at < _PAUSE / 2:
        return failed("its messages came at its end", "write each message at once")
    return passed("every message, each at once")


def _first(run: Run) -> HandlerLine:
    return next(line for line in run.events if not isinstance(line.heard, ReadyEvent))


def fail(bench: Bench) -> CheckResult:
    run, _ = _run(bench, "fail")
    match run.outcome:
        case Failed(error=error, retryable=None) if "it broke" in error and run.terminal:
            return passed(told(run.outcome))
        case _:
            advice = "make an error of an exception: its text, its type, no word on retries"
            return failed(_shown(run), advice)


def permanent(bench: Bench) -> CheckResult:
    run, _ = _run(bench, "permanent")
    match run.outcome:
        case Failed(error="bad input", error_type="BadInput", retryable=False):
            return passed(told(run.outcome))
        case _:
            return failed(_shown(run), 'say "bad input" of type BadInput with "retryable": false')


def retry(bench: Bench) -> CheckResult:
    run, _ = _run(bench, "retry")
    match run.outcome:
        case Failed(error="try later", error_type="RateLimited", retryable=True, retry_after=2.5):
            return passed(f"{told(run.outcome)}, after 2.5 s")
        case _:
            return failed(_shown(run), 'say "try later" of type RateLimited with "retry_after_s": 2.5')


def echo(bench: Bench) -> CheckResult:
    run, claim = _run(bench, "echo", **ODD)
    if isinstance(run.outcome, Succeeded) and _exactly(run.outcome.result) == _exactly(claim.task.data):
        return passed("all kinds of values came back as they were")
    return failed(_shown(run), "keep [] and {}, null, false and 0, and whole numbers up to 2^53 apart and exact")


def _exactly(value: Any) -> str:
    """In Python False equals 0, and 1 equals 1.0."""
    return json.dumps(value, sort_keys=True)


def noise(bench: Bench) -> CheckResult:
    run, _ = _run(bench, "noise")
    if run.outcome == Succeeded({"said": "plainly"}):
        return passed("what it and a child of it printed decided nothing")
    return failed(_shown(run), "keep messages apart from what is printed: use the events pipe")


def characters(bench: Bench) -> CheckResult:
    run, _ = _run(bench, "unicode")
    if run.outcome == Succeeded(TEXT):
        return passed("every character came back")
    return failed(_shown(run), "build messages with a JSON encoder, and write UTF-8")


def big(bench: Bench) -> CheckResult:
    run, _ = _run(bench, "big", bytes=LARGEST)
    if run.outcome == Succeeded("x" * LARGEST):
        return passed("a result of 1 MiB is whole")
    return failed(_shown(run), "write until all of a line is written, and exit only then")


def stop(bench: Bench) -> CheckResult:
    claim = bench.claim(data={"case": "stop"})
    with bench.started(bench.mode, claim) as child:
        ready = wait_for_ready(child, bench.limits.ready_timeout) if bench.mode == "persistent" else None
        child.send(bench.line(claim))
        if bench.mode == "oneshot":
            child.close_stdin()
        child.wait(lambda: child.exit, _AT_WORK)
        if child.exit is not None or deciding(child.lines):
            return failed("it did not work until it was asked to stop", "work for a minute, unless it is asked to stop")
        if ready is not None and can_cancel(ready):
            return cancelled(bench, child, claim)
        return _stopped(bench, child)


def _stopped(bench: Bench, child: HandlerUnderTest) -> CheckResult:
    asked = child.now
    child.terminate()
    if not child.wait_for_exit(bench.limits.grace):
        return failed(f"it was still there {bench.limits.grace:g} s after SIGTERM", "let SIGTERM end its work")
    end = next(iter(deciding(child.lines)), None)
    word = "with no last message" if end is None else f"with a last {fields_of(end).get('type')}"
    return passed(f"gone {max(0.0, child.now - asked):.2f} s after SIGTERM, {word}")


def _shown(run: Run) -> str:
    if isinstance(run.outcome, Succeeded):
        text = repr(run.outcome.result)
        return f"success: {text if len(text) <= 80 else text[:77] + '...'}"
    return told(run.outcome)
