"""Cancel and retry by hand, of one task and of many, on both stores: what comes of each, whatever state it is in."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from gridsidecar.rules.reception import AckOnly, Close, Delay, Insert, Resume
from gridsidecar.rules.steering import Reopening, Steered
from gridsidecar.rules.task import Callback, Cancelled, Message, Progress, Report, Status, Succeeded, Task
from gridsidecar.store import HeldRow, NotDriven, OperationKind
from gridsidecar.store.selection import Filter
from tests.store.direct import LONG_AGO, TASKS
from tests.store.workers import (
    BOOM,
    QUEUE,
    A,
    B,
    Two,
    cancel,
    decided,
    delayed,
    end,
    no_changes_of,
    open_store,
    retry_by_hand,
    task,
)

NOTHING = (Report(), Progress())
ASKED = Callback(url="https://example.com/done", data={"order": 7})


def real(task_id: str = "t", **fields: Any) -> Task:
    """A task whose message says what it is."""
    body = json.dumps({"task_id": task_id, "data": {"n": 1}}).encode()
    return task(task_id, body=body, fields={"callback": ASKED, "data": {"n": 1}, "task_type": "mail", **fields})


def callbacks(two: Two, task_id: str = "t") -> list[tuple[int, str]]:
    rows = two.rows.run(f"SELECT rerun, body FROM {TASKS}_callbacks WHERE task_id = ? ORDER BY rerun", task_id)
    return [(row["rerun"], json.loads(row["body"])["status"]) for row in rows]


def figure(two: Two, worker: str = "A") -> int:
    return int(two.rows.run(f"SELECT cancels FROM {TASKS}_workers WHERE id = ?", worker)[0]["cancels"])


# -- cancel -----------------------------------------------------------------------------------------------------------


async def test_what_runs_is_asked_and_its_worker_woken(two: Two) -> None:
    await two.started(message=real())
    before = figure(two)
    assert await cancel(two.b, "t") is Steered.ASKED
    assert await two.a.leases.cancels(["A", "B"]) == {"A": before + 1, "B": 0}
    assert await two.a.leases.rows_of("A") == [HeldRow("t", 1, cancel_requested=True)]
    assert callbacks(two) == []


async def test_what_waits_ends_owes_its_callback_and_is_told_once(two: Two) -> None:
    claim = await two.started(message=real())
    await end(two.a, claim, BOOM)
    assert await cancel(two.b, "t") is Steered.CANCELLED
    assert callbacks(two) == [(0, "cancelled")]
    (update,) = await two.a.steering.untold()
    assert (update.task_id, update.status, update.attempt) == ("t", Status.CANCELLED, 1)
    assert update.task is not None
    assert update.task.data == {"n": 1}
    assert await two.b.steering.untold() == []
    assert (await two.deliver_to_b(delayed(1))).reception == AckOnly("already ended")


async def test_a_task_that_nobody_has_seen_never_runs(two: Two) -> None:
    assert await cancel(two.b, "t") is Steered.NOTED
    assert callbacks(two) == []
    assert await cancel(two.b, "t") is Steered.IS_CANCELLED
    received = await two.a.tasks.claim(real(), A, 3)
    assert isinstance(received.reception, Close)
    assert (received.reception.status, received.claim) == (Status.CANCELLED, None)
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["task_type"]) == ("cancelled", 0, "mail")
    assert (json.loads(row["data"]), row["callback_url"]) == ({"n": 1}, ASKED.url)
    assert callbacks(two) == [(0, "cancelled")]
    assert (await two.b.tasks.claim(real(), B, 3)).reception == AckOnly("already ended")
    assert callbacks(two) == [(0, "cancelled")]


async def test_one_that_was_cancelled_unseen_runs_again_only_once_its_message_is_here(two: Two) -> None:
    await cancel(two.a, "t")
    assert await two.a.steering.retry(["t"]) == {"t": Steered.NOT_SEEN}
    await two.a.tasks.claim(real(), A, 3)
    assert await two.a.steering.retry(["t"]) == {"t": Steered.RETRIED}
    received = await two.a.tasks.claim(real(), A, 3)
    assert received.claim is not None
    await end(two.a, received.claim, Succeeded())
    assert callbacks(two) == [(0, "cancelled"), (1, "success")]


async def test_a_delayed_task_that_was_cancelled_unseen_is_not_put_off(two: Two) -> None:
    await cancel(two.a, "t")
    received = await two.a.tasks.claim(real(defer_by=60.0), A, 3)
    assert isinstance(received.reception, Close)


async def test_a_refusal_of_a_task_that_was_cancelled_unseen_leaves_its_row(two: Two) -> None:
    await cancel(two.a, "t")
    assert not await two.a.tasks.refused_messages.record(Message(body=b"{}"), "t", "no")
    assert two.rows.row()["status"] == "cancelled"


async def test_delayed_tasks_end_at_once(two: Two) -> None:
    assert isinstance((await two.a.tasks.claim(real(defer_by=60.0), A, 3)).reception, Delay)
    assert await cancel(two.b, "t") is Steered.CANCELLED
    assert callbacks(two) == [(0, "cancelled")]


@pytest.mark.parametrize("task_id", ["x" * 256, "a\nb", " a", "a ", ""])
async def test_what_can_be_no_tasks_id_is_not_found(two: Two, task_id: str) -> None:
    assert await two.a.steering.cancel([task_id]) == {task_id: Steered.NOT_FOUND}
    assert two.rows.run(f"SELECT id FROM {TASKS}") == []


async def test_many_at_once_each_with_its_outcome(two: Two) -> None:
    for name in ("runs", "waits", "done"):
        received = await two.a.tasks.claim(real(name), A, 3)
        assert received.claim is not None
        if name != "runs":
            await end(two.a, received.claim, BOOM if name == "waits" else Succeeded())
    assert await two.b.steering.cancel(["waits", "runs", "new", "done", "waits"]) == {
        "done": Steered.SUCCESS,
        "new": Steered.NOTED,
        "runs": Steered.ASKED,
        "waits": Steered.CANCELLED,
    }


@pytest.mark.usefixtures("triggers")
async def test_a_row_that_the_database_will_not_change_does_not_keep_the_others(two: Two) -> None:
    for name in ("bad", "good"):
        received = await two.a.tasks.claim(real(name), A, 3)
        assert received.claim is not None
        await end(two.a, received.claim, BOOM)
    no_changes_of(two, "bad")
    assert await two.b.steering.cancel(["bad", "good"]) == {"bad": Steered.NOT_STORABLE, "good": Steered.CANCELLED}


async def test_a_cancel_again_wakes_the_worker_again(two: Two) -> None:
    await two.started()
    for times in (1, 2):
        assert await cancel(two.b, "t") is Steered.ASKED
        assert figure(two) == times


# -- retry by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("pending", Steered.PENDING),
        ("running", Steered.RUNNING),
        ("success", Steered.SUCCESS),
        (None, Steered.NOT_FOUND),
    ],
)
async def test_only_what_failed_or_was_cancelled_runs_again(two: Two, state: str | None, outcome: Steered) -> None:
    if state == "success":
        await two.ended()
    elif state == "pending":
        await two.a.tasks.claim(real(defer_by=60.0), A, 3)
    elif state == "running":
        await two.started()
    assert await two.a.steering.retry(["t"]) == {"t": outcome}


async def test_a_refused_message_is_for_dead_replay(two: Two) -> None:
    await two.a.tasks.refused_messages.record(Message(body=b"{}"), "t", "no")
    assert await two.a.steering.retry(["t"]) == {"t": Steered.REFUSED_MESSAGE}


async def test_the_wake_up_of_another_queue_is_left_to_its_workers(two: Two) -> None:
    await two.ended(BOOM)
    other = await open_store(two.url, migrate=None, queue="other")
    try:
        assert await other.steering.retry(["t"]) == {"t": Steered.RETRIED}
        assert [one async for one in other.steering.wake_ups(["t"])] == []
    finally:
        await other.close()
    (message,) = await two.a.leases.overdue(judge_others=False)
    assert (message.wake_up, message.attempt) == (True, 1)


async def test_a_letter_is_replayed_only_while_its_task_has_failed(two: Two) -> None:
    assert await two.a.steering.reopen("t") is Reopening.SEND
    claim = await two.started(retries=0)
    assert await two.a.steering.reopen("t") is Steered.RUNNING
    await end(two.a, claim, BOOM)
    assert await two.a.steering.reopen("t") is Reopening.RETRY
    assert await two.b.steering.reopen("t") is Steered.PENDING
    assert two.rows.row()["rerun"] == 1


async def test_a_letter_of_a_refused_message_reopens_its_row_and_may_be_sent_again(two: Two) -> None:
    await two.a.tasks.refused_messages.record(Message(body=b"{}"), "t", "no")
    assert await two.a.steering.reopen("t") is Reopening.REOPEN
    assert await two.a.steering.reopen("t") is Reopening.SEND  # the first time it was not sent after all
    await two.a.tasks.claim(real(), A, 3)
    assert await two.a.steering.reopen("t") is Steered.RUNNING


async def test_a_letter_of_a_task_that_was_set_aside_is_sent(two: Two) -> None:
    await two.retrying()
    await two.a.tasks.ends.set_aside("t", 1)
    assert await two.a.steering.reopen("t") is Reopening.SEND


# -- operations -------------------------------------------------------------------------------------------------------


async def several(two: Two, count: int, **columns: Any) -> list[str]:
    """Rows as they stand after their first attempt failed, written by hand: they are many."""
    known = {"status": "failed", "attempt": 1, "queue": QUEUE, "body": b'{"task_id": "x"}', "headers": "{}"} | columns
    names = [f"t{number:05d}" for number in range(count)]
    for start in range(0, count, 500):
        some = names[start : start + 500]
        row = f"({', '.join('?' * (len(known) + 3))})"
        columns_ = f"id, created_at, updated_at, {', '.join(known)}"
        two.rows.run(
            f"INSERT INTO {TASKS} ({columns_}) VALUES {', '.join([row] * len(some))}",
            *(value for name in some for value in (name, LONG_AGO, LONG_AGO, *known.values())),
        )
    return names


async def driven(two: Two, operation: str, steps: int = 99) -> dict[str, Steered]:
    """What came of its tasks in so many steps."""
    found: dict[str, Steered] = {}
    known = await two.a.operations.take(operation)
    if not known.collected:
        await two.a.operations.collect(known)
    for _ in range(steps):
        outcomes = await two.a.operations.step(await two.a.operations.take(operation))
        if not outcomes:
            break
        found |= outcomes
    return found


async def test_an_operation_does_what_its_filter_names_and_notes_each_outcome(two: Two) -> None:
    names = await several(two, 1203)
    two.rows.set("t00007", status="success")
    two.rows.set("t00008", task_type="other")
    two.rows.set("t00009", queue="other")
    chosen = Filter(statuses=(Status.FAILED,), queue=QUEUE, task_type="default")
    assert await two.a.operations.count(chosen) == 1200
    operation = await two.a.operations.begin(OperationKind.RETRY, chosen)
    outcomes = await driven(two, operation)
    assert outcomes == dict.fromkeys(set(names) - {"t00007", "t00008", "t00009"}, Steered.RETRIED)
    assert await two.a.operations.outcomes(operation) == {"retried": 1200}
    known = await two.a.operations.get(operation)
    assert known is not None
    assert (known.total, known.driven, known.ended_at is not None) == (1200, False, True)
    assert await two.a.operations.count(chosen) == 0


async def test_which_tasks_it_is_about_is_fixed_once(two: Two) -> None:
    await several(two, 600)
    operation = await two.a.operations.begin(OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue=QUEUE))
    assert len(await driven(two, operation, steps=1)) == 500
    two.rows.run(f"UPDATE {TASKS} SET status = 'failed' WHERE id = 't00001'")  # it failed again meanwhile
    assert len(await driven(two, operation)) == 100
    assert two.rows.row("t00001")["status"] == "failed"


async def test_one_whose_driver_is_gone_is_gone_on_with_and_nothing_is_done_twice(two: Two) -> None:
    await several(two, 700)
    operation = await two.a.operations.begin(OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue=QUEUE))
    await driven(two, operation, steps=1)
    assert await two.b.operations.forsaken() is None
    with pytest.raises(NotDriven, match="being driven"):
        await two.b.operations.take(operation)
    two.rows.run(f"UPDATE {TASKS}_operations SET driven_until = ?", LONG_AGO)
    assert await two.b.operations.forsaken() == operation
    known = await two.b.operations.take(operation)
    with pytest.raises(NotDriven, match="taken over"):
        await two.a.operations.step(known)
    assert len(await two.b.operations.step(known)) == 200
    assert await two.b.operations.step(known) == {}
    assert await two.b.operations.outcomes(operation) == {"retried": 700}
    assert [row["rerun"] for row in two.rows.run(f"SELECT rerun FROM {TASKS}")] == [1] * 700
    with pytest.raises(NotDriven, match="has ended"):
        await two.a.operations.take(operation)


async def test_one_that_was_broken_off_while_it_collected_begins_anew(two: Two) -> None:
    names = await several(two, 3)
    operation = await two.a.operations.begin(OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue=QUEUE))
    two.rows.run(f"INSERT INTO {TASKS}_operation_ids (operation, position, task_id) VALUES (?, 0, 'gone')", operation)
    assert await driven(two, operation) == dict.fromkeys(names, Steered.RETRIED)


async def test_unknown_ids_and_wrong_states_have_their_outcomes(two: Two) -> None:
    await two.ended()
    operation = await two.a.operations.begin_with(OperationKind.RETRY, ["t", "nobody", "t"])
    assert await driven(two, operation) == {"t": Steered.SUCCESS, "nobody": Steered.NOT_FOUND}
    assert await two.a.operations.outcomes(operation) == {"wrong_state:success": 1, "not_found": 1}
    rows = await two.a.operations.tasks(operation)
    assert [(one.task_id, one.outcome) for one in rows] == [("t", "wrong_state:success"), ("nobody", "not_found")]


async def test_starts_are_spread_evenly(two: Two) -> None:
    names = await several(two, 100)
    operation = await two.a.operations.begin_with(OperationKind.RETRY, names, 1000.0)
    await driven(two, operation)
    waits = {one: wait async for one, _, wait in two.a.steering.wake_ups(names)}
    gaps = [waits[after] - waits[before] for before, after in pairwise(names[1:])]
    assert all(9.5 < gap < 10.5 for gap in gaps)
    assert 900 < waits[names[-1]] <= 990


async def test_a_stopped_operation_is_left_alone(two: Two) -> None:
    operation = await two.a.operations.begin_with(OperationKind.CANCEL, ["a", "b"])
    assert await two.b.operations.stop(operation)
    assert not await two.b.operations.stop(operation)
    with pytest.raises(NotDriven):
        await driven(two, operation)
    assert two.rows.run(f"SELECT id FROM {TASKS}") == []


async def test_an_operation_that_ended_long_ago_is_forgotten(two: Two) -> None:
    operation = await two.a.operations.begin_with(OperationKind.CANCEL, ["a"])
    await driven(two, operation)
    await two.a.operations.prune()
    assert await two.a.operations.get(operation) is not None
    two.rows.run(f"UPDATE {TASKS}_operations SET ended_at = ?", LONG_AGO)
    await two.a.operations.prune()
    assert await two.a.operations.get(operation) is None
    assert two.rows.run(f"SELECT * FROM {TASKS}_operation_ids") == []


@pytest.mark.usefixtures("triggers")
async def test_an_operation_goes_on_past_a_row_that_the_database_will_not_change(two: Two) -> None:
    names = await several(two, 3)
    no_changes_of(two, "t00001")
    operation = await two.a.operations.begin_with(OperationKind.RETRY, names)
    assert await driven(two, operation) == {
        "t00000": Steered.RETRIED,
        "t00001": Steered.NOT_STORABLE,
        "t00002": Steered.RETRIED,
    }
    assert await two.a.operations.outcomes(operation) == {"retried": 2, "not_storable": 1}


# -- races ------------------------------------------------------------------------------------------------------------


async def test_cancels_and_first_claims_at_once_agree(two: Two) -> None:
    """Each task either runs and is to be cancelled, or never runs."""
    names = [f"t{number}" for number in range(40)]
    claims = [two.a.tasks.claim(real(name), A, 3) for name in names]
    received, outcomes = await asyncio.gather(
        asyncio.gather(*claims), asyncio.gather(*(two.b.steering.cancel([name]) for name in names))
    )
    for name, one, outcome in zip(names, received, outcomes, strict=True):
        row = two.rows.row(name)
        if outcome[name] is Steered.NOTED:
            assert (one.claim, row["status"], row["attempt"]) == (None, "cancelled", 0)
            assert callbacks(two, name) == [(0, "cancelled")]
        else:
            assert outcome[name] is Steered.ASKED
            assert isinstance(one.reception, Insert | Resume)  # as others travelled with it
            assert one.claim is not None
            assert (row["status"], row["cancel_requested"]) == ("running", 1)
            assert await two.a.tasks.ends.commit(one.claim, decided(one.claim, Cancelled()), *NOTHING) is not None


async def test_a_retry_by_hand_of_a_cancelled_task_begins_its_count_anew(two: Two) -> None:
    claim = await two.started()
    await end(two.a, claim, Cancelled())
    message = await retry_by_hand(two.b, "t")
    assert message is not None
    row = two.rows.row()
    assert (row["status"], row["cancel_requested"], row["retry_count"], row["rerun"]) == ("pending", 0, 0, 1)


async def test_who_slept_before_collecting_takes_nothing_from_who_went_on(two: Two) -> None:
    await several(two, 700, status="failed")
    operation = await two.a.operations.begin(OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue=QUEUE))
    asleep = await two.a.operations.take(operation)
    two.rows.run(f"UPDATE {TASKS}_operations SET driven_until = ?", LONG_AGO)
    known = await two.b.operations.take(operation)
    await two.b.operations.collect(known)
    assert len(await two.b.operations.step(await two.b.operations.take(operation))) == 500
    with pytest.raises(NotDriven):
        await two.a.operations.collect(asleep)
    assert len(await two.b.operations.step(await two.b.operations.take(operation))) == 200
    assert await two.b.operations.outcomes(operation) == {"retried": 700}
