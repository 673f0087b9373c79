"""Two workers at the same row at the same moment: exactly one of them gets its way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import TypeVar

from gridsidecar.rules.reception import Begin, Close, Delay, Insert, Reception, Resume
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Cancelled, Claim, Failed, Progress, Report, Status, Succeeded, Task
from gridsidecar.store import HeldRow
from tests.store.workers import BOOM, A, B, Two, counts, decided, end, retry_by_hand, task, wake_up, worker

L = TypeVar("L")
R = TypeVar("R")
MANY = [f"t{number}" for number in range(15)]
NO_RETRY = Failed(error="no", error_type="Broken", retryable=False)


async def both(left: list[Awaitable[L]], right: list[Awaitable[R]]) -> tuple[list[L], list[R]]:
    """Run both lists at the same time, in turns."""
    pairs = [asyncio.gather(one, other) for one, other in zip(left, right, strict=True)]
    done = await asyncio.gather(*pairs)
    return [one for one, _ in done], [other for _, other in done]


async def start_all(two: Two, *, retries: int = 3) -> dict[str, Claim]:
    received = await asyncio.gather(*(two.a.tasks.claim(task(name), A, retries) for name in MANY))
    return {one.claim.task_id: one.claim for one in received if one.claim}


async def test_concurrent_claims_of_a_new_id_insert_it_once(two: Two) -> None:
    received = await asyncio.gather(
        *(
            claim
            for name in MANY
            for claim in (two.a.tasks.claim(task(name), A, 3), two.b.tasks.claim(task(name), B, 3))
        )
    )
    assert Counter(one.claim.task_id for one in received if one.claim) == Counter(MANY)
    assert all(isinstance(one.reception, Insert | Resume) for one in received if one.claim)
    assert all(two.rows.row(name)["attempt"] == 1 for name in MANY)


async def test_concurrent_claims_of_a_new_deferred_id_insert_it_once(two: Two) -> None:
    deferred = {"defer_by": 60.0}
    received = await asyncio.gather(
        *(
            claim
            for name in MANY
            for claim in (
                two.a.tasks.claim(task(name, fields=deferred), A, 3),
                two.b.tasks.claim(task(name, fields=deferred), B, 3),
            )
        )
    )
    assert [one.claim for one in received] == [None] * (2 * len(MANY))
    assert await counts(two.a) == {"pending": len(MANY)}


async def test_concurrent_claims_of_a_due_row_begin_one_attempt(two: Two) -> None:
    for claim in (await start_all(two)).values():
        await end(two.a, claim, BOOM)
        two.rows.make_due(claim.task_id)
    received = await asyncio.gather(
        *(
            claim
            for name in MANY
            for claim in (two.a.tasks.claim(delayed_for(name), A, 3), two.b.tasks.claim(wake_up_for(name), B, 3))
        )
    )
    begun = Counter(one.claim.task_id for one in received if one.reception == Begin(attempt=2, crashes=0) and one.claim)
    assert begun == Counter(MANY)
    assert all(two.rows.row(name)["attempt"] == 2 for name in MANY)


def delayed_for(name: str) -> Task:
    return task(name, attempt=1, message_id="delayed")


def wake_up_for(name: str) -> Task:
    return task(name, attempt=1, wake_up=True)


async def test_concurrent_rescues_begin_one_attempt(two: Two) -> None:
    await start_all(two)
    two.rows.expire("A")
    third = worker("C")
    await two.b.leases.renew("C", "three", 60)
    received = await asyncio.gather(
        *(
            claim
            for name in MANY
            for claim in (two.a.tasks.claim(task(name), third, 3), two.b.tasks.claim(task(name), B, 3))
        )
    )
    assert Counter(one.claim.task_id for one in received if one.claim) == Counter(MANY)
    assert all(two.rows.row(name)["crashes"] == 1 for name in MANY)


async def test_rescue_against_a_late_commit_has_one_winner(two: Two) -> None:
    claims = await start_all(two)
    two.rows.expire("A")

    async def late(name: str) -> bool:
        return await end(two.a, claims[name], Succeeded("late")) is not None

    async def rescue(name: str) -> bool:
        return (await two.b.tasks.claim(task(name), B, 3)).claim is not None

    committed, rescued = await both([late(name) for name in MANY], [rescue(name) for name in MANY])
    for name, won, lost in zip(MANY, committed, rescued, strict=True):
        assert won is not lost, name
        row, history = two.rows.row(name), two.rows.history(name)
        if won:
            assert (row["status"], row["attempt"], history) == ("success", 1, [(1, "success")])
        else:
            assert (row["status"], row["attempt"], history) == ("running", 2, [(1, "lost")])


async def test_cancel_against_a_commit_ends_the_task_once(two: Two) -> None:
    claims = await start_all(two)

    async def fail(name: str) -> Status:
        transition = await end(two.a, claims[name], NO_RETRY)
        assert transition is not None
        return transition.status

    async def cancel(name: str) -> Steered:
        return (await two.b.steering.cancel([name]))[name]

    ends, answers = await both([fail(name) for name in MANY], [cancel(name) for name in MANY])
    for name, status, answer in zip(MANY, ends, answers, strict=True):
        assert two.rows.row(name)["status"] == status
        assert two.rows.history(name) == [(1, "failed")]
        assert (status, answer) in {(Status.FAILED, Steered.FAILED), (Status.CANCELLED, Steered.ASKED)}


async def test_cancel_against_a_retry_never_starts_it_again(two: Two) -> None:
    claims = await start_all(two)

    async def retry(name: str) -> None:
        assert await end(two.a, claims[name], BOOM, delay=0) is not None

    async def cancel(name: str) -> None:
        await two.b.steering.cancel([name])

    await both([retry(name) for name in MANY], [cancel(name) for name in MANY])
    for name in MANY:
        assert (await two.b.tasks.claim(delayed_for(name), B, 3)).claim is None
        assert two.rows.row(name)["status"] == "cancelled"


async def test_cancel_against_a_claim_is_seen_by_one_of_them(two: Two) -> None:
    for claim in (await start_all(two)).values():
        await end(two.a, claim, BOOM, delay=0)

    async def start(name: str) -> bool:
        return (await two.b.tasks.claim(delayed_for(name), B, 3)).claim is not None

    async def cancel(name: str) -> Steered:
        return (await two.a.steering.cancel([name]))[name]

    started, answers = await both([start(name) for name in MANY], [cancel(name) for name in MANY])
    for name, runs, answer in zip(MANY, started, answers, strict=True):
        row = two.rows.row(name)
        if runs:
            assert (answer, row["status"], row["cancel_requested"]) == (Steered.ASKED, "running", 1)
        else:
            assert (answer, row["status"]) == (Steered.CANCELLED, "cancelled")


async def test_hand_off_against_the_end_never_marks_an_ended_row_wrongly(two: Two) -> None:
    claims = await start_all(two)

    async def hand_off(name: str) -> bool:
        return await two.a.tasks.hand_off(claims[name])

    async def finish(name: str) -> bool:
        return (
            await two.a.tasks.ends.commit(claims[name], decided(claims[name], Succeeded()), Report(), Progress())
            is not None
        )

    marked, ended = await both([hand_off(name) for name in MANY], [finish(name) for name in MANY])
    assert all(ended)
    assert [two.rows.row(name)["handed_off"] for name in MANY] == [int(mark) for mark in marked]


async def test_return_of_a_row_against_its_rescue_has_one_winner(two: Two) -> None:
    await start_all(two)
    rows = {row.task_id: row for row in await two.a.leases.rows_of("A")}
    two.rows.expire("A")

    async def give_back(name: str) -> bool:
        return await two.a.leases.give_back("A", rows[name])

    async def rescue(name: str) -> Reception:
        return (await two.b.tasks.claim(task(name), B, 3)).reception

    returned, received = await both([give_back(name) for name in MANY], [rescue(name) for name in MANY])
    for name, back, reception in zip(MANY, returned, received, strict=True):
        assert back is not (isinstance(reception, Begin) and reception.rescues), name
        assert two.rows.history(name) == [(1, "lost")]
        if isinstance(reception, Delay):  # it asked before the moment from which the row was due, and waited for it
            assert reception.delay < 10
        else:
            assert two.rows.row(name)["attempt"] == 2


async def test_retry_by_hand_twice_at_once_happens_once(two: Two) -> None:
    for claim in (await start_all(two)).values():
        await end(two.a, claim, Cancelled())
    first, second = await both(
        [retry_by_hand(two.a, name) for name in MANY], [retry_by_hand(two.b, name) for name in MANY]
    )
    for name, one, other in zip(MANY, first, second, strict=True):
        assert (one is None) is not (other is None), name
        assert two.rows.row(name)["status"] == "pending"


async def test_retry_by_hand_against_a_wake_up_begins_one_attempt(two: Two) -> None:
    claim = await two.ended(NO_RETRY)

    async def deliver() -> Claim | None:
        return (await two.deliver_to_b(wake_up(1))).claim

    message, begun = await asyncio.gather(retry_by_hand(two.a, claim.task_id), deliver())
    assert message is not None or begun is not None
    again = await deliver()
    assert [attempt is not None for attempt in (begun, again)].count(True) >= 1
    assert two.rows.row()["attempt"] == 2


async def test_a_late_commit_against_the_claim_after_a_return_has_one_winner(two: Two) -> None:
    claim = await two.started()
    assert await two.a.leases.give_back("A", HeldRow("t", 1, cancel_requested=False))
    assert await end(two.a, claim, Succeeded("late")) is None
    row = two.rows.row()
    assert (row["status"], row["handed_off"]) == ("pending", 1)
    assert two.rows.history() == [(1, "lost")]


async def test_every_write_in_a_crowd_gets_its_own_answer(two: Two) -> None:
    claims = await start_all(two)
    stale = {name: claim for name, claim in claims.items() if int(name[1:]) % 2}
    two.rows.expire("A")
    for name in stale:
        await two.b.tasks.claim(task(name), B, 3)
    answers = await asyncio.gather(*(two.a.tasks.progress(claims[name], Progress(9, name)) for name in MANY))
    assert answers == [name not in stale for name in MANY]
    assert [two.rows.row(name)["progress_message"] for name in MANY] == [
        None if name in stale else name for name in MANY
    ]


async def test_a_close_against_another_close_writes_one_end(two: Two) -> None:
    await start_all(two)
    two.rows.run("UPDATE grid_async_task_tasks SET crashes = 3")
    two.rows.expire("A")
    third = worker("C")
    first, second = await both(
        [two.a.tasks.claim(task(name), third, 3) for name in MANY],
        [two.b.tasks.claim(task(name), B, 3) for name in MANY],
    )
    closed = [
        isinstance(one.reception, Close) + isinstance(other.reception, Close)
        for one, other in zip(first, second, strict=True)
    ]
    assert closed == [1] * len(MANY)
    assert all(two.rows.row(name)["crashes"] == 4 for name in MANY)
