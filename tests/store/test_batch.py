"""Which writes leave together, and that one which waits keeps no other waiting."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gridsidecar.rules.task import Succeeded
from gridsidecar.store import batch
from gridsidecar.store.batch import LARGEST_FLUSH, Batch
from gridsidecar.store.database import Statement
from gridsidecar.store.queries import Query, TableNames
from gridsidecar.store.sqlite import SQLiteDatabase
from tests.store.direct import TASKS, Direct
from tests.store.workers import A, end, open_store, task
from tests.support.database import mysql_session
from tests.support.waiting import eventually

NEVER = 600.0  # seconds
INSERT = Query("note", "INSERT INTO notes VALUES (:id)", "INSERT INTO notes VALUES (%s)", ("id",))


class Slow:
    """A database whose flushes wait to be let go on: the first one by itself."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self.database = database
        self.sizes: list[int] = []
        self.first, self.others = asyncio.Event(), asyncio.Event()

    async def batch(self, statements: Sequence[Statement], *, hasty: bool) -> list[int]:
        self.sizes.append(len(statements))
        await (self.first if len(self.sizes) == 1 else self.others).wait()
        return await self.database.batch(statements)


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Slow]:
    file = tmp_path / "notes.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE notes (id TEXT)")
    database = SQLiteDatabase(f"sqlite:///{file}", TableNames("notes"))
    await database.open()
    yield Slow(database)
    await database.close()


def write(writes: Batch, count: int) -> list[asyncio.Task[list[int]]]:
    return [asyncio.create_task(writes.write(f"{n:04}", (INSERT, {"id": f"{n:04}"}))) for n in range(count)]


async def begin(slow: Slow) -> tuple[Batch, list[asyncio.Task[list[int]]]]:
    """One write, whose flush is under way."""
    writes = Batch(slow)  # type: ignore[arg-type]  # all that it asks a database for
    first = write(writes, 1)
    await eventually(lambda: slow.sizes)
    return writes, first


async def test_what_comes_during_a_flush_leaves_in_one(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LATE", NEVER)
    writes, first = await begin(slow)
    more = write(writes, 20)
    for _ in range(20):  # one after the other, as results come
        await asyncio.sleep(0)
    assert slow.sizes == [1]
    slow.first.set()
    slow.others.set()
    assert await asyncio.gather(*first, *more) == [[1]] * 21
    assert slow.sizes == [1, 20]


async def test_what_is_enough_for_another_leaves_beside_it(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LATE", NEVER)
    slow.others.set()
    writes, first = await begin(slow)
    await asyncio.gather(*write(writes, LARGEST_FLUSH))
    assert slow.sizes == [1, LARGEST_FLUSH]
    slow.first.set()
    await asyncio.gather(*first)


@pytest.mark.parametrize("came", ["before it was late", "afterwards"])
async def test_a_flush_that_takes_long_keeps_nothing_waiting(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, came: str
) -> None:
    monkeypatch.setattr(batch, "LATE", 0.2)
    slow.others.set()
    writes, first = await begin(slow)
    if came == "afterwards":
        await asyncio.sleep(0.4)
    for _ in range(3):
        await asyncio.wait_for(asyncio.gather(*write(writes, 1)), 30)
    assert not first[0].done()
    slow.first.set()
    await asyncio.gather(*first)
    assert await asyncio.wait_for(asyncio.gather(*write(writes, 1)), 30) == [[1]], "it goes on as before"


async def test_a_row_that_somebody_holds_keeps_no_other_task_waiting(migrated_mysql: str) -> None:
    rows = Direct(migrated_mysql)
    rows.empty()
    store = await open_store(migrated_mysql, migrate=None)
    await store.leases.renew("A", "one", 60)
    claims = [(await store.tasks.claim(task(name), A, 3)).claim for name in ("held", "x", "y")]
    held, *others = [claim for claim in claims if claim is not None]
    with closing(mysql_session(migrated_mysql, autocommit=False)) as stranger, stranger.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute(f"SELECT id FROM {TASKS} WHERE id = 'held' FOR UPDATE")
        waiting = asyncio.create_task(end(store, held, Succeeded(1)))
        await eventually(rows.waiting_for_locks)
        for claim in others:
            assert await end(store, claim, Succeeded(1)) is not None
        assert not waiting.done()
    assert await waiting is not None
    await store.close()
