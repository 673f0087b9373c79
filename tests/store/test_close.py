"""A store that is closed stays so: nothing is written behind its back, and no connection is left."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest

from gridsidecar.errors import StoreUnavailable
from gridsidecar.rules.task import Claim, Succeeded
from gridsidecar.store import RowLocked, Store
from gridsidecar.store.mysql import connection_pool, database
from tests.store.direct import TASKS, Direct
from tests.store.workers import A, end, open_store, task
from tests.support.database import mysql_session
from tests.support.waiting import eventually


async def claimed(store: Store, *names: str) -> list[Claim]:
    await store.leases.renew("A", "one", 60)
    received = [await store.tasks.claim(task(name), A, 3) for name in names]
    return [one.claim for one in received if one.claim is not None]


def connections(rows: Direct) -> int:
    others = "db = DATABASE() AND id <> CONNECTION_ID()"
    return len(rows.run(f"SELECT id FROM information_schema.processlist WHERE {others}"))


async def test_what_is_closed_takes_nothing(store_url: str) -> None:
    store = await open_store(store_url)
    (claim,) = await claimed(store, "t")
    await store.close()
    for late in (end(store, claim, Succeeded(1)), store.reading.get("t"), store.tasks.claim(task("late"), A, 3)):
        with pytest.raises(StoreUnavailable):
            await late
    assert Direct(store_url).row("t")["status"] == "running"
    await store.close()  # once more does no harm


async def test_writes_that_wait_for_a_row_end_with_their_store(
    migrated_mysql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Direct(migrated_mysql)
    rows.empty()
    store = await open_store(migrated_mysql, migrate=None, pool_size=2)
    claims = await claimed(store, *(f"t{number}" for number in range(9)))
    with closing(mysql_session(migrated_mysql, autocommit=False)) as stranger, stranger.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")  # no rows but those that it names
        cursor.execute(f"SELECT id FROM {TASKS} FORCE INDEX (PRIMARY) WHERE id LIKE 't%' FOR UPDATE")
        with monkeypatch.context() as patience:
            patience.setattr(database, "LOCK_WAITS", 1)
            known = await asyncio.gather(
                *(end(store, claim, Succeeded(1)) for claim in claims[:2]), return_exceptions=True
            )
        assert all(isinstance(one, RowLocked) for one in known), known
        waiting = [asyncio.create_task(end(store, claim, Succeeded(1))) for claim in claims[:2]]  # one after the other
        await eventually(rows.waiting_for_locks)
        waiting += [asyncio.create_task(end(store, claim, Succeeded(1))) for claim in claims[2:]]
        await eventually(lambda: rows.waiting_for_locks() == 2)
        async with asyncio.timeout(20):  # of the half minute that each of them would take
            await store.close()
            ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, StoreUnavailable) for one in ends), ends
        assert connections(rows) == 1, "but the stranger's"
    assert {row["status"] for row in rows.run(f"SELECT status FROM {TASKS}")} == {"running"}


async def test_a_session_that_comes_back_late_is_closed(migrated_mysql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Direct(migrated_mysql)
    rows.empty()
    store = await open_store(migrated_mysql, migrate=None)
    await claimed(store, "t")
    monkeypatch.setattr(connection_pool, "CLOSE_GRACE", 0.2)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def long(_: Any) -> None:
        begun.set()
        await may_end.wait()

    works = [asyncio.create_task(store.database.transact(long)) for _ in range(2)]
    await begun.wait()
    await store.close()
    await eventually(lambda: not connections(rows))
    may_end.set()
    for one in await asyncio.gather(*works, return_exceptions=True):
        assert isinstance(one, StoreUnavailable)
    assert not connections(rows)
