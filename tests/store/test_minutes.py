"""Counters by the minute: several workers' add up, what is read of them, how much is kept, and what an outage costs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.maintenance import minutes as counting
from gridsidecar.maintenance.minutes import MinuteCounters
from gridsidecar.rules.task import ErrorType, Report, Status, TaskUpdate
from gridsidecar.store import MinuteTally, Point, Store
from gridsidecar.store.histogram import Histogram
from gridsidecar.store.minutes import Cell, Total, minute_of
from tests.conftest import execute_on_server
from tests.store.direct import TASKS
from tests.store.workers import Two, open_store
from tests.support.services import private_mysql

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Watch(SystemClock):
    """Shows the time that it is set to."""

    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


def update(status: Status = Status.SUCCESS, seconds: float | None = 0.3, **fields: Any) -> TaskUpdate:
    report = None if seconds is None else Report(duration_s=seconds)
    return TaskUpdate(
        **{"task_id": "t", "task_type": "mail", "status": status, "attempt": 1, "report": report} | fields
    )


async def all_of(store: Store, **narrowed: str) -> list[MinuteTally]:
    return await store.minutes.between(NOON - HOUR, NOON + HOUR, **narrowed)


async def test_counters_of_two_workers_add_up(two: Two) -> None:
    one, other = (MinuteCounters(store.minutes, Watch()) for store in (two.a, two.b))
    for counters, times in ((one, 3), (other, 2)):
        for _ in range(times):
            counters.hear(update())
            counters.hear(update(Status.FAILED, 7, error_type="RetryExhausted", last_error_type="Boom"))
    await asyncio.gather(one.write(), other.write())
    one.hear(update(Status.CANCELLED, None, error_type=ErrorType.CANCELLED))
    await one.write()
    await one.write()  # nothing is left to add
    assert await all_of(two.a) == [
        MinuteTally(
            task_type="mail",
            outcome=Status.FAILED,
            error_type="Boom",
            count=5,
            seconds=35.0,
            histogram=Histogram({10_000: 5}),
        ),
        MinuteTally(
            task_type="mail",
            outcome=Status.SUCCESS,
            error_type=None,
            count=5,
            seconds=1.5,
            histogram=Histogram({500: 5}),
        ),
        MinuteTally(
            task_type="mail",
            outcome=Status.CANCELLED,
            error_type="Cancelled",
            count=1,
            seconds=0.0,
            histogram=Histogram(),
        ),
    ]


async def test_many_workers_at_the_same_minute_do_not_lose_or_block(two: Two) -> None:
    stores = [await open_store(two.url, migrate=None) for _ in range(4)]
    try:
        many = [MinuteCounters(store.minutes, Watch()) for store in stores for _ in range(3)]
        for counters in many:
            for number in range(40):
                counters.hear(update(task_type=f"type-{number}"))
        await asyncio.gather(*(counters.write() for counters in many))
        assert {tally.count for tally in await all_of(two.a)} == {len(many)}
    finally:
        for store in stores:
            await store.close()


async def test_one_queue_one_type_some_minutes(two: Two) -> None:
    elsewhere = await open_store(two.url, migrate=None, queue="elsewhere")
    try:
        await elsewhere.minutes.add([(Cell(minute_of(NOON), "mail", "success", "", 10), Total(1, 0.01))])
        for minute, task_type in ((-1, "mail"), (0, "mail"), (0, "resize"), (1, "mail")):
            await two.a.minutes.add([(Cell(minute_of(NOON) + minute, task_type, "success", "", 10), Total(1, 0.01))])
    finally:
        await elsewhere.close()
    assert sum(tally.count for tally in await all_of(two.a)) == 5
    assert [tally.count for tally in await all_of(two.a, queue="elsewhere")] == [1]
    assert [(tally.task_type, tally.count) for tally in await all_of(two.a, queue="q", task_type="resize")] == [
        ("resize", 1)
    ]
    reader = two.b.minutes
    assert [tally.count for tally in await reader.between(NOON, NOON + timedelta(seconds=1), queue="q")] == [1, 1]
    assert await reader.between(NOON, NOON) == []
    assert await reader.between(NOON + HOUR, NOON) == []


async def test_series_have_steps(two: Two) -> None:
    for minute in range(20):
        outcome = "failed" if minute == 7 else "success"
        await two.a.minutes.add([(Cell(minute_of(NOON) + minute, "mail", outcome, "", 1000), Total(2, 1.5))])

    def point(minute: int, outcome: Status, count: int) -> Point:
        return Point(
            at=NOON + timedelta(minutes=minute),
            outcome=outcome,
            count=count,
            seconds=count * 0.75,
            histogram=Histogram({1000: count}),
        )

    assert await two.a.minutes.series(NOON, NOON + HOUR, timedelta(minutes=10)) == [
        point(0, Status.FAILED, 2),
        point(0, Status.SUCCESS, 18),
        point(10, Status.SUCCESS, 20),
    ]
    every = await two.a.minutes.series(NOON, NOON + timedelta(minutes=3), timedelta(seconds=1), queue="q")
    assert [(entry.at, entry.count) for entry in every] == [(NOON + timedelta(minutes=n), 2) for n in range(3)]


async def test_names_are_capped_and_the_rest_counts_as_other(two: Two) -> None:
    counters = MinuteCounters(two.a.minutes, Watch())
    for number in range(counting.MOST_ERRORS + 30):
        counters.hear(update(Status.FAILED, error_type=f"E{number}"))
    for number in range(counting.MOST_TYPES + 30):
        counters.hear(update(task_type=f"type-{number}"))
    await counters.write()
    tallies = await all_of(two.a)
    errors = {tally.error_type: tally.count for tally in tallies if tally.error_type}
    assert (len(errors), errors["other"]) == (counting.MOST_ERRORS + 1, 30)
    types = {tally.task_type: tally.count for tally in tallies if not tally.error_type}
    assert (len(types), types["other"]) == (counting.MOST_TYPES, 31)


@pytest.mark.parametrize("name", ["x" * 300, "é" * 300, "\ud800", "", "' \\", "nul\x00"])
async def test_any_names_are_stored(two: Two, name: str) -> None:
    counters = MinuteCounters(two.a.minutes, Watch())
    counters.hear(update(Status.FAILED, task_type=name, error_type=name))
    await counters.write()
    (tally,) = await all_of(two.a)
    assert tally.count == 1


async def test_a_week_is_kept_and_what_is_older_goes_bit_by_bit(two: Two) -> None:
    now = minute_of(datetime.now(UTC))
    for minute in (now, now - 7 * 1440, *(now - 9 * 1440 - number for number in range(450))):
        await two.a.minutes.add([(Cell(minute, "mail", "success", "", 10), Total(1, 0.01))])
    assert [await two.a.minutes.prune() for _ in range(4)] == [200, 200, 50, 0]
    assert len(two.rows.run(f"SELECT minute FROM {TASKS}_minutes")) == 2


async def test_what_a_database_refuses_keeps_nothing_from_its_turn(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    counters = MinuteCounters(two.a.minutes, Watch())
    two.rows.run(f"ALTER TABLE {TASKS}_minutes RENAME TO {TASKS}_hidden")
    try:
        for _ in range(2):
            counters.hear(update())
            await counters.write()
    finally:
        two.rows.run(f"ALTER TABLE {TASKS}_hidden RENAME TO {TASKS}_minutes")
    assert [record.getMessage() for record in caplog.records] == ["the database refuses the minute counters"]
    counters.hear(update())
    await counters.write()
    assert [tally.count for tally in await all_of(two.a)] == [1]


async def test_the_database_is_away_while_counters_are_due() -> None:
    """They are kept and added later, up to an hour's; and leaving does not wait for it."""
    watch = Watch()
    with private_mysql() as server:
        url = f"{server.url.rstrip('/')}/counted"
        execute_on_server(server.url, "create database counted character set utf8mb4")
        store = await open_store(url)
        counters = MinuteCounters(store.minutes, watch)
        counters.hear(update())
        server.stop()
        await counters.write()
        for _ in range(counting.KEPT_MINUTES + 9):
            watch.moment += timedelta(minutes=1)
            counters.hear(update())
        await counters.write()
        began = asyncio.get_running_loop().time()
        await counters.close()
        assert asyncio.get_running_loop().time() - began < counting.LAST_WRITE + 20
        server.start()
        await counters.write()
        found = await store.minutes.series(NOON, NOON + 2 * HOUR, timedelta(minutes=1))
        assert [point.count for point in found] == [1] * counting.KEPT_MINUTES
        assert found[0].at == NOON + timedelta(minutes=10)
        await store.close()
