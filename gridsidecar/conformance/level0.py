"""Level 0: any command that ends."""

from __future__ import annotations

from gridsidecar.conformance.bench import Bench
from gridsidecar.conformance.finding import Finding, failed, inconclusive, passed
from gridsidecar.task import Failed, Outcome, Succeeded


def ends(bench: Bench) -> Finding:
    run = bench.sample
    if bench.mode == "persistent" and run.ready is None:
        return failed(
            _not_ready(bench), "say ready as the first message; a handler that ends after each task is --mode oneshot"
        )
    if run.outcome is None:
        return failed(
            f"it still ran after {bench.limits.timeout:g} s",
            "end once the task is done; --timeout gives it more time, --task an easier task",
        )
    return passed(f"the task ended after {run.seconds:.2f} s")


def _not_ready(bench: Bench) -> str:
    exit_ = bench.sample.exit
    if exit_ is not None and not exit_.signal:
        return f"no ready came before its end ({exit_}): {bench.sample.stderr or 'it said nothing on stderr'}"
    return f"no ready came within {bench.limits.ready_timeout:g} s"


def succeeds(bench: Bench) -> Finding:
    outcome = bench.sample.outcome
    match outcome:
        case Succeeded():
            return passed("success")
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
    """An outcome in a few words."""
    match outcome:
        case Succeeded():
            return "success"
        case Failed(error=error, error_type=error_type, retryable=retryable):
            hint = {True: ", to be retried", False: ", for good", None: ""}[retryable]
            return f"failed{hint}: {error_type}: {error}"
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
