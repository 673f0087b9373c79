"""The outbox: one callback for each end that somebody wants to hear of, in the hands of one sender at a time."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.rules.reception import Close
from gridsidecar.rules.steering import Steered
from gridsidecar.rules.task import (
    Callback,
    Cancelled,
    CannotStart,
    Claim,
    Failed,
    Interrupted,
    Message,
    Outcome,
    Progress,
    Report,
    Succeeded,
)
from gridsidecar.store import OwedCallback, Store
from tests.store.direct import LONG_AGO, TASKS, Row
from tests.store.workers import BOOM, A, B, Two, cancel, decided, delayed, end, open_store, retry_by_hand, task

ASKED = Callback(url="https://example.com/done", data={"order": 7})
MESSAGE = task(fields={"callback": ASKED})


def outbox(two: Two) -> list[Row]:
    return two.rows.run(f"SELECT * FROM {TASKS}_callbacks ORDER BY rerun")


def bodies(two: Two) -> list[dict[str, Any]]:
    return [json.loads(row["body"]) for row in outbox(two)]


def make_due(two: Two) -> None:
    two.rows.run(f"UPDATE {TASKS}_callbacks SET next_try_at = ? WHERE next_try_at IS NOT NULL", LONG_AGO)


@dataclass
class Share:
    """Room for so many callbacks, and for so many of some receivers."""

    limit: int = 10
    of: dict[str, int] = field(default_factory=dict)

    def has_room(self, receiver: str) -> bool:
        return bool(self.limit and self.of.setdefault(receiver, self.limit))

    def take(self, receiver: str, size: int) -> bool:
        if not self.has_room(receiver):
            return False
        self.limit -= 1
        self.of[receiver] -= 1
        return True


async def take(store: Store, limit: int = 10) -> list[OwedCallback]:
    return (await store.outbox.take(60, lambda: Share(limit))).callbacks


async def started(two: Two, *, retries: int = 0, callback: Callback = ASKED) -> Claim:
    return await two.started(retries=retries, message=task(fields={"callback": callback}))


async def owed(two: Two) -> OwedCallback:
    """One callback, just taken by a sender."""
    await end(two.a, await started(two), Succeeded())
    (callback,) = await take(two.a, 10)
    return callback


# -- who is owed one --------------------------------------------------------------------------------------------------


async def test_a_success_owes_its_result(two: Two) -> None:
    await end(two.a, await started(two), Succeeded({"w": "ü"}))
    (row,) = outbox(two)
    body = json.loads(row["body"])
    assert list(body) == ["task_id", "status", "result", "timestamp", "callback_data"]
    assert body | {"timestamp": None} == {
        "task_id": "t",
        "status": "success",
        "result": {"w": "ü"},
        "timestamp": None,
        "callback_data": {"order": 7},
    }
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["timestamp"])
    assert (row["kind"], row["url"], row["attempt"], row["queue"]) == ("http", "https://example.com/done", 1, "q")
    assert (row["tries"], row["failures"], row["dead"], row["delivered_at"]) == (0, 0, 0, None)
    assert row["id"].startswith("cb_")
    assert "." not in row["id"]


@pytest.mark.parametrize(
    ("outcome", "status", "result"),
    [
        (BOOM, "failed", {"error": "boom", "error_type": "RateLimited"}),
        (
            Failed(error="boom", error_type="X", traceback="secret line 7"),
            "failed",
            {"error": "boom", "error_type": "X"},
        ),
        (Cancelled(), "cancelled", {"error": "cancelled on request", "error_type": "Cancelled"}),
    ],
    ids=["failed", "with a traceback", "cancelled"],
)
async def test_any_other_end_owes_its_error(two: Two, outcome: Outcome, status: str, result: Any) -> None:
    await end(two.a, await started(two), outcome)
    (body,) = bodies(two)
    assert (body["status"], body["result"]) == (status, result)
    assert "secret" not in outbox(two)[0]["body"]


async def test_retries_that_ran_out_name_the_last_error_and_the_attempts(two: Two) -> None:
    await end(two.a, await started(two, retries=1), BOOM)
    two.rows.make_due()
    received = await two.deliver_to_b(delayed(1, fields={"callback": ASKED}))
    assert received.claim is not None
    await end(two.b, received.claim, BOOM)
    (body,) = bodies(two)
    assert body["result"] == {
        "error": "boom",
        "error_type": "RetryExhausted",
        "last_error_type": "RateLimited",
        "attempts": 2,
    }


@pytest.mark.parametrize(
    "outcome", [BOOM, Interrupted(), CannotStart("no such file")], ids=lambda one: type(one).__name__
)
async def test_what_is_no_end_owes_nothing(two: Two, outcome: Outcome) -> None:
    await end(two.a, await started(two, retries=1), outcome)
    assert outbox(two) == []


@pytest.mark.parametrize(
    ("callback", "kinds"),
    [
        (Callback(), []),
        (Callback(data={"queue_name": "done"}), []),
        (Callback(type="rabbitmq"), ["rabbitmq"]),
        (Callback(type="rabbitmq", url="https://x/"), ["rabbitmq"]),
        (Callback(url="https://x/"), ["http"]),
    ],
)
async def test_who_asks_for_one(two: Two, callback: Callback, kinds: list[str]) -> None:
    await end(two.a, await started(two, callback=callback), Succeeded())
    assert [row["kind"] for row in outbox(two)] == kinds


async def test_a_task_whose_worker_is_lost_for_good_owes_one(two: Two) -> None:
    await started(two)
    two.rows.expire("A")
    received = await two.b.tasks.claim(delayed(1, fields={"callback": ASKED}), replace(B, max_crashes=0), 0)
    assert isinstance(received.reception, Close)
    (body,) = bodies(two)
    assert (body["status"], body["result"]["error_type"]) == ("failed", "WorkerLost")


async def test_a_waiting_task_that_is_cancelled_owes_one(two: Two) -> None:
    await end(two.a, await started(two, retries=1), BOOM)
    assert await cancel(two.b, "t") is Steered.CANCELLED
    assert [body["status"] for body in bodies(two)] == ["cancelled"]
    assert bodies(two)[0]["callback_data"] == {"order": 7}


async def test_a_row_without_an_attempt_that_is_cancelled_owes_one(two: Two) -> None:
    await started(two)
    await cancel(two.b, "t")
    (row,) = await two.a.leases.rows_of("A")
    assert await two.a.leases.give_back("A", row)
    assert [body["status"] for body in bodies(two)] == ["cancelled"]


async def test_a_refused_task_owes_one_where_its_message_says_to_whom(two: Two) -> None:
    message = Message(body=b"{}")
    assert await two.a.tasks.refused_messages.record(message, "t", "no handler", MESSAGE)
    assert not await two.a.tasks.refused_messages.record(message, "t", "no handler", MESSAGE)
    assert await two.a.tasks.refused_messages.record(message, "unread", "priority must be 0 – 9")
    (body,) = bodies(two)
    assert (body["task_id"], body["result"]) == ("t", {"error": "no handler", "error_type": "ValidationError"})


# -- once for each end ------------------------------------------------------------------------------------------------


async def test_a_commit_whose_reply_was_lost_owes_one(two: Two) -> None:
    claim = await started(two)
    transition = decided(claim, Succeeded(1))
    for _ in range(2):
        assert await two.a.tasks.ends.commit(claim, transition, Report(), Progress()) == transition
    assert len(outbox(two)) == 1


async def test_a_stale_end_owes_nothing(two: Two) -> None:
    stale = await started(two)
    two.rows.expire("A")
    received = await two.b.tasks.claim(delayed(1, fields={"callback": ASKED}), B, 0)
    assert received.claim is not None
    assert await end(two.a, stale, Succeeded("stale")) is None
    assert outbox(two) == []
    await end(two.b, received.claim, Succeeded("fresh"))
    assert [body["result"] for body in bodies(two)] == ["fresh"]


async def test_an_end_that_comes_after_the_task_was_given_up_owes_no_second_one(two: Two) -> None:
    """The same attempt, the same status: only the row tells that the end is not ours."""
    stale = await started(two)
    two.rows.expire("A")
    await two.b.tasks.claim(delayed(1, fields={"callback": ASKED}), replace(B, max_crashes=0), 0)
    assert await end(two.a, stale, BOOM) is None
    assert [body["result"]["error_type"] for body in bodies(two)] == ["WorkerLost"]


async def test_a_success_that_beats_a_cancellation_owes_a_success(two: Two) -> None:
    claim = await started(two)
    await cancel(two.b, "t")
    await end(two.a, claim, Succeeded())
    assert [body["status"] for body in bodies(two)] == ["success"]


async def test_a_failure_that_was_cancelled_meanwhile_owes_a_cancellation(two: Two) -> None:
    claim = await started(two)
    await cancel(two.b, "t")
    await end(two.a, claim, BOOM)
    assert [body["status"] for body in bodies(two)] == ["cancelled"]


async def test_a_retry_by_hand_owes_its_own_callback(two: Two) -> None:
    await end(two.a, await started(two), BOOM)
    for expected in (2, 3):  # cancelled twice without an attempt between: ends of their own, too
        assert await retry_by_hand(two.a, "t") is not None
        assert await cancel(two.a, "t") is Steered.CANCELLED
        assert len(outbox(two)) == expected
    assert [body["status"] for body in bodies(two)] == ["failed", "cancelled", "cancelled"]
    assert len({row["id"] for row in outbox(two)}) == 3


async def test_what_the_database_cannot_store_owes_the_failure_that_is_stored(two: Two) -> None:
    claim = await started(two)
    result: Any = {"n": float("nan")}
    if two.rows.is_mysql:
        result = "x" * two.rows.run("SELECT @@max_allowed_packet AS bytes")[0]["bytes"]
    await end(two.a, claim, Succeeded(result))
    (body,) = bodies(two)
    assert (body["status"], body["result"]["error_type"]) == ("failed", "HandlerError")


# -- taken by one sender ----------------------------------------------------------------------------------------------


async def test_a_taken_callback_is_nobody_elses_until_its_lease_is_over(two: Two) -> None:
    callback = await owed(two)
    assert (callback.kind, callback.url, callback.tries, callback.failures) == ("http", ASKED.url, 1, 0)
    assert await take(two.b, 10) == []
    make_due(two)  # its sender died
    (again,) = await take(two.b, 10)
    assert (again.id, again.body, again.tries, again.failures) == (callback.id, callback.body, 2, 0)
    assert not await two.a.outbox.delivered(callback)
    assert await two.b.outbox.delivered(again)


async def test_many_senders_share_the_work(two: Two) -> None:
    for number in range(40):
        received = await two.a.tasks.claim(task(f"t{number:02}", fields={"callback": ASKED}), A, 0)
        assert received.claim is not None
        await end(two.a, received.claim, Succeeded(number))
    stores = [two.a, two.b]
    rounds = await asyncio.gather(*(take(stores[number % 2], 5) for number in range(12)))
    taken = [callback.task_id for batch in rounds for callback in batch]
    for store in stores:
        taken += [callback.task_id for callback in await take(store, 100)]
    assert sorted(taken) == sorted({f"t{number:02}" for number in range(40)})


async def test_a_delivered_callback_is_done(two: Two) -> None:
    callback = await owed(two)
    assert await two.a.outbox.delivered(callback)
    assert not await two.a.outbox.delivered(callback)
    assert not await two.a.outbox.failed(callback, "late", 5)
    make_due(two)
    assert await take(two.a, 10) == []
    assert await two.a.outbox.wait() is None
    callbacks, letters = await two.a.reading.callback_counts()
    assert (callbacks.counts, callbacks.at_least) == ({"owed": 0, "dead": 0, "delivered": 1}, [])
    assert letters.counts == {"owed": 0, "dead": 0, "delivered": 0}


async def test_a_failed_callback_comes_again_after_its_gap(two: Two) -> None:
    callback = await owed(two)
    assert await two.a.outbox.failed(callback, "HTTP 500", 30)
    wait = await two.a.outbox.wait()
    assert wait is not None
    assert 25 < wait <= 30
    assert await take(two.a, 10) == []
    make_due(two)
    (again,) = await take(two.b, 10)
    assert (again.id, again.failures) == (callback.id, 1)


async def test_a_postponed_callback_spends_no_try(two: Two) -> None:
    callback = await owed(two)
    assert await two.a.outbox.postponed(callback, "the broker is away", 15)
    make_due(two)
    (again,) = await take(two.a, 10)
    assert (again.failures, again.tries) == (0, 2)


async def test_a_dead_callback_stays_to_be_seen_and_replayed(two: Two) -> None:
    callback = await owed(two)
    assert await two.a.outbox.failed(callback, "gone", None)
    make_due(two)
    assert await take(two.a, 10) == []
    (shown,) = await two.b.outbox.all(dead=True)
    assert (shown["id"], shown["task_id"], shown["dead"], shown["last_error"]) == (callback.id, "t", 1, "gone")
    assert await two.b.outbox.all(owed=True) == []
    assert await two.b.outbox.replay("nobody") == 0
    assert await two.b.outbox.replay(callback.id) == 1
    (again,) = await take(two.a, 10)
    assert (again.id, again.body, again.failures) == (callback.id, callback.body, 0)
    await two.a.outbox.failed(again, "gone", None)
    assert await two.b.outbox.replay_dead() == 1
    assert await two.b.outbox.replay("t") == 1
    assert [one.id for one in await take(two.a, 10)] == [callback.id]


async def test_each_queue_sends_its_own(two: Two) -> None:
    await end(two.a, await started(two), Succeeded())
    other = await open_store(two.url, migrate=None, queue="another")
    try:
        assert await take(other, 10) == []
        assert await other.outbox.wait() is None
        assert await other.reading.owed() == 0
    finally:
        await other.close()


async def test_owed_work_counts_callbacks_that_are_due(two: Two) -> None:
    assert await two.a.reading.owed() == 0
    await end(two.a, await started(two), Succeeded())
    assert await two.a.reading.owed() == 1
    assert two.rows.run(f"SELECT * FROM {TASKS}_owed_work") == [{"queue": "q", "kind": "callback", "id": "t"}]
    (callback,) = await take(two.a, 10)
    assert await two.a.reading.owed() == 0
    await two.a.outbox.failed(callback, "no", None)
    assert await two.a.reading.owed() == 0


# -- one receiver does not keep the others from theirs ----------------------------------------------------------------


async def finished(two: Two, task_id: str, callback: Callback) -> None:
    received = await two.a.tasks.claim(task(task_id, fields={"callback": callback}), A, 0)
    assert received.claim is not None
    await end(two.a, received.claim, Succeeded())


async def test_a_receiver_gets_no_more_than_its_share(two: Two) -> None:
    for number in range(6):
        await finished(two, f"slow{number}", Callback(url="https://slow.example.com/x"))
    await finished(two, "other", Callback(url="http://other.example.com:8080/"))
    await finished(two, "queue", Callback(type="rabbitmq"))
    taken = await two.a.outbox.take(60, lambda: Share(of={"slow.example.com:https": 2}))
    assert {(one.task_id, one.receiver) for one in taken.callbacks} == {
        ("slow0", "slow.example.com:https"),
        ("slow1", "slow.example.com:https"),
        ("other", "other.example.com:8080"),
        ("queue", "rabbitmq"),
    }
    assert (taken.more, taken.left) == (False, True)
    assert [one.task_id for one in await take(two.b)] == ["slow2", "slow3", "slow4", "slow5"]


async def test_those_that_are_first_in_line_do_not_hide_the_others(two: Two) -> None:
    """However much is due for one receiver, or was delivered to it: a look reads a bounded number of rows."""
    await finished(two, "seed", Callback(url="https://m.example.com/x"))
    columns = "task_id, rerun, id, attempt, queue, kind, url, receiver, body, next_try_at, created_at, delivered_at"
    values = ", ".join(["?"] * 12)
    for receiver, due, done in (("b:1", LONG_AGO, None), ("d:1", None, LONG_AGO)):
        for number in range(700):
            row = (f"{receiver}{number}", 0, "cb", 1, "q", "http", "u", receiver, "{}", due, LONG_AGO, done)
            two.rows.run(f"INSERT INTO {TASKS}_callbacks ({columns}) VALUES ({values})", *row)
    for task_id, host in (("a", "a"), ("c", "c"), ("d", "d"), ("z", "z")):
        await finished(two, task_id, Callback(url=f"http://{host}:1/"))
    found: set[str] = set()
    for _ in range(8):
        taken = await two.a.outbox.take(60, lambda: Share(of={"b:1": 0}))
        found |= {one.task_id for one in taken.callbacks}
        assert taken.left
        if not taken.more:
            break
    assert found == {"seed", "a", "c", "d", "z"}
    assert not taken.more


@pytest.mark.parametrize("url", ["http://][@", "http://a,b/", "", "http://h:99999/", "x" * 500, "http://ü/"])
async def test_any_url_has_a_receiver(two: Two, url: str) -> None:
    await finished(two, "t", Callback(url=url))
    (callback,) = await take(two.a)
    assert "," not in callback.receiver
    assert await two.a.outbox.failed(callback, "no", None)
