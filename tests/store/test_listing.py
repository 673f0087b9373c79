"""Tasks page by page, on both stores: each on exactly one page, in order, whatever is asked for and added meanwhile."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from gridsidecar.rules.task import Status
from gridsidecar.store import Position, Store, Wanted, access_paths, listing
from tests.store.direct import TASKS, Direct
from tests.store.workers import Two, open_store

START = datetime(2026, 1, 1, tzinfo=UTC)
ALL = 3000
Rows = list[dict[str, Any]]


def stored(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}"


def insert(rows: Direct, some: Rows) -> None:
    """Many at once: one statement for each hundred."""
    for first in range(0, len(some), 100):
        part = some[first : first + 100]
        columns = [*part[0], "updated_at"]
        places = ", ".join("(" + ", ".join("?" * len(columns)) + ")" for _ in part)
        values = [value for row in part for value in (*row.values(), row["created_at"])]
        rows.run(f"INSERT INTO {TASKS} ({', '.join(columns)}) VALUES {places}", *values)


def many(rng: random.Random) -> Rows:
    """Three in each moment, on average, all of them within minutes."""
    return [
        {
            "id": f"{rng.choice('abc')}{number:05d}{rng.choice(('', '_', '%', '|', 'é'))}",
            "task_type": rng.choice(("mail", "resize", "default")),
            "status": rng.choice(tuple(Status)).value,
            "queue": rng.choice(("q", "other", None)),
            "error_type": (error := rng.choice((None, None, "Boom", "RetryExhausted"))),
            "last_error_type": rng.choice(("Boom", "Odd")) if error == "RetryExhausted" else None,
            "created_at": stored(START + timedelta(milliseconds=rng.randrange(ALL // 3) * 7)),
        }
        for number in range(ALL)
    ]


def meant(row: dict[str, Any], wanted: Wanted) -> bool:
    return (
        (not wanted.statuses or row["status"] in wanted.statuses)
        and (not wanted.task_types or row["task_type"] in wanted.task_types)
        and (wanted.queue is None or row["queue"] in (wanted.queue, None))
        and (wanted.error_type is None or wanted.error_type in (row["error_type"], row["last_error_type"]))
        and (wanted.since is None or row["created_at"] >= stored(wanted.since))
        and (wanted.until is None or row["created_at"] < stored(wanted.until))
        and row["id"].startswith(wanted.id_prefix)
    )


async def read(store: Store, wanted: Wanted, limit: int = 7) -> list[str]:
    """The ids on all pages."""
    ids: list[str] = []
    after: Position | None = None
    while True:
        page = await store.listing.page(wanted, after, limit)
        assert len(page.tasks) <= limit
        ids += [row["task_id"] for row in page.tasks]
        if page.next is None:
            return ids
        assert page.next != after
        after = page.next


def questions() -> list[Wanted]:
    rng = random.Random(7)
    options: dict[str, list[Any]] = {
        "statuses": [(), (), (Status.FAILED,), (Status.PENDING, Status.SUCCESS), tuple(Status)],
        "task_types": [(), (), ("mail",), ("mail", "resize"), ("nothing",)],
        "queue": [None, None, "q", "none"],
        "error_type": [None, None, "Boom", "Odd", "RetryExhausted"],
        "since": [None, START + timedelta(seconds=2)],
        "until": [None, START + timedelta(seconds=5, milliseconds=3)],
        "id_prefix": ["", "", "a", "b01", "c0012"],
    }
    return [Wanted(**{name: rng.choice(values) for name, values in options.items()}) for _ in range(60)]


async def test_every_question_is_answered_in_full_and_in_order(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an answer comes in small looks, and a moment is divided between two pages."""
    monkeypatch.setattr(listing, "SCAN", 150)
    monkeypatch.setattr(listing, "SCAN_OF_INDEX", 400)
    rows = many(random.Random(3))
    insert(two.rows, rows)
    rows.sort(key=lambda row: (row["created_at"], row["id"].encode()), reverse=True)
    for wanted in [Wanted(), *questions()]:
        expected = [row["id"] for row in rows if meant(row, wanted)]
        assert await read(two.a, wanted, limit=19) == expected, wanted


async def test_thousands_of_one_moment_are_on_one_page_each(two: Two) -> None:
    rows = [
        {"id": f"t{number}", "created_at": stored(START), "status": "failed", "error_type": "X"}
        for number in range(1500)
    ]
    insert(two.rows, rows)
    for wanted in (Wanted(), Wanted(statuses=(Status.FAILED,)), Wanted(error_type="X", queue="none", since=START)):
        assert sorted(await read(two.a, wanted, limit=200)) == sorted(row["id"] for row in rows)


async def test_what_is_added_meanwhile_moves_nothing(two: Two) -> None:
    insert(two.rows, [{"id": f"t{number:03d}", "created_at": stored(START)} for number in range(100)])
    ids: list[str] = []
    after = None
    for turn in range(10):
        page = await two.a.listing.page(Wanted(), after, 10)
        ids += [row["task_id"] for row in page.tasks]
        after = page.next
        insert(two.rows, [{"id": f"new{turn}", "created_at": stored(START + timedelta(days=1))}])
    assert ids == [f"t{number:03d}" for number in reversed(range(100))]
    assert after is None


async def test_a_page_has_no_more_than_asked_and_no_more_than_the_most(two: Two) -> None:
    insert(two.rows, [{"id": f"t{number}", "created_at": stored(START)} for number in range(250)])
    assert len((await two.a.listing.page(Wanted(), limit=10_000)).tasks) == listing.MOST
    assert len((await two.a.listing.page(Wanted(), limit=0)).tasks) == 1
    last = await two.a.listing.page(Wanted(), limit=125)
    assert len((rest := await two.a.listing.page(Wanted(), last.next, 125)).tasks) == 125
    assert rest.next is None, "nothing is left, and the page is full"


async def test_a_rare_thing_costs_bounded_looks_that_lead_on(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SCAN", 100)
    rows = [
        {"id": f"t{number:04d}", "created_at": stored(START + timedelta(seconds=number)), "queue": "q"}
        for number in range(1000)
    ]
    insert(two.rows, [*rows, {"id": "rare", "created_at": stored(START), "queue": None}])
    two.rows.set("rare", queue="other")
    wanted = Wanted(queue="none", statuses=(Status.PENDING,))
    first = await two.a.listing.page(wanted)
    assert first.tasks == []
    assert first.next is not None
    assert await read(two.a, wanted) == []
    assert await read(two.a, Wanted(queue="other", statuses=(Status.PENDING,))) == ["rare"]


async def test_where_a_task_is(two: Two) -> None:
    insert(two.rows, [{"id": f"t{number}", "created_at": f"2026-01-01 00:00:00.{number:03d}"} for number in range(9)])
    place = await two.a.listing.position_of("t5")
    assert [row["task_id"] for row in (await two.a.listing.page(Wanted(), place)).tasks] == [
        "t4",
        "t3",
        "t2",
        "t1",
        "t0",
    ]
    assert await two.a.listing.position_of("unknown") is None


@pytest.mark.parametrize(
    ("created_at", "task_id"),
    [
        ("yesterday", "t"),
        ("2026-01-01 00:00:00.1234567", "t"),
        ("' OR 1=1 --", "t"),
        (None, "x" * 769),
        (None, "\ud800"),
    ],
)
def test_what_can_be_no_position_is_refused(created_at: str | None, task_id: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Position.of(created_at, task_id)


async def test_a_foreign_position_hurts_nobody(two: Two) -> None:
    insert(two.rows, [{"id": "t", "created_at": stored(START)}])
    since, until = START - timedelta(days=1), START + timedelta(days=1)
    for after in ("0000-00-00 00:00:00", "1000-01-01 00:00:00", "9999-12-31 23:59:59.999999", None):
        for wanted in (Wanted(), Wanted(since=since, until=until), Wanted(queue="q", statuses=(Status.PENDING,))):
            page = await two.a.listing.page(wanted, Position.of(after, "zz"))
            assert [row["task_id"] for row in page.tasks] == (["t"] if after and after.startswith("9") else [])


def test_too_many_types_are_refused() -> None:
    with pytest.raises(ValueError, match="21 types are too many"):
        Wanted(task_types=tuple(map(str, range(access_paths.MOST_TYPES + 1))))


def test_the_text_after_a_prefix() -> None:
    alphabet = ("a", "b", "\ud7ff", "\ue000", "\U0010ffff")
    texts = ["".join(letters) for length in range(4) for letters in product(alphabet, repeat=length)]
    for prefix in filter(None, texts):
        first, after = prefix.encode(), access_paths.next_text(prefix).encode()
        within = {text for text in texts if first <= text.encode() < after}
        assert within == {text for text in texts if text.startswith(prefix)}


async def test_digits_of_a_time_that_ours_has_not_are_kept(mysql_url: str) -> None:
    """An adopted column may hold microseconds: a place by the millisecond would leave tasks out."""
    store = await open_store(mysql_url)
    rows = Direct(mysql_url)
    try:
        rows.run(f"ALTER TABLE {TASKS} MODIFY created_at DATETIME(6) NOT NULL")
        times = [f"2026-01-01 00:00:00.{number:06d}" for number in range(1001, 1010)]
        insert(rows, [{"id": f"t{time[-1]}", "created_at": time} for time in times])
        assert await read(store, Wanted(), limit=2) == [f"t{number}" for number in range(9, 0, -1)]
        assert await read(store, Wanted(queue="q", statuses=(Status.PENDING,)), limit=2) == [
            f"t{number}" for number in range(9, 0, -1)
        ]
    finally:
        await store.close()
