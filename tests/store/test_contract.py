"""What both stores promise besides the rules: columns, values as they came, clocks, counts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridsidecar.rules.reception import Begin, Insert
from gridsidecar.rules.steering import Reopening
from gridsidecar.rules.task import Callback, Claim, Message, Progress, Report, Succeeded
from tests.store.direct import TASKS
from tests.store.workers import BOOM, QUEUE, A, B, Two, counts, decided, end, task

PROMISED = [
    *("id", "task_type", "status", "data", "result", "error_message", "progress", "retry_count", "max_retry_count"),
    *("callback_url", "callback_type", "created_at", "updated_at", "started_at", "completed_at"),
]


async def started(two: Two, **fields: Any) -> Claim:
    received = await two.a.tasks.claim(task(fields=fields), A, 3)
    assert received.reception == Insert()
    assert received.claim is not None
    return received.claim


async def seen(two: Two, task_id: str = "t") -> dict[str, Any]:
    """The task as another worker's store shows it."""
    shown = await two.b.reading.get(task_id)
    assert shown is not None
    return shown


# -- columns ----------------------------------------------------------------------------------------------------------


async def test_a_new_task_fills_the_promised_columns(two: Two) -> None:
    await started(
        two,
        task_type="resize",
        data={"n": 1},
        callback=Callback(url="https://example.com/x?a=1&b=%20", type="rabbitmq", data={"queue_name": "done"}),
        priority=7,
        timeout=2.5,
    )
    row = two.rows.row()
    assert set(PROMISED) <= set(row)
    assert [row[name] for name in PROMISED[:7]] == ["t", "resize", "running", '{"n":1}', None, None, 0]
    assert (row["retry_count"], row["max_retry_count"]) == (0, 3)
    assert (row["callback_url"], row["callback_type"]) == ("https://example.com/x?a=1&b=%20", "rabbitmq")
    assert (json.loads(row["callback_data"]), row["priority"], row["timeout"]) == ({"queue_name": "done"}, 7, 2.5)
    assert (row["queue"], row["attempt"], row["crashes"], row["interruptions"]) == (QUEUE, 1, 0, 0)
    assert row["created_at"] == row["updated_at"] == row["started_at"]
    assert row["completed_at"] is None


async def test_json_is_stored_so_that_words_can_be_found(two: Two) -> None:
    claim = await started(two, data={"名": "图片"})
    await end(two.a, claim, Succeeded({"结果": "✓"}))
    found = two.rows.run(f"SELECT id FROM {TASKS} WHERE data LIKE ? AND result LIKE ?", "%图片%", "%结果%")
    assert found == [{"id": "t"}]


async def test_a_bare_task_has_the_defaults(two: Two) -> None:
    await started(two)
    row = two.rows.row()
    assert (row["task_type"], row["data"], row["callback_url"], row["callback_type"]) == (
        "default",
        "null",
        None,
        "http",
    )
    assert (row["callback_data"], row["priority"], row["timeout"]) == (None, 0, None)


async def test_times_are_utc_with_milliseconds(two: Two) -> None:
    before = datetime.now(UTC)
    claim = await started(two)
    await end(two.a, claim, Succeeded())
    after = datetime.now(UTC)
    shown = await seen(two)
    for name in ("created_at", "updated_at", "started_at", "completed_at"):
        moment = datetime.strptime(shown[name], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        assert before - timedelta(seconds=1) < moment < after + timedelta(seconds=1), name


async def test_deferred_until_is_stored_in_utc(two: Two) -> None:
    moment = datetime.fromisoformat("2097-06-01T12:00:00.250+05:30")
    await two.a.tasks.claim(task(fields={"defer_until": moment}), A, 0)
    assert str(two.rows.row()["next_run_at"])[:23] == "2097-06-01 06:30:00.250"


async def test_every_write_raises_updated_at_or_rev(two: Two) -> None:
    claim = await started(two)
    revs = [two.rows.row()["rev"]]
    await two.a.tasks.progress(claim, Progress(10))
    revs.append(two.rows.row()["rev"])
    await two.a.tasks.progress(claim, Progress(10))
    revs.append(two.rows.row()["rev"])
    await end(two.a, claim, Succeeded())
    revs.append(two.rows.row()["rev"])
    assert revs == sorted(set(revs))


# -- progress ---------------------------------------------------------------------------------------------------------


async def test_progress_keeps_what_it_does_not_name(two: Two) -> None:
    claim = await started(two)
    assert await two.a.tasks.progress(claim, Progress(40.9, "2 of 5"))
    assert await two.a.tasks.progress(claim, Progress(message="3 of 5"))
    assert [(await seen(two))[name] for name in ("progress", "progress_message")] == [40, "3 of 5"]
    assert await two.a.tasks.progress(claim, Progress(60))
    assert [(await seen(two))[name] for name in ("progress", "progress_message")] == [60, "3 of 5"]


async def test_a_long_progress_message_is_cut(two: Two) -> None:
    assert await two.a.tasks.progress(await started(two), Progress(1, "ü" * 3000))
    assert (await seen(two))["progress_message"] == "ü" * 1024


@pytest.mark.parametrize(("last", "expected"), [(Progress(), 30), (Progress(70, "x"), 70)], ids=["none", "newer"])
async def test_the_end_carries_the_last_progress(two: Two, last: Progress, expected: int) -> None:
    claim = await started(two)
    await two.a.tasks.progress(claim, Progress(30))
    await two.a.tasks.ends.commit(claim, decided(claim, BOOM), Report(), last)
    assert (await seen(two))["progress"] == expected


async def test_success_is_100_with_the_last_message(two: Two) -> None:
    claim = await started(two)
    await two.a.tasks.ends.commit(claim, decided(claim, Succeeded()), Report(), Progress(30, "last words"))
    shown = await seen(two)
    assert (shown["progress"], shown["progress_message"]) == (100, "last words")


# -- history ----------------------------------------------------------------------------------------------------------


async def test_the_history_tells_each_attempt(two: Two) -> None:
    claim = await started(two)
    report = Report(
        exit_code=3,
        signal=9,
        duration_s=1.5,
        cpu_s=0.25,
        peak_rss_bytes=5_000_000_000,
        log_head="head",
        log_tail="tail",
        log_dropped_bytes=2**40,
        stderr_tail="oops",
        notes=("late result", "exit 3 after a result"),
    )
    await two.a.tasks.ends.commit(claim, decided(claim, BOOM, delay=0), report, Progress())
    received = await two.deliver_to_b(task())
    assert received.reception == Begin(attempt=2, crashes=0)
    assert received.claim is not None
    await end(two.b, received.claim, Succeeded())
    first, second = await two.b.reading.attempts("t")
    assert (first["attempt"], first["worker_id"], first["outcome"]) == (1, "A", "failed")
    assert (first["error_message"], first["error_type"]) == ("boom", "RateLimited")
    assert (first["exit_code"], first["signal_number"], first["cpu_seconds"]) == (3, 9, 0.25)
    assert (first["peak_memory"], first["stderr_tail"]) == (5_000_000_000, "oops")
    columns = f"SELECT log_head, log_tail, log_dropped FROM {TASKS}_attempts WHERE task_id = 't' AND attempt = 1"
    assert [tuple(row.values()) for row in two.rows.run(columns)] == [("head", "tail", 2**40)]
    assert first["notes"] == "late result; exit 3 after a result"
    lasted = _time(first["ended_at"]) - _time(first["started_at"])
    assert abs(lasted - timedelta(seconds=1.5)) < timedelta(milliseconds=3)
    assert (second["attempt"], second["worker_id"], second["outcome"]) == (2, "B", "success")
    assert second["error_type"] is None


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


async def test_retry_exhausted_keeps_the_attempts_own_error_type_in_the_history(two: Two) -> None:
    await two.retrying(retries=1)
    two.rows.make_due()
    received = await two.deliver_to_b(task())
    assert received.claim is not None
    await end(two.b, received.claim, BOOM)
    shown = await seen(two)
    assert (shown["error_type"], shown["last_error_type"]) == ("RetryExhausted", "RateLimited")
    assert [attempt["error_type"] for attempt in await two.b.reading.attempts("t")] == ["RateLimited"] * 2


# -- for people -------------------------------------------------------------------------------------------------------


async def test_unknown_tasks_have_no_row_and_no_history(two: Two) -> None:
    assert await two.a.reading.get("nobody") is None
    assert await two.a.reading.attempts("nobody") == []


async def test_get_leaves_internals_out(two: Two) -> None:
    await two.retrying()
    shown = await seen(two)
    assert not {"id", "body", "headers", "rev", "message_id", "next_check_at"} & set(shown)
    assert (shown["handed_off"], shown["cancel_requested"]) == (False, False)
    assert 45 < shown["due_in_s"] <= 50.1
    json.dumps(shown)


async def test_get_shows_what_another_program_wrote_there(two: Two) -> None:
    await two.started()
    two.rows.set(data="no json", result="{broken")
    shown = await seen(two)
    assert (shown["data"], shown["result"]) == ("no json", "{broken")


async def test_counts_by_status(two: Two) -> None:
    assert await counts(two.a) == {}
    await two.ended()
    for name in ("u", "v"):
        await two.a.tasks.claim(task(name), B, 0)
    assert await counts(two.a) == {"success": 1, "running": 2}


async def test_owed_counts_what_only_the_store_would_bring_back(two: Two) -> None:
    assert await two.a.reading.owed() == 0
    claim = await two.started()
    assert await two.a.reading.owed() == 0  # its message is in the queue
    await two.a.tasks.hand_off(claim)
    assert await two.a.reading.owed() == 1
    await end(two.a, claim, BOOM)
    assert await two.a.reading.owed() == 0  # not due
    two.rows.make_overdue()
    assert await two.a.reading.owed() == 1
    two.rows.set(status="running", worker_id="A", handed_off=0)
    assert await two.a.reading.owed() == 0
    two.rows.expire("A")
    assert await two.a.reading.owed() == 1
    assert two.rows.run(f"SELECT * FROM {TASKS}_owed_work") == [{"queue": QUEUE, "kind": "task", "id": "t"}]


async def test_a_refused_message_is_recorded_once(two: Two) -> None:
    message = Message(body=b"\xff rubbish", message_id="m")
    assert await two.a.tasks.refused_messages.record(message, "bad", "priority must be 0 – 9")
    row = two.rows.row("bad")
    assert (row["status"], row["error_type"], row["attempt"]) == ("failed", "ValidationError", 0)
    assert (row["error_message"], row["message_id"]) == ("priority must be 0 – 9", "m")
    assert row["completed_at"] is not None
    assert not await two.b.tasks.refused_messages.record(message, "bad", "again")
    assert two.rows.row("bad") == row


async def test_a_refused_message_never_touches_a_row(two: Two) -> None:
    await two.started()
    before = two.rows.row()
    assert not await two.b.tasks.refused_messages.record(Message(body=b"rubbish"), "t", "no")
    assert two.rows.row() == before


async def test_a_message_that_comes_again_and_is_refused_again_ends_again(two: Two) -> None:
    message = Message(body=b"{}", message_id="m")
    assert await two.a.tasks.refused_messages.record(message, "bad", "first")
    assert await two.a.steering.reopen("bad") is Reopening.REOPEN
    assert two.rows.row("bad")["status"] == "pending"
    assert await two.b.tasks.refused_messages.record(message, "bad", "second")
    row = two.rows.row("bad")
    assert (row["status"], row["error_type"], row["error_message"]) == ("failed", "ValidationError", "second")
    assert row["completed_at"] is not None
    assert not await two.b.tasks.refused_messages.record(message, "bad", "third")
    assert two.rows.row("bad") == row
    assert await two.a.steering.reopen("bad") is Reopening.REOPEN
