"""Pauses of task types, and rates of handlers, on both stores: what is parked, what comes back, who starts when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from gridsidecar.rules.flow import Flow, Park, Reserve
from gridsidecar.rules.rate import Rate
from gridsidecar.rules.reception import AckOnly, Begin, Close, Delay, Insert, Resume
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Task
from gridsidecar.store import Answer, Store
from tests.store.direct import LONG_AGO, TASKS
from tests.store.workers import BOOM, A, B, Two, cancel, delayed, end, no_changes_of, task, wake_up

PAUSED = Flow(paused=True)
SLOW = Flow(rate=Rate(1, 60.0), handler="h")
HOUR = timedelta(hours=1)


def in_an_hour() -> datetime:
    return datetime.now(UTC) + HOUR


async def deliver(store: Store, message: Task, flow: Flow = PAUSED, **known: object) -> Answer:
    return await store.tasks.claim(message, replace(A, **known), 3, flow)  # type: ignore[arg-type]


async def owed(two: Two) -> int:
    return await two.a.reading.owed()


def over(two: Two) -> None:
    """The time of all pauses comes."""
    two.rows.run(f"UPDATE {TASKS}_pauses SET until = ?", LONG_AGO)


# -- what is parked ---------------------------------------------------------------------------------------------------


async def test_a_new_task_of_a_paused_type_is_parked(two: Two) -> None:
    await two.a.pauses.pause("default")
    received = await deliver(two.a, task())
    assert (received.reception, received.claim) == (Park(), None)
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["handed_off"], row["worker_id"]) == ("pending", 0, 1, None)
    assert bytes(row["body"]) == b'{"task_id": "t"}'
    assert int(str(row["next_check_at"])[:4]) >= 3000
    assert await owed(two) == 0
    assert await two.a.leases.overdue(judge_others=True) == []


async def test_parking_is_safe_to_repeat(two: Two) -> None:
    await two.a.pauses.pause("default")
    assert (await deliver(two.a, task())).reception == Park()
    assert (await deliver(two.b, task())).reception == Park()
    assert (await two.b.tasks.park(task(), B, 3)) == Answer(Park(), attempt=0)


async def test_what_a_worker_thinks_is_paused_and_is_not_starts(two: Two) -> None:
    assert (await deliver(two.a, task())).reception == Insert()
    assert await two.a.tasks.park(task("other"), A, 3) is None
    await two.a.pauses.pause("default")
    await two.a.pauses.resume("default")
    assert (await deliver(two.a, task("third"))).claim is not None


async def test_a_retry_of_a_paused_type_stays_retrying_and_keeps_its_counters(two: Two) -> None:
    await two.retrying()
    await two.a.pauses.pause("default")
    assert isinstance((await deliver(two.a, delayed(1))).reception, Delay)
    two.rows.make_due()
    assert (await deliver(two.a, delayed(1))).reception == Park()
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["retry_count"]) == ("retrying", 1, 1)


async def test_a_delayed_task_of_a_paused_type_waits_for_its_time_and_is_parked_then(two: Two) -> None:
    await two.a.pauses.pause("default")
    late = task(fields={"defer_by": 60.0})
    assert isinstance((await deliver(two.a, late)).reception, Delay)
    assert int(str(two.rows.row()["next_check_at"])[:4]) < 3000
    two.rows.make_due()
    assert (await deliver(two.a, delayed(0))).reception == Park()


async def test_a_rescue_during_a_pause_counts_the_crash_and_parks(two: Two) -> None:
    await two.started()
    two.rows.expire("A")
    await two.a.pauses.pause("default")
    received = await two.b.tasks.claim(delayed(1), replace(B, ahead=True), 3, PAUSED)
    assert received.reception == Park(crashes=1, rescues=True)
    row = two.rows.row()
    assert (row["status"], row["crashes"], row["worker_id"]) == ("pending", 1, None)
    assert two.rows.history() == [(1, "lost")]
    await two.a.pauses.resume("default")
    (back,) = (await two.b.pauses.release("default")).wake_ups
    received = await two.b.tasks.claim(task(attempt=back.attempt, wake_up=True), B, 3)
    assert received.reception == Begin(attempt=2, crashes=1)


async def test_the_last_crash_ends_a_task_though_its_type_is_paused(two: Two) -> None:
    await two.started()
    two.rows.expire("A")
    await two.a.pauses.pause("default")
    received = await two.b.tasks.claim(delayed(1), replace(B, max_crashes=0), 3, PAUSED)
    assert isinstance(received.reception, Close)


async def test_what_runs_is_not_touched_and_a_claim_whose_reply_was_lost_goes_on(two: Two) -> None:
    await two.started()
    await two.a.pauses.pause("default")
    assert (await deliver(two.a, task())).reception == Resume()
    assert await two.a.tasks.park(task(), A, 3) is None
    assert (await deliver(two.a, task(), holds_attempt=1, holds_live_copy=True)).reception == AckOnly("runs here")


async def test_a_parked_task_can_be_cancelled(two: Two) -> None:
    await two.a.pauses.pause("default")
    await deliver(two.a, task())
    assert await cancel(two.a, "t") is Steered.CANCELLED
    await two.a.pauses.resume("default")
    assert (await two.a.pauses.release("default")).rows == 0


# -- the end of a pause -----------------------------------------------------------------------------------------------


async def test_a_pause_that_is_over_brings_all_back_and_is_forgotten_last(two: Two) -> None:
    await two.a.pauses.pause("default", in_an_hour(), "the mail server moves")
    for number in range(5):
        await deliver(two.a, task(f"t{number}"))
    assert await owed(two) == 0
    assert (await two.a.pauses.release("default")).rows == 0
    over(two)
    assert await owed(two) == 5
    (pause,) = await two.a.pauses.read()
    assert (pause.lifted, pause.reason) == (True, "the mail server moves")
    first = await two.a.pauses.release("default", limit=3)
    assert (first.rows, first.forgotten) == (3, False)
    assert [row["id"] for row in two.rows.run(f"SELECT id FROM {TASKS} WHERE next_check_at < '3000-01-01'")] == [
        "t0",
        "t1",
        "t2",
    ], "in the order in which they were parked"
    assert await owed(two) == 2
    assert (await two.b.pauses.release("default")).rows == 2
    assert (await two.b.pauses.release("default")).forgotten
    assert await two.a.pauses.read() == []


async def test_a_released_task_whose_wake_up_is_lost_is_found_by_maintenance(two: Two) -> None:
    await two.a.pauses.pause("default")
    await deliver(two.a, task())
    assert await two.a.pauses.resume("default")
    assert (await two.a.pauses.release("default")).rows == 1
    assert await two.a.leases.overdue(judge_others=True) == []
    two.rows.make_overdue()
    (found,) = await two.a.leases.overdue(judge_others=True)
    assert found.wake_up


async def test_resume_says_whether_there_was_a_pause(two: Two) -> None:
    assert not await two.a.pauses.resume("default")
    await two.a.pauses.pause("default")
    assert await two.a.pauses.resume("default")
    assert not await two.b.pauses.resume("default")


async def test_paused_again_while_the_last_pause_is_being_released(two: Two) -> None:
    await two.a.pauses.pause("default", in_an_hour())
    await deliver(two.a, task("t1"))
    over(two)
    await two.a.pauses.pause("default")
    assert (await two.a.pauses.release("default")).rows == 0
    assert (await deliver(two.a, task("t2"))).reception == Park()
    (pause,) = await two.a.reading.pauses()
    assert (pause["parked"], pause["until_at"], pause["ended"]) == (2, None, False)


async def test_each_type_and_queue_is_paused_by_itself(two: Two) -> None:
    await two.a.pauses.pause("default")
    await two.a.pauses.pause("mail")
    await deliver(two.a, task("t1"))
    await deliver(two.a, task("t2", fields={"task_type": "mail"}))
    assert (await deliver(two.a, task("t3", fields={"task_type": "Mail"}))).claim is not None
    await two.a.pauses.resume("mail")
    assert [message.attempt for message in (await two.a.pauses.release("mail")).wake_ups] == [0]
    assert {pause["task_type"]: pause["parked"] for pause in await two.a.reading.pauses()} == {"default": 1, "mail": 0}


async def test_a_row_that_cannot_be_read_does_not_keep_the_others_back(two: Two) -> None:
    await two.a.pauses.pause("default")
    await deliver(two.a, task("t1"))
    await deliver(two.a, task("t2"))
    two.rows.set("t1", headers="{")
    await two.a.pauses.resume("default")
    released = await two.a.pauses.release("default")
    assert (released.rows, len(released.wake_ups)) == (2, 1)


@pytest.mark.usefixtures("triggers")
async def test_a_row_that_the_database_does_not_change_does_not_keep_the_others_parked(two: Two) -> None:
    await two.a.pauses.pause("default")
    for number in range(7):
        await deliver(two.a, task(f"t{number}"))
    no_changes_of(two, "t3")
    await two.a.pauses.resume("default")
    released = await two.a.pauses.release("default")
    assert (released.rows, len(released.wake_ups), released.forgotten) == (6, 6, False)
    again = await two.b.pauses.release("default")
    assert (again.rows, again.wake_ups, again.forgotten) == (0, [], False)
    two.rows.run("DROP TRIGGER refuses")
    assert (await two.b.pauses.release("default")).rows == 1
    assert (await two.b.pauses.release("default")).forgotten


# -- a breaker --------------------------------------------------------------------------------------------------------


async def test_of_two_breakers_one_opens(two: Two) -> None:
    assert await two.a.pauses.trip("default", 60, "boom")
    assert not await two.b.pauses.trip("default", 60, "boom")
    (pause,) = await two.a.pauses.read()
    assert (pause.cool_down, pause.lifted, pause.wants_probe) == (60, False, False)


async def test_a_breaker_leaves_a_pause_by_hand_as_it_is(two: Two) -> None:
    await two.a.pauses.pause("default", None, "by hand")
    assert not await two.b.pauses.trip("default", 60, "boom")
    assert not await two.b.pauses.close_breaker("default")
    (pause,) = await two.a.pauses.read()
    assert (pause.reason, pause.cool_down) == ("by hand", None)


async def test_after_the_cool_down_one_task_is_tried_and_its_success_ends_the_pause(two: Two) -> None:
    await two.a.pauses.trip("default", 60, "boom")
    for number in range(3):
        await deliver(two.a, task(f"t{number}"))
    assert await two.a.pauses.probe("default") is None, "not yet"
    over(two)
    assert (await two.a.pauses.release("default")).rows == 0, "a breaker's pause does not end by itself"
    assert await owed(two) == 3
    assert await two.a.pauses.probe("default") is not None
    assert await two.b.pauses.probe("default") is None
    assert await owed(two) == 0
    assert (await deliver(two.a, task("t1", wake_up=True))).reception == Park()
    received = await deliver(two.a, task("t0", wake_up=True))
    assert received.reception == Begin(attempt=1, crashes=0)
    assert await two.a.pauses.close_breaker("default")
    assert not await two.b.pauses.close_breaker("default")
    assert (await two.a.pauses.release("default")).rows == 2


async def test_a_breaker_with_nothing_parked_tries_the_first_that_comes(two: Two) -> None:
    await two.a.pauses.trip("default", 60, "boom")
    over(two)
    assert await two.a.pauses.probe("default") is None
    assert (await deliver(two.a, task())).reception == Park()
    assert await two.a.pauses.probe("default") is not None


async def test_a_probe_whose_worker_died_is_followed_by_another(two: Two) -> None:
    await two.a.pauses.trip("default", 60, "boom")
    await deliver(two.a, task("t1"))
    await deliver(two.a, task("t2"))
    over(two)
    assert await two.a.pauses.probe("default") is not None
    over(two)
    assert await two.b.pauses.probe("default") is not None
    (pause,) = await two.a.pauses.read()
    assert pause.probe == "t2"


# -- a rate -----------------------------------------------------------------------------------------------------------


async def test_the_first_starts_and_the_next_has_its_place_later(two: Two) -> None:
    assert (await deliver(two.a, task("t1"), SLOW)).claim is not None
    for number, expected in ((2, 60), (3, 120)):
        received = await deliver(two.a, task(f"t{number}"), SLOW)
        assert isinstance(received.reception, Reserve)
        assert expected - 5 < received.reception.delay <= expected
    row = two.rows.row("t3")
    assert (row["status"], row["reserved"], row["attempt"], row["retry_count"]) == ("pending", 1, 0, 0)
    assert await owed(two) == 0


async def test_a_changed_rate_begins_anew(two: Two) -> None:
    """Whatever was given away by the old one, by mistake and for hours."""
    for number in range(3):
        await deliver(two.a, task(f"t{number}"), SLOW)
    quicker = Flow(rate=Rate(1, 30.0), handler="h")
    assert (await deliver(two.a, task("new"), quicker)).claim is not None
    received = await deliver(two.a, task("next"), quicker)
    assert isinstance(received.reception, Reserve)
    assert 25 < received.reception.delay <= 30


async def test_a_place_that_is_reserved_is_taken_once(two: Two) -> None:
    await deliver(two.a, task("t1"), SLOW)
    await deliver(two.a, task("t"), SLOW)
    assert isinstance((await deliver(two.a, delayed(0), SLOW)).reception, Delay), "before its time"
    two.rows.set("t", next_run_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"))
    early = await deliver(two.a, delayed(0), SLOW)
    assert isinstance(early.reception, Reserve), "the one before was late"
    assert early.reception.delay > 50
    two.rows.set("t", next_run_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"))
    two.rows.run(f"UPDATE {TASKS}_rates SET paced_at = ?", LONG_AGO if two.rows.is_mysql else 0)
    received = await deliver(two.a, delayed(0), SLOW)
    assert received.reception == Begin(attempt=1, crashes=0)
    assert two.rows.row("t")["reserved"] == 0
    claim = received.claim
    assert claim is not None
    await end(two.a, claim, BOOM, delay=0)
    received = await deliver(two.a, delayed(1), SLOW)
    assert isinstance(received.reception, Reserve), "a retry needs a place of its own"
    assert two.rows.row("t")["retry_count"] == 1


async def test_a_place_of_long_ago_is_lost(two: Two) -> None:
    await deliver(two.a, task("t1"), SLOW)
    await deliver(two.a, task("t"), SLOW)
    two.rows.make_due("t")
    assert isinstance((await deliver(two.a, delayed(0), SLOW)).reception, Reserve)


async def test_a_rescue_takes_a_place_too(two: Two) -> None:
    await two.a.tasks.claim(task(), A, 3, SLOW)
    two.rows.expire("A")
    received = await two.b.tasks.claim(delayed(1), B, 3, SLOW)
    assert isinstance(received.reception, Reserve)
    row = two.rows.row()
    assert (row["status"], row["crashes"], row["worker_id"]) == ("pending", 1, None)
    assert two.rows.history() == [(1, "lost")]


async def test_a_pause_takes_no_place_and_gives_up_the_one_that_was_reserved(two: Two) -> None:
    both = replace(SLOW, paused=True)
    await deliver(two.a, task("t1"), SLOW)
    await deliver(two.a, task("t"), SLOW)
    await two.a.pauses.pause("default")
    two.rows.make_due("t")
    assert (await deliver(two.a, delayed(0), both)).reception == Park()
    assert two.rows.row("t")["reserved"] == 0
    await two.a.pauses.resume("default")
    await two.a.pauses.release("default")
    assert isinstance((await deliver(two.a, wake_up(0), both)).reception, Reserve | AckOnly)


async def test_unused_time_is_not_saved_up(two: Two) -> None:
    await deliver(two.a, task("t1"), SLOW)
    free_at = LONG_AGO if two.rows.is_mysql else 0
    two.rows.run(f"UPDATE {TASKS}_rates SET free_at = ?, paced_at = ?", free_at, free_at)
    assert (await deliver(two.a, task("t2"), SLOW)).claim is not None
    assert isinstance((await deliver(two.a, task("t3"), SLOW)).reception, Reserve)
