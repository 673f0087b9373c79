"""What failed for good owes its message to the dead letters, once for each end, where that is asked for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from gridsidecar.config.settings import StoreSettings
from gridsidecar.rules.reception import Close
from gridsidecar.rules.task import (
    Callback,
    Cancelled,
    Failed,
    Interrupted,
    Message,
    Outcome,
    Progress,
    Report,
    Status,
    Succeeded,
)
from gridsidecar.store import FailureCause, OwedCallback, Store, make_store
from tests.store.direct import LONG_AGO, TASKS, Row
from tests.store.test_endings import Guard
from tests.store.workers import BOOM, QUEUE, B, Two, decided, delayed, end, retry_by_hand, task

ASKED = Callback(url="https://example.com/done")


@pytest.fixture
async def letters(store_url: str) -> AsyncIterator[Two]:
    """Two workers of a queue with `broker.dead_letter_failed`."""
    made = [make_store(StoreSettings(url=store_url), QUEUE, dead_letter_failed=True) for _ in range(2)]
    for store in made:
        await store.open(migrate=True)
    yield Two(made[0], made[1], store_url)
    for store in made:
        await store.close()


def owed(two: Two) -> list[Row]:
    return two.rows.run(f"SELECT * FROM {TASKS}_callbacks ORDER BY kind, rerun DESC")


async def take(store: Store) -> list[OwedCallback]:
    return (await store.outbox.take(60)).callbacks


async def test_a_failure_owes_its_message_as_it_was_sent(letters: Two) -> None:
    sent = {"body": b"\xff{}", "message_id": "m", "headers": {"tenant": "ü"}, "priority": 3}
    claim = await letters.started(retries=0, message=task(**sent))
    await end(letters.a, claim, Failed(error="й" * 5000, error_type="Größe"))
    (letter,) = await take(letters.b)
    assert letter.letter == Message(**sent)  # type: ignore[arg-type]
    assert FailureCause.read(letter.body) == FailureCause("й" * 1000, "Größe")
    assert (letter.kind, letter.attempt, letter.receiver) == ("letter", 1, "letter")
    assert letter.size > len(sent["body"])  # type: ignore[arg-type]
    assert await letters.b.outbox.delivered(letter)
    assert await take(letters.a) == []


@pytest.mark.parametrize("outcome", [Succeeded(1), Cancelled(), Interrupted()], ids=lambda one: type(one).__name__)
async def test_any_other_end_owes_none(letters: Two, outcome: Outcome) -> None:
    await end(letters.a, await letters.started(retries=0), outcome)
    assert owed(letters) == []


async def test_a_task_that_is_tried_again_owes_none_yet(letters: Two) -> None:
    await letters.retrying(retries=1)
    assert owed(letters) == []
    letters.rows.make_due()
    received = await letters.deliver_to_b(delayed(1))
    assert received.claim is not None
    await end(letters.b, received.claim, BOOM)
    (letter,) = await take(letters.a)
    assert str(FailureCause.read(letter.body)) == "RetryExhausted (RateLimited): boom"
    assert letter.attempt == 2


async def test_without_the_setting_nothing_is_written(two: Two) -> None:
    await two.ended(BOOM)
    assert owed(two) == []


async def test_an_end_that_is_written_twice_owes_one(letters: Two) -> None:
    claim = await letters.started(retries=0)
    transition = decided(claim, BOOM)
    for _ in range(2):
        await letters.a.tasks.ends.commit(claim, transition, Report(), Progress())
    assert len(owed(letters)) == 1


async def test_each_end_owes_one_beside_its_callback(letters: Two) -> None:
    claim = await letters.started(retries=0, message=task(fields={"callback": ASKED}))
    await end(letters.a, claim, BOOM)
    assert await retry_by_hand(letters.a, "t") is not None
    received = await letters.deliver_to_b(task(attempt=1, wake_up=True, message_id="n", fields={"callback": ASKED}))
    assert received.claim is not None
    await end(letters.b, received.claim, BOOM)
    assert [(row["kind"], row["rerun"], row["attempt"]) for row in owed(letters)] == [
        ("http", 1, 2),
        ("http", 0, 1),
        ("letter", -1, 1),
        ("letter", -2, 2),
    ]
    counts = tuple(one.counts for one in await letters.a.reading.callback_counts())
    assert [one["owed"] for one in counts] == [2, 2]


async def test_a_task_whose_worker_is_lost_for_good_owes_one(letters: Two) -> None:
    await letters.started()
    letters.rows.expire("A")
    received = await letters.b.tasks.claim(delayed(1), replace(B, max_crashes=0), 0)
    assert isinstance(received.reception, Close)
    (letter,) = await take(letters.a)
    assert str(FailureCause.read(letter.body)).startswith("WorkerLost: its worker died 1 time ")


async def test_what_is_refused_is_there_already(letters: Two) -> None:
    assert await letters.a.tasks.refused_messages.record(Message(body=b"{}"), "r", "no handler", task("r"))
    await letters.retrying(retries=1)
    assert await letters.a.tasks.end_waiting(task(), "nobody has a handler for it")
    assert letters.rows.row()["status"] == "failed"
    assert owed(letters) == []


async def test_another_programs_row_owes_none(letters: Two) -> None:
    """It has no message of ours to send."""
    letters.rows.run(
        f"INSERT INTO {TASKS} (id, status, created_at, updated_at) VALUES ('t', 'running', ?, ?)", LONG_AGO, LONG_AGO
    )
    received = await letters.b.tasks.claim(task(), replace(B, redelivered=True, max_crashes=0), 0)
    assert isinstance(received.reception, Close)
    assert letters.rows.row()["status"] == "failed"
    assert owed(letters) == []


async def test_one_whose_message_cannot_be_read_says_so(letters: Two) -> None:
    await letters.ended(BOOM)
    letters.rows.run(f"UPDATE {TASKS} SET headers = '[7'")
    (letter,) = await take(letters.a)
    assert letter.letter is None
    assert await letters.a.outbox.failed(letter, "cannot be read", None)
    assert (await letters.a.reading.callback_counts())[1].counts["dead"] == 1


@pytest.mark.parametrize("callback", [ASKED, Callback()], ids=["with a callback", "alone"])
async def test_a_database_that_takes_no_letter_takes_the_end(letters: Two, callback: Callback) -> None:
    guard = Guard(letters)
    guard.refuse("INSERT", "NEW.kind = 'letter'", "_callbacks")
    claim = await letters.started(retries=0, message=task(fields={"callback": callback}))
    transition = await end(letters.a, claim, BOOM)
    assert transition is not None
    assert (transition.status, letters.rows.row()["status"]) == (Status.FAILED, "failed")
    assert owed(letters) == []
    guard.lift()


async def test_a_success_that_cannot_be_stored_owes_one(letters: Two) -> None:
    guard = Guard(letters)
    guard.refuse("UPDATE", "NEW.result = '\"bad\"'")
    await end(letters.a, await letters.started(retries=0), Succeeded("bad"))
    (letter,) = await take(letters.a)
    assert "the database cannot store what the handler sent" in str(FailureCause.read(letter.body))
    guard.lift()


async def test_what_is_owed_keeps_its_task(letters: Two) -> None:
    """Retention leaves the row, whose message the letter is, until it is sent."""
    await letters.ended(BOOM)
    letters.rows.run(f"UPDATE {TASKS} SET created_at = ?, completed_at = ?", LONG_AGO, LONG_AGO)
    pruning = make_store(StoreSettings(url=letters.url, retention_days=2), QUEUE)
    await pruning.open()
    await pruning.retention.prune()
    assert letters.rows.row()["status"] == "failed"
    (letter,) = await take(letters.a)
    await letters.a.outbox.delivered(letter)
    await pruning.retention.prune()
    assert (letters.rows.run(f"SELECT * FROM {TASKS}"), owed(letters)) == ([], [])
    await pruning.close()


def test_a_cause_that_is_none_is_an_error() -> None:
    for body in (b"", b"{", b"[1, 2, 3]", json.dumps(["a", "b"]).encode()):
        with pytest.raises(ValueError, match=r"."):
            FailureCause.read(body)
