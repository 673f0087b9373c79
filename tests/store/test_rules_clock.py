"""The rules "On a clock", row by row, through the store."""

from __future__ import annotations

import asyncio

import pytest

from gridsidecar.rules.reception import Begin
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Message, Succeeded
from gridsidecar.store import HeldRow
from tests.store.direct import TASKS
from tests.store.workers import QUEUE, B, Two, cancel, delayed, end, open_store, task, wake_up


def workers(two: Two) -> dict[str, dict[str, object]]:
    return {row["id"]: row for row in two.rows.run(f"SELECT * FROM {TASKS}_workers")}


# -- heartbeat --------------------------------------------------------------------------------------------------------


async def test_heartbeat_renews(two: Two) -> None:
    two.rows.expire("A")
    await two.a.leases.renew("A", "one", 60)
    row = workers(two)["A"]
    assert (row["name"], row["queue"], row["lease"]) == ("one", QUEUE, 60)
    await two.started()
    assert not (await two.deliver_to_b(task())).claim


async def test_heartbeat_keeps_the_start_of_the_worker(two: Two) -> None:
    started = workers(two)["A"]["started_at"]
    await two.a.leases.renew("A", "one", 60)
    assert workers(two)["A"]["started_at"] == started


async def test_heartbeat_sees_the_rows_of_its_worker(two: Two) -> None:
    assert await two.a.leases.rows_of("A") == []
    await two.started()
    await two.a.tasks.claim(task("u"), B, 0)
    assert await two.b.leases.rows_of("A") == [HeldRow("t", 1, cancel_requested=False)]


async def test_heartbeat_a_rescued_row_is_no_longer_ours(two: Two) -> None:
    await two.rescued()
    assert await two.a.leases.rows_of("A") == []
    assert await two.a.leases.rows_of("B") == [HeldRow("t", 2, cancel_requested=False)]


async def test_heartbeat_a_row_without_an_attempt_becomes_pending_due_now_handed_off(two: Two) -> None:
    await two.started()
    (row,) = await two.a.leases.rows_of("A")
    assert await two.a.leases.give_back("A", row)
    stored = two.rows.row()
    assert (stored["status"], stored["handed_off"], stored["worker_id"]) == ("pending", 1, None)
    assert two.rows.history() == [(1, "lost")]
    assert [message.attempt for message in await two.b.leases.overdue(judge_others=False)] == [1]
    assert (await two.deliver_to_b(wake_up(1))).reception == Begin(attempt=2, crashes=0)


async def test_heartbeat_a_row_without_an_attempt_and_cancel_requested_is_cancelled(two: Two) -> None:
    await two.started()
    await cancel(two.b, "t")
    (row,) = await two.a.leases.rows_of("A")
    assert await two.a.leases.give_back("A", row)
    stored = two.rows.row()
    assert (stored["status"], stored["error_type"], stored["next_check_at"]) == ("cancelled", "Cancelled", None)
    assert stored["completed_at"] is not None


async def test_heartbeat_a_cancel_between_look_and_return_is_not_overwritten(two: Two) -> None:
    await two.started()
    (row,) = await two.a.leases.rows_of("A")
    assert await cancel(two.b, "t") is Steered.ASKED
    assert not await two.a.leases.give_back("A", row)
    stored = two.rows.row()
    assert (stored["status"], stored["cancel_requested"]) == ("running", 1)
    assert two.rows.history() == []


async def test_heartbeat_returns_no_row_that_moved_on(two: Two) -> None:
    await two.started()
    (row,) = await two.a.leases.rows_of("A")
    two.rows.expire("A")
    await two.deliver_to_b(task())
    before = two.rows.row()
    assert not await two.a.leases.give_back("A", row)
    assert two.rows.row() == before


async def test_leaving_lets_others_take_over_at_once(two: Two) -> None:
    await two.started()
    await two.a.leases.leave("A")
    assert (await two.deliver_to_b(task())).reception == Begin(attempt=2, crashes=1, rescues=True)


async def test_leaving_forgets_workers_of_yesterday_without_rows(two: Two) -> None:
    await two.started()
    for worker_id in ("old", "older"):
        await two.a.leases.renew(worker_id, "gone", 60)
        two.rows.expire(worker_id)
    two.rows.expire("A")
    await two.b.leases.leave("B")
    assert set(workers(two)) == {"A", "B"}


# -- maintenance ------------------------------------------------------------------------------------------------------


async def overdue(two: Two, *, trusted: bool = True) -> list[Message]:
    return await two.b.leases.overdue(judge_others=trusted)


@pytest.mark.parametrize("status", ["pending", "retrying"])
async def test_maintenance_wakes_what_is_overdue(two: Two, status: str) -> None:
    await two.retrying()
    two.rows.set(status=status)
    two.rows.make_overdue()
    (message,) = await overdue(two)
    assert (message.wake_up, message.attempt, message.message_id) == (True, 1, None)
    assert message.body == b'{"task_id": "t"}'
    assert two.rows.row()["status"] == status


async def test_maintenance_leaves_a_delayed_message_time_to_come(two: Two) -> None:
    await two.retrying()
    two.rows.make_due()
    assert await overdue(two) == []


async def test_maintenance_never_claims(two: Two) -> None:
    await two.started()
    two.rows.expire("A")
    two.rows.set(handed_off=1)
    before = two.rows.row()
    assert len(await overdue(two)) == 1
    after = two.rows.row()
    same = ("status", "attempt", "crashes", "worker_id", "handed_off", "message_id")
    assert [after[name] for name in same] == [before[name] for name in same]


async def test_maintenance_moves_the_next_check_before_it_publishes(two: Two) -> None:
    await two.retrying()
    two.rows.make_overdue()
    assert len(await overdue(two)) == 1
    assert await overdue(two) == []
    assert await two.a.leases.overdue(judge_others=True) == []


async def test_maintenance_handed_off_with_an_expired_owner_is_woken_at_once(two: Two) -> None:
    await two.a.tasks.hand_off(await two.started())
    assert await overdue(two) == []
    await two.a.leases.leave("A")
    assert [message.attempt for message in await overdue(two)] == [1]
    assert await overdue(two) == []


async def test_maintenance_not_handed_off_with_an_expired_owner_is_woken_after_two_leases(two: Two) -> None:
    await two.started()
    await two.a.leases.leave("A")
    assert await overdue(two) == []
    two.rows.expire("A")
    assert [message.attempt for message in await overdue(two)] == [1]


async def test_maintenance_a_live_owner_is_left_alone(two: Two) -> None:
    await two.a.tasks.hand_off(await two.started())
    assert await overdue(two) == []


async def test_maintenance_not_trusted_judges_no_owner(two: Two) -> None:
    await two.started()
    two.rows.set(handed_off=1)
    two.rows.expire("A")
    assert await overdue(two, trusted=False) == []
    await two.a.tasks.claim(task("u", fields={"defer_by": 60.0}), B, 0)
    two.rows.make_overdue("u")
    assert len(await overdue(two, trusted=False)) == 1


async def test_maintenance_cares_for_its_own_queue_only(two: Two) -> None:
    await two.retrying()
    two.rows.make_overdue()
    other = await open_store(two.url, migrate=None, queue="another")
    try:
        assert await other.leases.overdue(judge_others=True) == []
    finally:
        await other.close()
    assert len(await overdue(two)) == 1


async def test_maintenance_takes_a_bounded_share(two: Two) -> None:
    for number in range(5):
        await two.a.tasks.claim(task(f"t{number}", fields={"defer_by": 60.0}), B, 0)
        two.rows.make_overdue(f"t{number}")
    assert len(await two.a.leases.overdue(judge_others=True, limit=3)) == 3
    assert len(await two.b.leases.overdue(judge_others=True, limit=3)) == 2


async def test_maintenance_loops_share_the_overdue_without_doubles(two: Two) -> None:
    ids = [f"t{number}" for number in range(30)]
    await asyncio.gather(
        *(two.a.tasks.claim(task(name, fields={"defer_by": 60.0}, body=name.encode()), B, 0) for name in ids)
    )
    two.rows.run(f"UPDATE {TASKS} SET next_check_at = '2001-01-01 00:00:00.000'")
    shares = await asyncio.gather(
        *(store.leases.overdue(judge_others=True, limit=7) for _ in range(3) for store in (two.a, two.b))
    )
    bodies = [message.body.decode() for share in shares for message in share]
    for _ in range(5):  # what a loop skipped because another held it
        bodies += [message.body.decode() for message in await overdue(two)]
    assert sorted(bodies) == sorted(ids)


async def test_maintenance_gives_up_nothing_that_ended(two: Two) -> None:
    await two.ended(Succeeded())
    two.rows.make_overdue()
    assert await overdue(two) == []


async def test_a_wake_up_carries_the_producers_properties(two: Two) -> None:
    message = task(
        body=b"\x1f\x8b\x00",
        content_type="application/json",
        content_encoding="gzip",
        priority=7,
        correlation_id="c",
        headers={"tenant": "ü", "n": 3},
    )
    await two.started(message=message)
    two.rows.set(handed_off=1)
    two.rows.expire("A")
    (sent,) = await overdue(two)
    assert (sent.body, sent.content_type, sent.content_encoding) == (b"\x1f\x8b\x00", "application/json", "gzip")
    assert (sent.priority, sent.correlation_id, sent.headers) == (7, "c", {"tenant": "ü", "n": 3})


async def test_the_next_attempt_is_looked_after_anew(two: Two) -> None:
    await two.retrying()
    two.rows.make_overdue()
    assert len(await overdue(two)) == 1
    received = await two.deliver_to_b(delayed(1))
    assert received.claim is not None
    assert two.rows.row()["next_check_at"] is None
    assert await end(two.b, received.claim, Succeeded()) is not None
    assert two.rows.row()["next_check_at"] is None
