"""Rows that are there before their messages: what they hold, who may change them, and how they begin."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.rules.flow import Flow
from gridsidecar.rules.reception import AckOnly, Begin, Delay, Insert
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import Task
from gridsidecar.store import Answer, Store
from gridsidecar.wire.new_task import make_task
from tests.store.direct import TASKS
from tests.store.workers import A, Two, cancel, listed, retry_by_hand, wake_up

LARGE = {"words": ["ä" * 50] * 2000, "n": 1.5}
FIELDS: list[dict[str, Any]] = [
    {},
    {"task_type": "resize", "data": {"名": [1, None]}, "max_retry_count": 7, "priority": "high", "timeout": 2.5},
    {"callback_url": "https://example.com/x", "callback_data": {"a": [1]}, "defer_by": 60},
    {"callback_type": "rabbitmq", "callback_data": {"queue_name": "done"}, "defer_until": "2097-06-01T12:00:00+05:30"},
    {"data": LARGE},
]
OF_ITS_TIME = {"created_at", "updated_at", "next_run_at", "next_check_at"}


def made(task_id: str = "t", **fields: Any) -> Task:
    """A task as its producer is about to send it."""
    task = make_task({"task_id": task_id, **fields}, 1 << 24)
    return replace(task, message=replace(task.message, message_id=f"of-{task_id}"))


def arrives(task: Task, **properties: Any) -> Task:
    """Its message as a worker gets it."""
    return replace(task, message=replace(task.message, **{"prewritten_id": task.message.message_id, **properties}))


async def sent(store: Store, task: Task) -> None:
    assert await store.prewritten.write(task, 3)
    await store.prewritten.note_sent(task)


async def claimed(store: Store, task: Task, retries: int = 3) -> Answer:
    return await store.tasks.claim(task, A, retries)


# -- the row ----------------------------------------------------------------------------------------------------------


async def test_until_it_is_noted_maintenance_looks_after_it(two: Two) -> None:
    task = made()
    assert await two.a.prewritten.write(task, 3)
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["handed_off"], row["message_id"]) == ("pending", 0, 1, "of-t")
    assert row["next_check_at"] > row["next_run_at"] == row["created_at"]
    await two.a.prewritten.note_sent(task)
    row = two.rows.row()
    assert (row["status"], row["handed_off"], row["next_check_at"]) == ("pending", 0, None)
    assert [one["task_id"] for one in await listed(two.b, statuses=("pending",))] == ["t"]
    assert await two.b.reading.owed() == 0


@pytest.mark.parametrize("fields", FIELDS, ids=["bare", "resize", "defer_by", "defer_until", "large"])
async def test_it_is_the_row_that_a_worker_writes(two: Two, fields: dict[str, Any]) -> None:
    ours, workers = made("ours", **fields), made("workers", **fields)
    await sent(two.a, ours)
    if not {"defer_by", "defer_until"} & fields.keys():
        await claimed(two.a, arrives(ours))
    await claimed(two.a, replace(workers, message=replace(workers.message, message_id="of-ours")))
    rows = [two.rows.row(task_id) for task_id in ("ours", "workers")]
    for row in rows:
        row["body"] = {**json.loads(row["body"]), "task_id": None}
    differ = {name for name in rows[0] if rows[0][name] != rows[1][name]}
    assert differ <= {"id", "started_at", "rev", *OF_ITS_TIME}
    assert all((rows[0][name] is None) == (rows[1][name] is None) for name in OF_ITS_TIME)


async def test_an_id_that_has_a_row_keeps_it(two: Two) -> None:
    await two.started()
    before = two.rows.row()
    task = made(data="other")
    assert not await two.a.prewritten.write(task, 3)
    await two.a.prewritten.note_sent(task)
    assert not await two.a.prewritten.withdraw(task)
    assert two.rows.row() == before


async def test_many_at_once_and_twice(two: Two) -> None:
    tasks = [made(f"t{number}") for number in range(100)]
    others = [replace(task, message=replace(task.message, message_id=f"other-{task.task_id}")) for task in tasks[:50]]
    written = await asyncio.gather(*(two.a.prewritten.write(task, 3) for task in (*tasks, *others)))
    assert sum(written) == 100
    for task_id in ("t0", "t49"):
        assert two.rows.row(task_id)["message_id"] in (f"of-{task_id}", f"other-{task_id}")
    await asyncio.gather(*(two.b.prewritten.note_sent(task) for task in tasks))
    assert two.rows.run(f"SELECT COUNT(*) AS n FROM {TASKS} WHERE next_check_at IS NULL") == [{"n": 100}]


# -- its first attempt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noted", [True, False])
async def test_its_message_begins_it(two: Two, noted: bool) -> None:
    task = made()
    assert await two.a.prewritten.write(task, 3)
    if noted:
        await two.a.prewritten.note_sent(task)
    received = await claimed(two.b, arrives(task), 9)
    assert received.reception == Begin(attempt=1, crashes=0)
    assert received.claim is not None
    assert received.claim.max_retry_count == 9
    row = two.rows.row()
    assert (row["status"], row["attempt"], row["worker_id"], row["max_retry_count"]) == ("running", 1, "A", 9)
    assert (row["handed_off"], row["next_check_at"], row["next_run_at"]) == (0, None, None)
    await two.a.prewritten.note_sent(task)
    assert not await two.a.prewritten.withdraw(task)
    assert two.rows.row() == row


@pytest.mark.parametrize(
    "copy",
    [{"message_id": "own", "prewritten_id": None}, {"message_id": "own"}, {"wake_up": True, "message_id": "own"}],
)
async def test_so_does_a_copy_of_it_once(two: Two, copy: dict[str, Any]) -> None:
    task = made()
    await sent(two.a, task)
    received = await claimed(two.b, arrives(task, **copy))
    assert received.reception == Begin(attempt=1, crashes=0)
    assert two.rows.row()["message_id"] == "own"
    held = replace(A, holds_attempt=1, holds_live_copy=True)
    assert isinstance((await two.b.tasks.claim(arrives(task), held, 3)).reception, AckOnly)


async def test_one_without_its_row_begins_as_ever(two: Two) -> None:
    assert (await claimed(two.a, arrives(made()))).reception == Insert()


async def test_many_begin_beside_those_that_have_no_rows(two: Two) -> None:
    early = [made(f"early{number}") for number in range(20)]
    await asyncio.gather(*(sent(two.a, task) for task in early))
    plain = [made(f"plain{number}") for number in range(20)]
    answers = await asyncio.gather(
        *(claimed(two.b, arrives(task)) for task in early), *(claimed(two.b, task) for task in plain)
    )
    assert [answer.reception for answer in answers[:20]] == [Begin(attempt=1, crashes=0)] * 20
    assert [answer.reception for answer in answers[20:]] == [Insert()] * 20


async def test_deferred_it_waits_for_its_time(two: Two) -> None:
    task = made(defer_by=60)
    assert await two.a.prewritten.write(task, 3)
    check = two.rows.row()["next_check_at"]
    await two.a.prewritten.note_sent(task)
    row = two.rows.row()
    assert (row["handed_off"], row["next_check_at"]) == (0, check)
    assert check > row["next_run_at"] > row["created_at"]
    received = await claimed(two.a, arrives(task))
    assert isinstance(received.reception, Delay)
    assert 50 < received.reception.delay <= 60
    two.rows.make_due()
    assert (await claimed(two.a, arrives(task, message_id="delayed"))).reception == Begin(attempt=1, crashes=0)


async def test_behind_a_pause_it_is_parked_and_stays_so(two: Two) -> None:
    task = made()
    assert await two.a.prewritten.write(task, 3)
    await two.a.pauses.pause("default", None)
    await two.a.tasks.claim(arrives(task), A, 3, Flow(paused=True))
    parked = two.rows.row()
    assert (parked["status"], parked["handed_off"]) == ("pending", 1)
    await two.b.prewritten.note_sent(task)
    assert two.rows.row() == parked


# -- a message that nobody sent ---------------------------------------------------------------------------------------


async def test_a_message_that_was_never_sent_is_owed(two: Two) -> None:
    task = made(data={"n": 1})
    assert await two.a.prewritten.write(task, 3)
    assert await two.b.leases.overdue(judge_others=True) == []
    two.rows.make_overdue()
    assert await two.b.reading.owed() == 1
    (message,) = await two.b.leases.overdue(judge_others=True)
    assert (message.wake_up, message.attempt, message.body) == (True, 0, task.message.body)
    assert (await claimed(two.b, wake_up(0))).reception == Begin(attempt=1, crashes=0)
    two.rows.make_overdue()
    await two.a.prewritten.note_sent(task)
    assert two.rows.row()["next_check_at"] is not None, "only who wrote the row last may say that"


async def test_what_the_broker_refuses_leaves_no_row(two: Two) -> None:
    task = made()
    assert await two.a.prewritten.write(task, 3)
    assert await two.a.prewritten.withdraw(task)
    assert await two.b.reading.get("t") is None


async def test_but_for_one_that_a_worker_sent_meanwhile(two: Two) -> None:
    task = made()
    assert await two.a.prewritten.write(task, 3)
    two.rows.make_overdue()
    assert len(await two.b.leases.overdue(judge_others=True)) == 1
    assert not await two.a.prewritten.withdraw(task)
    assert two.rows.row()["status"] == "pending"


# -- what people do to it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noted", [True, False])
async def test_it_is_cancelled_and_run_again_as_any_that_waits(two: Two, noted: bool) -> None:
    task = made(callback_url="https://example.com/x")
    assert await two.a.prewritten.write(task, 3)
    if noted:
        await two.a.prewritten.note_sent(task)
    assert await cancel(two.b, "t") is Steered.CANCELLED
    assert len(await two.b.outbox.all(task_id="t")) == 1
    assert isinstance((await claimed(two.a, arrives(task))).reception, AckOnly)
    message = await retry_by_hand(two.b, "t")
    assert message is not None
    again = two.rows.row()
    await two.a.prewritten.note_sent(task)
    assert not await two.a.prewritten.withdraw(task)
    assert two.rows.row() == again
    assert (await claimed(two.a, wake_up(0))).reception == Begin(attempt=1, crashes=0)


async def test_cancelled_before_its_row_it_never_runs(two: Two) -> None:
    assert await cancel(two.b, "t") is Steered.NOTED
    task = made(callback_url="https://example.com/x")
    assert not await two.a.prewritten.write(task, 3)
    await claimed(two.a, task)
    assert two.rows.row()["status"] == "cancelled"
    assert len(await two.b.outbox.all(task_id="t")) == 1


# -- a message that no worker can use ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copy", [{}, {"message_id": None, "wake_up": True}, {"message_id": None, "prewritten_id": None}]
)
async def test_refused_it_fails(two: Two, copy: dict[str, Any]) -> None:
    task = made(task_type="unknown", callback_url="https://example.com/x")
    await sent(two.a, task)
    arrived = arrives(task, **copy)
    assert await two.b.tasks.refused_messages.record(arrived.message, "t", "no handler", arrived)
    row = two.rows.row()
    assert (row["status"], row["error_type"], row["error_message"]) == ("failed", "ValidationError", "no handler")
    assert len(await two.b.outbox.all(task_id="t")) == 1
    assert not await two.b.tasks.refused_messages.record(arrived.message, "t", "no handler", arrived)


async def test_so_it_does_by_what_maintenance_sends_however_large_it_is(two: Two) -> None:
    task = made(task_type="unknown", data={"text": "x" * 100_000})
    assert await two.a.prewritten.write(task, 3)
    two.rows.make_overdue()
    (message,) = await two.b.leases.overdue(judge_others=True)
    assert await two.b.tasks.refused_messages.record(message, "t", "no handler", replace(task, message=message))
    assert two.rows.row()["status"] == "failed"


async def test_rubbish_of_the_same_id_does_not_touch_it(two: Two) -> None:
    await sent(two.a, made(data=1))
    rubbish = made(data=2)
    message = replace(rubbish.message, message_id="rubbish")
    assert not await two.b.tasks.refused_messages.record(message, "t", "no", rubbish)
    assert two.rows.row()["status"] == "pending"
