"""How many tasks there are: exact where they are few, and never counted beyond the cap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gridsidecar.rules.task import Status
from gridsidecar.store import Count, TypeCount, counting
from tests.store.test_listing import START, insert, stored
from tests.store.workers import Two


def rows(count: int, status: str, task_type: str = "mail", *, seconds: float | None = None) -> list[dict[str, object]]:
    return [
        {
            "id": f"{task_type}-{status}-{number}",
            "status": status,
            "task_type": task_type,
            "created_at": stored(START + timedelta(seconds=number)),
            "started_at": stored(START),
            "completed_at": None if seconds is None else stored(START + timedelta(seconds=seconds)),
        }
        for number in range(count)
    ]


async def test_few_are_counted_exactly(two: Two) -> None:
    assert await two.a.counting.by_status() == {}
    assert await two.a.counting.by_type() == []
    insert(two.rows, [*rows(3, "success", seconds=2.5), *rows(1, "running"), *rows(2, "success", "a", seconds=1)])
    assert await two.a.counting.by_status() == {Status.SUCCESS: Count(5), Status.RUNNING: Count(1)}
    assert await two.a.counting.by_type() == [
        TypeCount(task_type="a", status=Status.SUCCESS, count=Count(2), seconds=1.0),
        TypeCount(task_type="mail", status=Status.RUNNING, count=Count(1), seconds=None),
        TypeCount(task_type="mail", status=Status.SUCCESS, count=Count(3), seconds=2.5),
    ]


async def test_beyond_the_cap_a_count_is_a_floor(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST", 10)
    monkeypatch.setattr(counting, "MOST_OF_TYPE", 5)
    insert(two.rows, [*rows(11, "success"), *rows(10, "failed"), *rows(6, "failed", "a")])
    assert await two.a.counting.by_status() == {
        Status.SUCCESS: Count(10, at_least=True),
        Status.FAILED: Count(10, at_least=True),
    }
    assert {(one.task_type, one.status): one.count for one in await two.a.counting.by_type()} == {
        ("a", Status.FAILED): Count(5, at_least=True),
        ("mail", Status.FAILED): Count(5, at_least=True),
        ("mail", Status.SUCCESS): Count(5, at_least=True),
    }
    two.rows.run("DELETE FROM grid_async_task_tasks WHERE id = 'mail-success-10' OR task_type = 'a'")
    assert set((await two.a.counting.by_status()).values()) == {Count(10)}


async def test_only_what_was_created_since(two: Two) -> None:
    insert(two.rows, rows(100, "failed"))
    since = START + timedelta(seconds=90)
    assert await two.a.counting.by_status(since) == {Status.FAILED: Count(10)}
    assert [one.count for one in await two.a.counting.by_type(since)] == [Count(10)]
    assert await two.a.counting.by_type(datetime(2999, 1, 1, tzinfo=UTC)) == []


async def test_types_are_many(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_TYPES", 25)
    insert(two.rows, [row for number in range(30) for row in rows(2, "success", f"type-{number:02d}")])
    assert [one.task_type for one in await two.a.counting.by_type()] == [f"type-{number:02d}" for number in range(25)]


def in_queues(two: Two, **queues: list[dict[str, object]]) -> None:
    insert(two.rows, [{**row, "queue": queue} for queue, found in queues.items() for row in found])


async def test_only_of_one_queue(two: Two) -> None:
    in_queues(
        two,
        ours=rows(6, "failed", "a", seconds=2) + rows(2, "failed", "b") + rows(1, "running", "b"),
        others=rows(3, "failed", "c"),
    )
    found = await two.a.counting.by_type(queue="ours")
    assert found == [
        TypeCount(task_type="a", status=Status.FAILED, count=Count(6), seconds=2.0),
        TypeCount(task_type="b", status=Status.FAILED, count=Count(2), seconds=None),
        TypeCount(task_type="b", status=Status.RUNNING, count=Count(1), seconds=None),
    ]
    assert counting.totals(found) == {Status.FAILED: Count(8), Status.RUNNING: Count(1)}
    late = await two.a.counting.by_type(START + timedelta(seconds=2), "ours")
    assert [(one.task_type, one.count) for one in late] == [("a", Count(4))]
    assert await two.a.counting.by_type(queue="nobody's") == []


async def test_of_a_large_queue_beside_others_the_newest_are_counted(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_OF_QUEUE", 5)
    in_queues(two, ours=rows(3, "success") + rows(6, "failed", "a"), others=rows(1, "failed", "c"))
    found = await two.a.counting.by_type(queue="ours")
    assert [(one.task_type, one.status, one.count) for one in found] == [
        ("a", Status.FAILED, Count(4, at_least=True)),
        ("mail", Status.SUCCESS, Count(1, at_least=True)),
    ]


async def test_a_queue_that_has_the_table_to_itself_is_counted_as_all(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "MOST_OF_QUEUE", 5)
    monkeypatch.setattr(counting, "MOST_OF_TYPE", 7)
    in_queues(two, ours=rows(6, "failed", "a") + rows(8, "failed", "b"))
    found = await two.a.counting.by_type(queue="ours")
    assert [(one.task_type, one.count) for one in found] == [("a", Count(6)), ("b", Count(7, at_least=True))]
    monkeypatch.setattr(counting, "MOST_TYPES", 2)
    assert counting.totals(found)[Status.FAILED] == Count(13, at_least=True), "there may be more types"


def test_counts_as_people_read_them() -> None:
    assert str(Count(1234)) == "1,234"
    assert str(Count.up_to(100_000, 100_001)) == "100,000+"
    assert Count.up_to(10, 10) == Count(10)
    assert Count(1) + Count(2, at_least=True) == Count(3, at_least=True)
