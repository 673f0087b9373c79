"""The rules "On an end", row by row, through the store."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.rules.reception import Begin, Close, Delay
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import (
    Cancelled,
    CannotStart,
    Failed,
    Interrupted,
    Message,
    Outcome,
    Progress,
    Report,
    Settle,
    Status,
    Succeeded,
)
from gridsidecar.store import HeldRow
from tests.store.workers import BOOM, Two, cancel, decided, delayed, end, retry_by_hand, task, wake_up

NO_RETRY = Failed(error="no", error_type="Broken", retryable=False)


async def test_success_is_committed(two: Two) -> None:
    claim = await two.started()
    transition = await end(two.a, claim, Succeeded({"w": 640}))
    assert transition == decided(claim, Succeeded({"w": 640}))
    row = two.rows.row()
    assert (row["status"], row["result"], row["progress"]) == ("success", '{"w":640}', 100)
    assert (row["worker_id"], row["error_message"], row["next_run_at"], row["next_check_at"]) == (None,) * 4
    assert row["completed_at"] is not None
    assert two.rows.history() == [(1, "success")]


async def test_failure_for_good_is_committed(two: Two) -> None:
    await end(two.a, await two.started(), NO_RETRY)
    row = two.rows.row()
    assert (row["status"], row["error_message"], row["error_type"]) == ("failed", "no", "Broken")
    assert (row["result"], row["retry_count"], row["next_check_at"]) == (None, 0, None)
    assert two.rows.history() == [(1, "failed")]


async def test_retry_is_committed_as_retrying_due_after_its_delay(two: Two) -> None:
    transition = await end(two.a, await two.started(), BOOM, delay=20)
    assert transition is not None
    assert (transition.settle, transition.delay) == (Settle.DELAY, 20)
    row = two.rows.row()
    assert (row["status"], row["retry_count"], row["worker_id"]) == ("retrying", 1, None)
    assert (row["error_message"], row["error_type"], row["completed_at"]) == ("boom", "RateLimited", None)
    received = await two.deliver_to_b(delayed(1))
    assert isinstance(received.reception, Delay)
    assert 15 < received.reception.delay <= 20.1


@pytest.mark.parametrize("handed_off", [0, 1])
async def test_retry_keeps_handed_off_as_it_was(two: Two, handed_off: int) -> None:
    claim = await two.started()
    if handed_off:
        assert await two.a.tasks.hand_off(claim)
    await end(two.a, claim, BOOM)
    assert two.rows.row()["handed_off"] == handed_off


async def test_retries_spent_end_as_retry_exhausted(two: Two) -> None:
    await two.retrying(retries=1)
    two.rows.make_due()
    received = await two.deliver_to_b(delayed(1))
    assert received.claim is not None
    await end(two.b, received.claim, BOOM)
    row = two.rows.row()
    assert (row["status"], row["error_type"], row["last_error_type"]) == ("failed", "RetryExhausted", "RateLimited")
    assert row["retry_count"] == 1
    assert two.rows.history() == [(1, "failed"), (2, "failed")]


# -- cancel requested meanwhile ---------------------------------------------------------------------------------------


async def test_cancel_of_a_running_task_is_asked_for(two: Two) -> None:
    await two.started()
    assert await cancel(two.b, "t") is Steered.ASKED
    assert two.rows.row()["status"] == "running"
    assert await two.a.leases.rows_of("A") == [HeldRow("t", 1, cancel_requested=True)]


async def test_cancel_requested_and_the_handler_gone_is_cancelled(two: Two) -> None:
    claim = await two.started()
    await cancel(two.b, "t")
    transition = await end(two.a, claim, Cancelled())
    assert transition is not None
    assert transition.status is Status.CANCELLED
    row = two.rows.row()
    assert (row["status"], row["error_type"]) == ("cancelled", "Cancelled")
    assert two.rows.history() == [(1, "cancelled")]


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (BOOM, "failed"),
        (NO_RETRY, "failed"),
        (Interrupted(), "interrupted"),
        (CannotStart("gone"), "cannot_start"),
    ],
    ids=["retry", "failure", "interrupted", "no start"],
)
async def test_cancel_requested_meanwhile_turns_the_end_into_cancelled(two: Two, outcome: Outcome, word: str) -> None:
    """The row is cancelled; the history says how the attempt itself ended."""
    claim = await two.started()
    await cancel(two.b, "t")
    transition = await end(two.a, claim, outcome)
    assert transition is not None
    assert (transition.status, transition.settle) == (Status.CANCELLED, Settle.ACK)
    row = two.rows.row()
    assert (row["status"], row["worker_id"], row["next_run_at"]) == ("cancelled", None, None)
    assert two.rows.history() == [(1, word)]


async def test_cancel_requested_meanwhile_a_success_wins(two: Two) -> None:
    claim = await two.started()
    await cancel(two.b, "t")
    assert await end(two.a, claim, Succeeded(7)) == decided(claim, Succeeded(7))
    assert two.rows.row()["status"] == "success"


async def test_cancel_of_a_waiting_task_ends_it_at_once(two: Two) -> None:
    await two.retrying()
    assert await cancel(two.b, "t") is Steered.CANCELLED
    row = two.rows.row()
    assert (row["status"], row["next_run_at"]) == ("cancelled", None)
    assert row["completed_at"] is not None
    assert (await two.deliver_to_b(delayed(1))).claim is None


async def test_cancel_of_an_ended_task_changes_nothing(two: Two) -> None:
    await two.ended()
    before = two.rows.row()
    assert await cancel(two.b, "t") is Steered.SUCCESS
    assert two.rows.row() == before


# -- a fenced write changed 0 rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Succeeded(1), BOOM, Interrupted()], ids=["success", "retry", "interrupted"])
async def test_commit_whose_reply_was_lost_is_recognised(two: Two, outcome: Outcome) -> None:
    claim = await two.started()
    first = await end(two.a, claim, outcome)
    row, history = two.rows.row(), two.rows.history()
    assert await end(two.a, claim, outcome) == first
    assert two.rows.row() == row
    assert two.rows.history() == history


@pytest.mark.parametrize(
    "outcome",
    [Succeeded(1), BOOM, NO_RETRY, Cancelled(), Interrupted(), CannotStart("gone")],
    ids=["success", "retry", "failure", "cancelled", "interrupted", "no start"],
)
async def test_stale_commit_after_a_rescue_changes_nothing(two: Two, outcome: Outcome) -> None:
    stale, _ = await two.rescued()
    before, history = two.rows.row(), two.rows.history()
    assert await end(two.a, stale, outcome) is None
    assert two.rows.row() == before
    assert two.rows.history() == history == [(1, "lost")]


async def test_stale_commit_after_the_new_attempt_ended_changes_nothing(two: Two) -> None:
    stale, newer = await two.rescued()
    assert await end(two.b, newer, Succeeded("new")) is not None
    before = two.rows.row()
    assert await end(two.a, stale, Succeeded("old")) is None
    assert two.rows.row() == before
    assert two.rows.history() == [(1, "lost"), (2, "success")]


async def test_stale_commit_after_a_rescue_beyond_max_crashes_changes_nothing(two: Two) -> None:
    stale = await two.started()
    two.rows.set(crashes=3)
    two.rows.expire("A")
    assert isinstance((await two.deliver_to_b(task())).reception, Close)
    before = two.rows.row()
    assert await end(two.a, stale, Succeeded("late")) is None
    assert two.rows.row() == before
    assert two.rows.history() == [(1, "lost")]


async def test_an_expired_lease_alone_never_rejects_the_owners_result(two: Two) -> None:
    claim = await two.started()
    two.rows.expire("A")
    assert await end(two.a, claim, Succeeded(1)) is not None
    assert two.rows.row()["status"] == "success"


async def test_stale_progress_and_hand_off_change_nothing(two: Two) -> None:
    stale, _ = await two.rescued()
    before = two.rows.row()
    assert not await two.a.tasks.progress(stale, Progress(99, "old"))
    assert not await two.a.tasks.hand_off(stale)
    assert two.rows.row() == before


@pytest.mark.parametrize("other", [{"attempt": 1}, {"attempt": 3}, {"worker_id": "A"}, {"worker_id": "C"}], ids=str)
async def test_each_part_of_the_fence_holds_by_itself(two: Two, other: dict[str, Any]) -> None:
    """Attempt 2 runs on B; a write with another attempt or another worker is not B's."""
    _, newer = await two.rescued()
    stranger = replace(newer, **other)
    before = two.rows.row()
    assert not await two.a.tasks.progress(stranger, Progress(99, "x"))
    assert not await two.a.tasks.hand_off(stranger)
    assert await end(two.a, stranger, Succeeded("x")) is None
    row = HeldRow("t", stranger.attempt, cancel_requested=False)
    assert not await two.a.leases.give_back(stranger.worker_id, row)
    assert two.rows.row() == before


# -- hand-off, interruption, no start ---------------------------------------------------------------------------------


async def test_hand_off_is_marked(two: Two) -> None:
    assert await two.a.tasks.hand_off(await two.started())
    assert two.rows.row()["handed_off"] == 1


async def test_hand_off_after_the_end_is_refused(two: Two) -> None:
    claim = await two.ended()
    assert not await two.a.tasks.hand_off(claim)
    assert two.rows.row()["handed_off"] == 0


async def test_interrupted_is_pending_and_due_now(two: Two) -> None:
    transition = await end(two.a, await two.started(), Interrupted())
    assert transition is not None
    assert transition.settle is Settle.REQUEUE
    row = two.rows.row()
    assert (row["status"], row["interruptions"], row["retry_count"], row["crashes"]) == ("pending", 1, 0, 0)
    assert row["worker_id"] is None
    assert two.rows.history() == [(1, "interrupted")]
    assert (await two.deliver_to_b(task())).reception == Begin(attempt=2, crashes=0)


async def test_interrupted_for_the_10th_time_counts_as_a_crash(two: Two) -> None:
    claim = await two.started()
    for turn in range(1, 14):
        transition = await end(two.a, claim, Interrupted())
        assert transition is not None
        assert two.rows.row()["crashes"] == max(0, turn - 9)
        received = await two.deliver_to_a(task())
        if received.claim is None:
            break
        claim = received.claim
    row = two.rows.row()
    assert (row["status"], row["error_type"], row["interruptions"]) == ("failed", "WorkerLost", 13)


async def test_cannot_start_comes_back_through_a_delayed_message_and_spends_nothing(two: Two) -> None:
    transition = await end(two.a, await two.started(), CannotStart("no such file: ./handler.sh"))
    assert transition is not None
    assert transition.settle is Settle.DELAY
    row = two.rows.row()
    assert (row["status"], row["retry_count"], row["interruptions"], row["crashes"]) == ("pending", 0, 0, 0)
    assert row["error_message"] == "no such file: ./handler.sh"
    assert isinstance((await two.deliver_to_b(delayed(1))).reception, Delay)


async def test_a_delayed_message_that_the_broker_refused_is_handed_to_the_store(two: Two) -> None:
    await two.retrying()
    assert await two.a.tasks.schedule("t", 1)
    assert two.rows.row()["handed_off"] == 1
    assert await two.b.leases.overdue(judge_others=True) == []  # not before it is due
    two.rows.make_overdue()
    assert [message.attempt for message in await two.b.leases.overdue(judge_others=True)] == [1]


async def test_a_scheduled_task_that_moved_on_is_left_alone(two: Two) -> None:
    await two.retrying()
    two.rows.make_due()
    await two.deliver_to_b(delayed(1))
    assert not await two.a.tasks.schedule("t", 1)
    assert two.rows.row()["handed_off"] == 0


# -- retry by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [NO_RETRY, Cancelled()], ids=["failed", "cancelled"])
async def test_retry_by_hand_keeps_attempt_and_zeroes_counters(two: Two, outcome: Outcome) -> None:
    await two.ended(outcome)
    two.rows.set(retry_count=3, crashes=2, interruptions=5, cancel_requested=1)
    message = await retry_by_hand(two.b, "t")
    assert message is not None
    assert (message.wake_up, message.attempt, message.body) == (True, 1, b'{"task_id": "t"}')
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["handed_off"]) == ("pending", 1, 1)
    assert (row["retry_count"], row["crashes"], row["interruptions"], row["cancel_requested"]) == (0, 0, 0, 0)
    assert row["completed_at"] is None
    assert (await two.deliver_to_b(wake_up(1))).reception == Begin(attempt=2, crashes=0)


async def test_the_run_after_a_retry_by_hand_has_its_own_history(two: Two) -> None:
    await two.ended(NO_RETRY)
    assert await retry_by_hand(two.b, "t") is not None
    received = await two.deliver_to_b(wake_up(1))
    assert received.claim is not None
    assert await end(two.b, received.claim, Succeeded(2)) is not None
    assert two.rows.history() == [(1, "failed"), (2, "success")]
    assert two.rows.row()["error_message"] is None


async def test_retry_by_hand_only_of_what_failed_or_was_cancelled(two: Two) -> None:
    assert await retry_by_hand(two.b, "t") is None
    claim = await two.started()
    assert await retry_by_hand(two.b, "t") is None
    await two.a.tasks.ends.commit(claim, decided(claim, Succeeded()), Report(), Progress())
    assert await retry_by_hand(two.b, "t") is None
    assert two.rows.row()["status"] == "success"


async def test_retry_by_hand_not_of_a_message_that_was_refused(two: Two) -> None:
    """There is nothing to send: the message is with the dead letters."""
    assert await two.a.tasks.refused_messages.record(Message(body=b"rubbish"), "t", "not JSON")
    before = two.rows.row()
    assert await retry_by_hand(two.a, "t") is None
    assert two.rows.row() == before


async def test_the_same_message_after_an_end_stays_a_duplicate(two: Two) -> None:
    await two.ended(NO_RETRY)
    assert (await two.deliver_to_b(task(message_id="published again"))).claim is None
    assert two.rows.row()["attempt"] == 1
