"""The state machine as a table: what an attempt's end does to its row."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.rules.lifecycle import (
    PATIENT_INTERRUPTIONS,
    START_AGAIN_AFTER,
    decide,
)
from gridsidecar.rules.retry import LONGEST_RETRY_AFTER, RetryPolicy
from gridsidecar.rules.task import (
    Cancelled,
    CannotStart,
    Claim,
    Disowned,
    Displaced,
    Failed,
    Interrupted,
    Message,
    NotStarted,
    Outcome,
    Settle,
    Status,
    Succeeded,
    Task,
    Transition,
)

A = "worker-a"


def claim(**columns: Any) -> Claim:
    known: dict[str, Any] = {"attempt": 3, "worker_id": A, "max_retry_count": 2} | columns
    return Claim(task=Task(task_id="t", message=Message(body=b"{}")), **known)


def ended(of: Claim, outcome: Outcome, policy: RetryPolicy | None = None, max_crashes: int = 3) -> Transition:
    transition = decide(of, outcome, policy or RetryPolicy(delay=7), random.Random(1), max_crashes=max_crashes)
    assert transition is not None
    return transition


def boom(**details: Any) -> Failed:
    known: dict[str, Any] = {"error": "boom", "error_type": "RateLimited"} | details
    return Failed(**known)


def expect(status: Status, settle: Settle, outcome: str, **changes: Any) -> Transition:
    known: dict[str, Any] = {"retry_count": 0, "crashes": 0, "interruptions": 0} | changes
    return Transition(status=status, settle=settle, outcome=outcome, **known)


FAILED = {"error": "boom", "error_type": "RateLimited"}
EXHAUSTED = {"error": "boom", "error_type": "RetryExhausted", "last_error_type": "RateLimited"}
LOST_TO_SHUTDOWNS = {"error_type": "WorkerLost", "interruptions": 10}

_ENDS: list[tuple[str, Claim, Outcome, Transition]] = [
    ("success: ack", claim(), Succeeded({"w": 1}),
     expect(Status.SUCCESS, Settle.ACK, "success", result={"w": 1}, beats_cancel=True)),
    ("success keeps the counters", claim(retry_count=1, crashes=2, interruptions=4), Succeeded(),
     expect(Status.SUCCESS, Settle.ACK, "success", beats_cancel=True, retry_count=1, crashes=2, interruptions=4)),
    ("failure, a retry left: retrying, delayed message, ack", claim(), boom(),
     expect(Status.RETRYING, Settle.DELAY, "failed", delay=7.0, retry_count=1, **FAILED)),
    ("failure, the last retry left", claim(retry_count=1), boom(),
     expect(Status.RETRYING, Settle.DELAY, "failed", delay=7.0, retry_count=2, **FAILED)),
    ("failure, retryable said: the count still ends it", claim(retry_count=2), boom(retryable=True),
     expect(Status.FAILED, Settle.ACK, "failed", retry_count=2, **EXHAUSTED)),
    ("failure, retries spent: RetryExhausted with last_error_type", claim(retry_count=2), boom(),
     expect(Status.FAILED, Settle.ACK, "failed", retry_count=2, **EXHAUSTED)),
    ("failure, no retry ever allowed: its own error_type", claim(max_retry_count=0), boom(),
     expect(Status.FAILED, Settle.ACK, "failed", **FAILED)),
    ("failure for good: failed, its own error_type", claim(), boom(retryable=False),
     expect(Status.FAILED, Settle.ACK, "failed", **FAILED)),
    ("failure for good after a retry", claim(retry_count=1), boom(retryable=False),
     expect(Status.FAILED, Settle.ACK, "failed", retry_count=1, **FAILED)),
    ("failure, crashes spend no retry", claim(crashes=3), boom(),
     expect(Status.RETRYING, Settle.DELAY, "failed", delay=7.0, retry_count=1, crashes=3, **FAILED)),
    ("failure with retry_after: that delay", claim(), boom(retry_after=42.5),
     expect(Status.RETRYING, Settle.DELAY, "failed", delay=42.5, retry_count=1, **FAILED)),
    ("failure with retry_after 0: at once", claim(), boom(retry_after=0.0),
     expect(Status.RETRYING, Settle.DELAY, "failed", delay=0.0, retry_count=1, **FAILED)),
    ("failure with retry_after of a year: a day", claim(), boom(retry_after=3e7),
     expect(Status.RETRYING, Settle.DELAY, "failed", delay=LONGEST_RETRY_AFTER, retry_count=1, **FAILED)),
    ("failure, the traceback stays with the row", claim(max_retry_count=0), boom(traceback="at line 1"),
     expect(Status.FAILED, Settle.ACK, "failed", traceback="at line 1", **FAILED)),
    ("cancelled: ack", claim(retry_count=1), Cancelled(),
     expect(Status.CANCELLED, Settle.ACK, "cancelled", error="cancelled on request", error_type="Cancelled",
            beats_cancel=True, retry_count=1)),
    ("interrupted: pending, due now, interruptions + 1, given back", claim(retry_count=1), Interrupted(),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, retry_count=1, interruptions=1)),
    ("interrupted the 9th time: no crash", claim(interruptions=8), Interrupted(),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, interruptions=9)),
    ("interrupted the 10th time: also a crash", claim(interruptions=9), Interrupted(),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, interruptions=10, crashes=1)),
    ("interrupted the 13th time: crashes add up", claim(interruptions=11, crashes=2), Interrupted(),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, interruptions=12, crashes=3)),
    ("interrupted beyond max_crashes: WorkerLost", claim(interruptions=9, crashes=3), Interrupted(),
     expect(Status.FAILED, Settle.ACK, "interrupted", crashes=4,
            error="interrupted 10 times by shutdowns of its worker", **LOST_TO_SHUTDOWNS)),
    ("interrupted early with all crashes spent: still given back", claim(crashes=3), Interrupted(),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, interruptions=1, crashes=3)),
    ("its process ended with several tasks: given back, a crash and no retry", claim(retry_count=1, interruptions=9),
     Displaced(error="gone", error_type="HandlerExit", suspect=True),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, retry_count=1, crashes=1, interruptions=9,
            error="gone", error_type="HandlerExit")),
    ("the same without retries and with all crashes spent", claim(max_retry_count=0, crashes=3),
     Displaced(error="gone", error_type="HandlerExit", suspect=True),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, crashes=4, error="gone",
            error_type="HandlerExit")),
    ("… while a neighbour was being ended: nothing spent", claim(retry_count=1),
     Displaced(error="gone", error_type="HandlerExit", suspect=False),
     expect(Status.PENDING, Settle.REQUEUE, "interrupted", delay=0.0, retry_count=1, error="gone",
            error_type="HandlerExit")),
    ("not started: pending, given back, nothing spent", claim(retry_count=1, crashes=1, interruptions=9), NotStarted(),
     expect(Status.PENDING, Settle.REQUEUE, "not_started", delay=0.0, retry_count=1, crashes=1, interruptions=9)),
    ("cannot start: pending, given back through a delayed message, nothing spent",
     claim(retry_count=1, crashes=1, interruptions=9), CannotStart("no such file: ./handler.sh"),
     expect(Status.PENDING, Settle.DELAY, "cannot_start", delay=START_AGAIN_AFTER, retry_count=1, crashes=1,
            interruptions=9, error="no such file: ./handler.sh", error_type="StartFailed")),
]  # fmt: skip


@pytest.mark.parametrize(("of", "outcome", "expected"), [pytest.param(*case[1:], id=case[0]) for case in _ENDS])
def test_on_an_end(of: Claim, outcome: Outcome, expected: Transition) -> None:
    assert ended(of, outcome) == expected


def test_a_disowned_attempt_writes_nothing() -> None:
    assert decide(claim(), Disowned(), RetryPolicy(), random.Random(1), max_crashes=3) is None


@pytest.mark.parametrize(("retry_count", "delay"), [(0, 5), (1, 10), (2, 20), (3, 25), (4, 25)])
def test_exponential_delays_follow_the_retry_not_the_attempt(retry_count: int, delay: float) -> None:
    policy = RetryPolicy(strategy="exponential", delay=5, max_delay=25)
    of = claim(retry_count=retry_count, attempt=90, crashes=3, max_retry_count=9)
    assert ended(of, boom(), policy).delay == delay


def test_jitter_lengthens_the_delay_of_a_retry() -> None:
    policy = RetryPolicy(delay=100, jitter=0.5)
    delays = {decided_delay(policy, seed) for seed in range(30)}
    assert len(delays) > 20
    assert all(100 <= delay <= 150 for delay in delays)


def decided_delay(policy: RetryPolicy, seed: int) -> float:
    transition = decide(claim(), boom(), policy, random.Random(seed), max_crashes=3)
    assert transition is not None
    assert transition.delay is not None
    return transition.delay


def test_retry_after_is_taken_as_it_is_without_jitter() -> None:
    policy = RetryPolicy(delay=100, jitter=1.0)
    assert ended(claim(), boom(retry_after=10.0), policy).delay == 10.0


def test_clean_shutdowns_alone_end_a_task_only_after_many() -> None:
    of, shutdowns = claim(), 0
    while (transition := ended(of, Interrupted())).status is Status.PENDING:
        shutdowns += 1
        of = replace(of, interruptions=transition.interruptions, crashes=transition.crashes)
    assert shutdowns == PATIENT_INTERRUPTIONS + 3
    assert transition.error_type == "WorkerLost"


def test_only_a_success_and_the_cancellation_itself_beat_a_cancel_request() -> None:
    beats = {type(outcome).__name__ for _, of, outcome, _ in _ENDS if ended(of, outcome).beats_cancel}
    assert beats == {"Succeeded", "Cancelled"}
