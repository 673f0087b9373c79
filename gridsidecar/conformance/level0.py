"""Level 0: any command that ends."""

from __future__ import annotations

import json

from gridsidecar.conformance.bench import Bench
from gridsidecar.conformance.handler_under_test import HandlerLine
from gridsidecar.conformance.run import Run, error_of, fields_of
from gridsidecar.conformance.verdict import CheckResult, failed, inconclusive, passed
from gridsidecar.language.failures import told_of
from gridsidecar.language.quoting import theirs
from gridsidecar.rules.task import Failed, Outcome, Succeeded
from gridsidecar.wire import ReadyEvent

FLUSH = "flush after each line (print(..., flush=True), fflush, $| = 1, jq --unbuffered), or use the events pipe"


def ends(bench: Bench) -> CheckResult:
    run = bench.sample
    if bench.mode == "persistent" and run.ready is None:
        return _not_ready(bench, run)
    if run.outcome is None:
        return _endless(bench, run)
    return passed(f"the task ended after {run.seconds:.2f} s")


def _not_ready(bench: Bench, run: Run) -> CheckResult:
    in_its_place = next((error for line in run.terminal if (error := error_of(line))), None)
    if in_its_place is not None:
        return inconclusive(f"it said that it cannot start: {in_its_place.error}", "give it what it needs to start")
    late = next((line for line in run.events if isinstance(line.heard, ReadyEvent)), None)
    if late is not None:
        seen = f"ready came only after {late.at:.1f} s, when its stdin had ended: was it held in a buffer? [P1]"
        return failed(seen, f"{FLUSH}; a slow start gets more time by --ready-timeout")
    if run.exit is not None and run.exit.at <= run.began:
        seen = f"no ready came before its end ({run.exit}): {run.stderr or 'it said nothing on stderr'}"
    else:
        seen = f"no ready came within {bench.limits.ready_timeout:g} s"
    return failed(seen, "say ready as the first message; a handler that ends after each task is --mode oneshot")


def _endless(bench: Bench, run: Run) -> CheckResult:
    still = f"it still ran after {bench.limits.timeout:g} s"
    if not run.terminal:
        return failed(still, "end once the task is done; --timeout gives it more time, --task an easier task")
    if bench.mode == "persistent":
        return failed(f"{misaddressed(run.terminal[0], run.task_id)} [P3]", ADDRESS)
    end = run.terminal[0]
    return failed(
        f"{still}, although it had said its {fields_of(end).get('type')} after {end.at - run.began:.2f} s",
        "exit once that is said: stop what keeps it running, such as threads, timers and connections",
    )


ADDRESS = "put the task_id of the task into every message about it: progress, checkpoint, result, error"


def misaddressed(end: HandlerLine, task_id: str) -> str:
    """A terminal message that did not end the task."""
    said = fields_of(end)
    whose = f"names task {json.dumps(said['task_id'])}" if "task_id" in said else "names no task"
    return f"its {said.get('type')} {whose}; the task is {json.dumps(task_id)}"


def succeeds(bench: Bench) -> CheckResult:
    outcome = bench.sample.outcome
    match outcome:
        case Succeeded():
            return passed("success: its answer is the result" if bench.sample.is_the_result else "success")
        case Failed(retryable=True):
            return inconclusive(
                f"it asks for a retry of the sample task: {told(outcome)}",
                "try again later, or give it a task that it can do now: --task FILE",
            )
        case Failed():
            return failed(told(outcome), "give it a task that it can do (--task FILE), or mend it")
        case _:
            return inconclusive("the sample task has no outcome", "see above")


def told(outcome: Outcome | None) -> str:
    """An outcome in a few words; what the handler said is marked."""
    match outcome:
        case Succeeded():
            return "success"
        case Failed(error=error, error_type=error_type, retryable=retryable):
            hint = {True: ", to be retried", False: ", for good", None: ""}[retryable]
            return f"failed{hint}: {theirs(error_type)}: {told_of(error, error_type, began=True)}"
        case None:
            return "no end in time"
        case _:
            return type(outcome).__name__.lower()


def alike(one: Outcome | None, other: Outcome | None) -> bool:
    """Texts of errors may differ."""
    match one, other:
        case Failed(), Failed():
            return (one.error_type, one.retryable) == (other.error_type, other.retryable)
        case _:
            return type(one) is type(other)
