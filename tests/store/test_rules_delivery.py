"""The rules "On a delivery", row by row, through the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gridsidecar.rules.reception import AckOnly, Begin, Close, Delay, Insert, Reattach, Resume
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Cancelled, Failed, Outcome, Succeeded, Task
from tests.store.direct import FAR_AWAY
from tests.store.workers import A, Two, cancel, delayed, end, task, wake_up

ENDED = AckOnly("already ended")


async def test_none_inserts_attempt_1(two: Two) -> None:
    received = await two.deliver_to_a(task())
    assert received.reception == Insert()
    assert received.attempt == 1
    assert received.claim is not None
    assert (received.claim.attempt, received.claim.worker_id, received.claim.redelivered) == (1, "A", False)
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["worker_id"], row["message_id"]) == ("running", 1, "A", "first")
    assert row["started_at"] is not None


async def test_none_for_a_late_delayed_message_inserts_attempt_1(two: Two) -> None:
    received = await two.deliver_to_a(delayed(4))
    assert received.reception == Insert()
    assert two.rows.row()["attempt"] == 1


async def test_none_deferred_by_inserts_pending_and_waits(two: Two) -> None:
    received = await two.deliver_to_a(task(fields={"defer_by": 60.0}))
    assert isinstance(received.reception, Delay)
    assert 55 < received.reception.delay <= 60.1
    assert received.claim is None
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["worker_id"]) == ("pending", 0, None)
    assert row["started_at"] is None


async def test_none_deferred_until_inserts_pending_and_waits(two: Two) -> None:
    until = datetime.now(UTC) + timedelta(hours=2)
    received = await two.deliver_to_a(task(fields={"defer_until": until}))
    assert isinstance(received.reception, Delay)
    assert 7190 < received.reception.delay <= 7200.1
    assert two.rows.row()["attempt"] == 0


async def test_none_deferred_by_and_until_waits_for_the_moment(two: Two) -> None:
    fields = {"defer_by": 60.0, "defer_until": datetime.now(UTC) + timedelta(hours=2)}
    received = await two.deliver_to_a(task(fields=fields))
    assert isinstance(received.reception, Delay)
    assert 7190 < received.reception.delay <= 7200.1


async def test_none_deferred_into_the_past_runs_at_once(two: Two) -> None:
    received = await two.deliver_to_a(task(fields={"defer_until": datetime(1970, 1, 1, tzinfo=UTC)}))
    assert received.reception == Begin(attempt=1, crashes=0)
    assert received.claim is not None
    assert two.rows.row()["status"] == "running"


async def test_the_delayed_message_of_a_deferred_task_starts_attempt_1_when_due(two: Two) -> None:
    deferred = task(fields={"defer_by": 60.0})
    await two.deliver_to_a(deferred)
    early = await two.deliver_to_b(deferred)
    assert isinstance(early.reception, Delay)
    two.rows.make_due()
    received = await two.deliver_to_b(deferred)
    assert received.reception == Begin(attempt=1, crashes=0)
    assert received.claim is not None
    assert not received.claim.redelivered


@pytest.mark.parametrize(
    "message", [task(), delayed(1), wake_up(1), delayed(9)], ids=["first", "later", "wake", "newer"]
)
@pytest.mark.parametrize(
    "outcome",
    [Succeeded(), Failed(error="no", error_type="X"), Cancelled()],
    ids=["success", "failed", "cancelled"],
)
async def test_terminal_is_acked(two: Two, outcome: Outcome, message: Task) -> None:
    await two.ended(outcome)
    before = two.rows.row()
    assert (await two.deliver_to_b(message)).reception == ENDED
    assert two.rows.row() == before


@pytest.mark.parametrize("status", ["pending", "retrying"])
@pytest.mark.parametrize("message", [delayed(1), wake_up(1)], ids=["delayed", "wake_up"])
async def test_waiting_with_cancel_requested_is_cancelled(two: Two, status: str, message: Task) -> None:
    await two.retrying()
    two.rows.set(status=status, cancel_requested=1)
    received = await two.deliver_to_b(message)
    assert isinstance(received.reception, Close)
    assert received.claim is None
    row = two.rows.row()
    assert (row["status"], row["error_type"], row["worker_id"]) == ("cancelled", "Cancelled", None)
    assert row["completed_at"] is not None
    assert row["next_check_at"] is None


@pytest.mark.parametrize("status", ["pending", "retrying"])
@pytest.mark.parametrize("message", [task(), delayed(1), wake_up(1)], ids=["first", "delayed", "wake_up"])
async def test_due_begins_the_next_attempt(two: Two, status: str, message: Task) -> None:
    await two.retrying()
    two.rows.set(status=status, handed_off=1, progress=40, progress_message="2 of 5")
    two.rows.make_due()
    received = await two.deliver_to_b(message)
    assert received.reception == Begin(attempt=2, crashes=0)
    assert received.claim is not None
    assert (received.claim.attempt, received.claim.retry_count, received.claim.redelivered) == (2, 1, True)
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["worker_id"], row["handed_off"]) == ("running", 2, "B", 0)
    assert row["message_id"] == message.message.message_id
    assert (row["progress"], row["progress_message"], row["next_check_at"]) == (0, None, None)


@pytest.mark.parametrize("message", [wake_up(1), delayed(0)], ids=["wake_up", "older"])
async def test_not_due_leftover_is_acked(two: Two, message: Task) -> None:
    await two.retrying()
    before = two.rows.row()
    received = await two.deliver_to_b(message)
    assert received.reception == AckOnly("a newer message will bring it back")
    assert two.rows.row() == before


@pytest.mark.parametrize("message", [delayed(1), task()], ids=["delayed", "the message of the attempt"])
async def test_not_due_waits_for_the_rest(two: Two, message: Task) -> None:
    await two.retrying()
    received = await two.deliver_to_b(message)
    assert isinstance(received.reception, Delay)
    assert 40 < received.reception.delay <= 50.1
    assert not received.reception.elsewhere
    assert received.attempt == 1


@pytest.mark.parametrize("message", [wake_up(1), delayed(0)], ids=["wake_up", "older"])
async def test_running_mine_in_memory_leftover_is_acked(two: Two, message: Task) -> None:
    await two.started()
    received = await two.deliver_to_a(message, holds_attempt=1)
    assert received.reception == AckOnly("runs here")


async def test_running_mine_in_memory_with_a_live_copy_is_acked(two: Two) -> None:
    await two.started()
    received = await two.deliver_to_a(task(), holds_attempt=1, holds_live_copy=True)
    assert received.reception == AckOnly("runs here")


async def test_running_mine_in_memory_handed_off_is_acked(two: Two) -> None:
    assert await two.a.tasks.hand_off(await two.started())
    received = await two.deliver_to_a(task(), holds_attempt=1)
    assert received.reception == AckOnly("runs here")


async def test_running_mine_in_memory_is_adopted(two: Two) -> None:
    await two.started()
    before = two.rows.row()
    received = await two.deliver_to_a(task(), holds_attempt=1)
    assert received.reception == Reattach()
    assert received.claim is None
    assert two.rows.row() == before


@pytest.mark.parametrize("redelivered", [False, True])
async def test_running_mine_not_in_memory_starts_the_same_attempt(two: Two, redelivered: bool) -> None:
    """Where only the claim's reply was lost, no handler can have been started yet."""
    first = await two.started()
    before = two.rows.row()
    received = await two.deliver_to_a(task(), redelivered=redelivered)
    assert received.reception == Resume()
    assert received.claim is not None
    assert (received.claim.attempt, received.claim.max_retry_count) == (first.attempt, first.max_retry_count)
    assert received.claim.redelivered is redelivered
    assert two.rows.row() == before


@pytest.mark.parametrize("message", [wake_up(1), delayed(0)], ids=["wake_up", "older"])
async def test_running_other_worker_leftover_is_acked(two: Two, message: Task) -> None:
    await two.started()
    received = await two.deliver_to_b(message)
    assert received.reception == AckOnly("runs elsewhere")


async def test_running_other_worker_handed_off_is_acked(two: Two) -> None:
    assert await two.a.tasks.hand_off(await two.started())
    assert (await two.deliver_to_b(task())).reception == AckOnly("runs elsewhere")


async def test_running_other_worker_lease_live_is_busy_at_doubling_delays(two: Two) -> None:
    await two.started()
    before = two.rows.row()
    delays = []
    for times in range(5):
        received = await two.deliver_to_b(task(seen_running=times))
        assert isinstance(received.reception, Delay)
        assert received.reception.elsewhere
        assert received.attempt == 1
        delays.append(received.reception.delay)
    assert 50 < delays[0] <= 60.1
    assert 100 < delays[1] <= 120.1
    assert 200 < delays[2] <= 240.1
    assert delays[3:] == [300, 300]
    assert two.rows.row() == before


async def test_running_other_worker_lease_expired_and_not_trusted_is_busy(two: Two) -> None:
    await two.started()
    two.rows.expire("A")
    received = await two.deliver_to_b(task(), trusted=False)
    assert received.reception == Delay(delay=1.0, elsewhere=True)
    assert two.rows.row()["worker_id"] == "A"


async def test_running_other_worker_lease_expired_and_not_trusted_leftover_is_acked(two: Two) -> None:
    await two.started()
    two.rows.expire("A")
    assert (await two.deliver_to_b(wake_up(1), trusted=False)).reception == AckOnly("runs elsewhere")


@pytest.mark.parametrize(
    "message", [task(), delayed(1), wake_up(1), delayed(0)], ids=["first", "later", "wake", "older"]
)
async def test_running_other_worker_lease_expired_and_trusted_is_rescued(two: Two, message: Task) -> None:
    await two.started()
    two.rows.set(handed_off=1, progress=70)
    two.rows.expire("A")
    received = await two.deliver_to_b(message)
    assert received.reception == Begin(attempt=2, crashes=1, rescues=True)
    assert received.claim is not None
    assert (received.claim.attempt, received.claim.crashes, received.claim.retry_count) == (2, 1, 0)
    row = two.rows.row()
    assert (row["attempt"], row["crashes"], row["worker_id"], row["handed_off"]) == (2, 1, "B", 0)
    assert row["progress"] == 0
    assert two.rows.history() == [(1, "lost")]


async def test_running_worker_without_any_lease_is_rescued(two: Two) -> None:
    await two.started()
    two.rows.set(worker_id="unheard-of")
    assert (await two.deliver_to_b(task())).reception == Begin(attempt=2, crashes=1, rescues=True)


async def test_running_lease_expired_and_cancel_requested_is_cancelled(two: Two) -> None:
    await two.started()
    assert await cancel(two.b, "t") is Steered.ASKED
    two.rows.expire("A")
    received = await two.deliver_to_b(task())
    assert isinstance(received.reception, Close)
    row = two.rows.row()
    assert (row["status"], row["error_type"], row["crashes"]) == ("cancelled", "Cancelled", 0)
    assert two.rows.history() == [(1, "lost")]


async def test_running_lease_expired_beyond_max_crashes_fails_with_worker_lost(two: Two) -> None:
    await two.started()
    two.rows.set(crashes=3)
    two.rows.expire("A")
    received = await two.deliver_to_b(task())
    assert isinstance(received.reception, Close)
    row = two.rows.row()
    assert (row["status"], row["error_type"], row["crashes"]) == ("failed", "WorkerLost", 4)
    assert "max_crashes" in row["error_message"]
    assert row["completed_at"] is not None
    assert two.rows.history() == [(1, "lost")]


async def test_look_answers_like_a_claim_and_changes_nothing(two: Two) -> None:
    assert (await two.b.tasks.preview(task(), A)).reception == Insert()
    await two.retrying()
    before = two.rows.row()
    assert isinstance((await two.b.tasks.preview(delayed(1), A)).reception, Delay)
    two.rows.make_due()
    previewed = await two.b.tasks.preview(delayed(1), A)
    assert previewed.reception == Begin(attempt=2, crashes=0)
    assert previewed.claim is None
    assert two.rows.row() == before | {"next_run_at": two.rows.row()["next_run_at"]}


async def test_a_row_of_another_program_without_a_worker_is_never_rescued(two: Two) -> None:
    """Another program that shares the table may run it right now."""
    await two.started()
    two.rows.set(worker_id=None, next_check_at=None)
    assert await two.b.leases.overdue(judge_others=True) == []


async def test_the_next_attempt_keeps_the_row_s_own_retry_limit(two: Two) -> None:
    await two.retrying(retries=2)
    two.rows.make_due()
    received = await two.b.tasks.claim(delayed(1), A, 99)
    assert received.claim is not None
    assert received.claim.max_retry_count == 2


async def test_a_task_far_from_due_waits_for_all_of_it(two: Two) -> None:
    await two.retrying()
    two.rows.set(next_run_at=FAR_AWAY)
    received = await two.deliver_to_b(delayed(1))
    assert isinstance(received.reception, Delay)
    assert received.reception.delay > 86_400


async def test_a_checkpoint_reaches_the_next_attempt(two: Two) -> None:
    await two.retrying()
    two.rows.set(checkpoint='{"page":17}')
    two.rows.make_due()
    received = await two.deliver_to_b(delayed(1))
    assert received.claim is not None
    assert received.claim.checkpoint == {"page": 17}
    assert (await end(two.b, received.claim, Succeeded())) is not None
