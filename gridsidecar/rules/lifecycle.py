"""The state machine, pure: what a delivery, an attempt's end and a fenced write mean for a task's row.

Each of the three has its function: `receive` says what a delivery means, `decide` what an attempt's end does to the
row, and `resolve_unmatched_write` why a write of ours changed no row. `tests/model` checks the rules over all
interleavings; `tests/store/test_stateful.py` walks through them on real stores. What a paused type and a rate keep from
its start is in `flow`.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Any, assert_never

from msgspec.structs import replace

from gridsidecar.language import counted
from gridsidecar.rules.isolation import is_suspect
from gridsidecar.rules.reception import (
    AckOnly,
    AwaitOwnProcess,
    AwaitSlot,
    Begin,
    Claimant,
    Close,
    Delay,
    Insert,
    Reattach,
    Reception,
    Resume,
    Row,
)
from gridsidecar.rules.retry import LONGEST_RETRY_AFTER, RetryPolicy
from gridsidecar.rules.task import (
    Cancelled,
    CannotStart,
    Claim,
    Disowned,
    Displaced,
    ErrorType,
    Failed,
    Interrupted,
    Message,
    NotStarted,
    Outcome,
    Settle,
    Status,
    Succeeded,
    Transition,
)

PATIENT_INTERRUPTIONS = 9  # from the next one on each also counts as a crash: node pressure looks like a shutdown
LONGEST_UNTIL_NEXT_LOOK = 300.0  # seconds until a task that runs elsewhere is asked about again
CANCELLED_ON_REQUEST = "cancelled on request"
START_AGAIN_AFTER = 5.0  # seconds until a task whose handler could not start comes back


def leftover(row: Row, message: Message) -> bool:
    """A message that the row no longer needs, unless it can start something.

    The row's own message is never one: it may be the only copy. Plain producers set no id, so absent equals absent.
    """
    older = message.wake_up or message.attempt < row.attempt
    return older and message.message_id != row.message_id


def receive(row: Row | None, message: Message, claimant: Claimant) -> Reception:
    """What this delivery means. The caller holds the row's lock and applies the answer before letting go."""
    if row is None:
        return Insert()
    if row.unseen:
        return replace(cancel(row), completes=True)
    if row.status.terminal:
        return AckOnly("already ended")
    if row.status is Status.RUNNING:
        return _receive_running(row, message, claimant)
    if row.cancel_requested:
        return cancel(row)
    if row.due_in <= 0:
        if is_suspect(row.crashes) and (claimant.ahead or not claimant.own_process):
            return AwaitSlot() if claimant.own_process else AwaitOwnProcess()
        return Begin(attempt=row.attempt + 1, crashes=row.crashes, ahead=claimant.ahead)
    if leftover(row, message):
        return AckOnly("a newer message will bring it back")
    return Delay(delay=row.due_in)


def _receive_running(row: Row, message: Message, claimant: Claimant) -> Reception:
    if row.worker_id == claimant.worker_id:
        return _receive_mine(row, message, claimant)
    if row.worker_id is None and claimant.redelivered:
        return _rescue(
            row, claimant
        )  # an earlier system ran it, and keeps no lease: only the broker can say that it died
    alive = row.worker_id is None or (row.lease_left is not None and row.lease_left > 0)
    if alive or not claimant.trusted:
        if row.store_redelivers or leftover(row, message):
            return AckOnly("runs elsewhere")
        delay = _until_next_look(row.lease_left or 0.0, message.seen_running)
        return Delay(delay=delay, elsewhere=True, leaseless=row.worker_id is None)
    return _rescue(row, claimant)


def _receive_mine(row: Row, message: Message, claimant: Claimant) -> Reception:
    if claimant.holds_attempt != row.attempt:
        if is_suspect(row.crashes) and not claimant.own_process:
            return AwaitOwnProcess()
        return AwaitSlot() if claimant.ahead and not row.ahead else Resume()
    if claimant.holds_live_copy or row.store_redelivers or leftover(row, message):
        return AckOnly("runs here")
    return Reattach()


def _rescue(row: Row, claimant: Claimant) -> Reception:
    """A claim that may never have started spends no crash; the next is made with a slot, so that is free but once."""
    crashes = row.crashes + (not row.ahead)
    if row.cancel_requested:
        return replace(cancel(row), rescues=True)
    if crashes > claimant.max_crashes:
        return Close(
            status=Status.FAILED,
            error=f"its worker died {counted(crashes, 'time')} while it ran "
            f"(worker.max_crashes is {claimant.max_crashes}), the last time on {row.owner}",
            error_type=ErrorType.WORKER_LOST,
            crashes=crashes,
            rescues=True,
        )
    if is_suspect(crashes) and not claimant.own_process:
        return AwaitOwnProcess()
    if claimant.ahead:
        return AwaitSlot()
    return Begin(attempt=row.attempt + 1, crashes=crashes, rescues=True)


def cancel(row: Row) -> Close:
    """The end of a task that waits, or whose worker died, when somebody cancelled it."""
    return Close(
        status=Status.CANCELLED, error=CANCELLED_ON_REQUEST, error_type=ErrorType.CANCELLED, crashes=row.crashes
    )


def _until_next_look(lease_left: float, times: int) -> float:
    return min(LONGEST_UNTIL_NEXT_LOOK, max(1.0, lease_left) * 2.0 ** min(times, 10))


# -- what an attempt's end does to the row ----------------------------------------------------------------------------


def decide(
    claim: Claim, outcome: Outcome, policy: RetryPolicy, rng: random.Random, *, max_crashes: int
) -> Transition | None:
    """The row's next state, or None when the attempt is no longer ours and nothing may be written."""
    match outcome:
        case Succeeded(result):
            return _transition(claim, Status.SUCCESS, outcome="success", result=result, beats_cancel=True)
        case Failed():
            return _failed(claim, outcome, policy, rng)
        case Cancelled():
            return cancelled(claim)
        case Interrupted():
            return _interrupted(claim, max_crashes)
        case Displaced():
            return _displaced(claim, outcome)
        case NotStarted():
            return _transition(claim, Status.PENDING, outcome="not_started", settle=Settle.REQUEUE, delay=0.0)
        case CannotStart(error):
            return _transition(
                claim,
                Status.PENDING,
                outcome="cannot_start",
                settle=Settle.DELAY,
                delay=START_AGAIN_AFTER,
                error=error,
                error_type=ErrorType.START_FAILED,
            )
        case Disowned():
            return None
        case _:
            assert_never(outcome)


def cancelled(claim: Claim) -> Transition:
    """The end of a task that somebody cancelled."""
    return _transition(
        claim,
        Status.CANCELLED,
        outcome="cancelled",
        error=CANCELLED_ON_REQUEST,
        error_type=ErrorType.CANCELLED,
        beats_cancel=True,
    )


def _failed(claim: Claim, end: Failed, policy: RetryPolicy, rng: random.Random) -> Transition:
    failed = _transition(
        claim,
        Status.FAILED,
        outcome="failed",
        error=end.error,
        error_type=end.error_type,
        traceback=end.traceback,
    )
    if end.retryable is False:
        return failed
    if claim.retry_count < claim.max_retry_count:
        retry = claim.retry_count + 1
        if end.retry_after is None:
            delay = policy.delay_before(retry, rng)
        else:
            delay = min(end.retry_after, LONGEST_RETRY_AFTER)
        return replace(failed, status=Status.RETRYING, settle=Settle.DELAY, delay=delay, retry_count=retry)
    if claim.max_retry_count > 0:
        return replace(failed, error_type=ErrorType.RETRY_EXHAUSTED, last_error_type=end.error_type)
    asked = end.retryable or end.retry_after is not None
    return replace(failed, error=f"{end.error} (no retry, as max_retries is 0)") if asked else failed


def _interrupted(claim: Claim, max_crashes: int) -> Transition:
    interruptions = claim.interruptions + 1
    crashes = claim.crashes + (1 if interruptions > PATIENT_INTERRUPTIONS else 0)
    if crashes > max_crashes:
        return replace(
            _transition(claim, Status.FAILED, outcome="interrupted"),
            crashes=crashes,
            interruptions=interruptions,
            error=f"interrupted {counted(interruptions, 'time')} by shutdowns of its worker",
            error_type=ErrorType.WORKER_LOST,
        )
    return replace(
        _transition(claim, Status.PENDING, outcome="interrupted", settle=Settle.REQUEUE, delay=0.0),
        crashes=crashes,
        interruptions=interruptions,
    )


def _displaced(claim: Claim, end: Displaced) -> Transition:
    """Never the end of a task: with a crash to its name it does not share a process again, so this happens once."""
    given_back = _transition(
        claim,
        Status.PENDING,
        outcome="interrupted",
        settle=Settle.REQUEUE,
        delay=0.0,
        error=end.error,
        error_type=end.error_type,
    )
    return replace(given_back, crashes=claim.crashes + end.suspect)


def _transition(
    claim: Claim, status: Status, *, outcome: str, settle: Settle = Settle.ACK, **changes: Any
) -> Transition:
    return Transition(
        status=status,
        settle=settle,
        outcome=outcome,
        retry_count=claim.retry_count,
        crashes=claim.crashes,
        interruptions=claim.interruptions,
        **changes,
    )


# -- what it means that a fenced write changed no row -----------------------------------------------------------------


class UnmatchedWrite(StrEnum):
    """Why our fenced write changed nothing, seen by reading the row again."""

    WRITTEN = "written"  # it is our own commit, whose reply was lost: go on
    CANCEL = "cancel"  # still ours, but somebody asked for its end meanwhile: commit that instead
    LOST = "lost"  # a newer claim exists: let go


def resolve_unmatched_write(row: Row | None, claim: Claim, *, taken: bool) -> UnmatchedWrite:
    """Tell a lost reply from a lost claim. `taken`: the history says that others gave this attempt up as lost, so an
    end that stands in the row is theirs."""
    if row is None or row.attempt != claim.attempt or taken:
        return UnmatchedWrite.LOST
    if row.status is not Status.RUNNING:
        return UnmatchedWrite.WRITTEN
    return UnmatchedWrite.CANCEL if row.cancel_requested and row.worker_id == claim.worker_id else UnmatchedWrite.LOST


# -- on a clock -------------------------------------------------------------------------------------------------------


def given_back(cancel_requested: bool) -> Status:
    """What becomes of a row that no attempt stands behind."""
    return Status.CANCELLED if cancel_requested else Status.PENDING
