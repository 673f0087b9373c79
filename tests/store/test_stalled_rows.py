"""One row that does not come to an end, by a trigger that sleeps or a lock that somebody keeps, holds up no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from gridsidecar.errors import StoreUnavailable
from gridsidecar.rules.reception import Insert, Resume
from gridsidecar.rules.task import Claim, Succeeded, Transition
from gridsidecar.store import Answer, RowLocked, TransientRejection
from gridsidecar.store.database import FalseAlarm
from gridsidecar.store.mysql import connection, database
from gridsidecar.store.mysql.witness import Witness
from tests.store.direct import TASKS
from tests.store.workers import A, Two, end, open_store, task
from tests.support.database import mysql_session
from tests.support.waiting import eventually

# Refused, or done by a server that ends the sleep of a client that left: not as if it were away.
DECIDED = (TransientRejection, Answer, Transition)

pytestmark = pytest.mark.parametrize("tables_url", ["mysql"], indirect=True)


@pytest.fixture
async def two(two: Two, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    """Two workers that are quick to lose patience."""
    monkeypatch.setattr(connection, "REPLY_TIMEOUT", 2.0)
    monkeypatch.setattr(database, "LOCK_WAITS", 6)
    workers = Two(await open_store(two.url, migrate=None), await open_store(two.url, migrate=None), two.url)
    yield workers
    await workers.a.close()
    await workers.b.close()


@pytest.fixture(autouse=True)
def _no_sleeper_left(two: Two, triggers: None) -> Iterator[None]:
    """A sleep goes on after its client, row by row."""
    yield
    others = "db = DATABASE() AND id <> CONNECTION_ID()"
    asleep = f"SELECT id FROM information_schema.processlist WHERE {others} AND info LIKE ?"
    for row in two.rows.run(asleep, "%SLEEP%"):
        two.rows.run(f"KILL {row['id']}")


def trigger(two: Two, event: str, does: str, name: str = "new.id") -> None:
    two.rows.run(f"CREATE TRIGGER refuses BEFORE {event} FOR EACH ROW IF {name} LIKE 'bad%%' THEN {does}; END IF")


@contextmanager
def held(two: Two, sql: str) -> Iterator[None]:
    """What this locks stays so until the end of the context."""
    with mysql_session(two.url, autocommit=False) as session, session.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")  # no rows but those that it names
        cursor.execute("BEGIN")
        cursor.execute(sql)
        yield
        session.rollback()


async def claimed(two: Two, *names: str) -> list[Claim]:
    received = [await two.a.tasks.claim(task(name), A, 3) for name in names]
    return [one.claim for one in received if one.claim is not None]


async def together(*works: Any) -> list[Any]:
    """What came of each, within far less time than the stalled row would take."""
    async with asyncio.timeout(25):
        return await asyncio.gather(*works, return_exceptions=True)


async def test_a_trigger_that_sleeps_holds_up_no_other_claim(two: Two) -> None:
    trigger(two, f"INSERT ON {TASKS}", "DO SLEEP(600)")
    bad, *good = await together(*(two.a.tasks.claim(task(name), A, 3) for name in ("bad", "good", "other")))
    assert isinstance(bad, DECIDED)
    assert [received.reception for received in good] == [Insert(), Insert()]


async def test_a_claim_whose_answer_never_came_is_found(two: Two) -> None:
    """A server may finish what its client has left."""
    trigger(two, f"INSERT ON {TASKS}", "DO SLEEP(4)")
    (bad,) = await together(two.a.tasks.claim(task("bad"), A, 3))
    assert bad.reception == Resume(), bad
    assert (two.rows.row("bad")["worker_id"], bad.attempt) == ("A", 1)


async def test_many_that_sleep_hold_up_no_others(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger(two, f"INSERT ON {TASKS}", "DO SLEEP(600)")
    bads = [asyncio.create_task(two.a.tasks.claim(task(f"bad{number}"), A, 3)) for number in range(11)]
    goods = [two.a.tasks.claim(task(f"good{number}"), A, 3) for number in range(11)]
    assert [received.reception for received in await together(*goods)] == [Insert()] * 11
    assert all(isinstance(one, DECIDED) for one in await together(*bads))
    monkeypatch.setattr(connection, "REPLY_TIMEOUT", 6.0)
    async with asyncio.timeout(5):  # what is known to sleep goes by itself at once
        again = asyncio.create_task(two.a.tasks.claim(task("bad0"), A, 3))
        assert (await two.a.tasks.claim(task("last"), A, 3)).reception == Insert()
    (decided,) = await together(again)
    assert isinstance(decided, DECIDED)


def witness(two: Two) -> Witness:
    assert isinstance(two.a.database, database.MySQLDatabase)
    return two.a.database._witness


async def test_a_trigger_that_sleeps_holds_up_no_other_end(two: Two) -> None:
    trigger(two, f"UPDATE ON {TASKS}", "DO SLEEP(600)")
    claims = await claimed(two, "bad", "good")
    bad, good = await together(*(end(two.a, claim, Succeeded(1)) for claim in claims))
    assert isinstance(bad, DECIDED)
    assert good.status == "success"


async def test_ends_that_are_held_up_leave_a_connection_to_others(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    few = await open_store(two.url, migrate=None, pool_size=2)
    *bads, good = await claimed(two, "bad1", "bad2", "good")
    refused = "SIGNAL SQLSTATE '45000'"  # to a server that ends the wait of a client that left
    kept = f"IF COALESCE(GET_LOCK('kept', 600), 0) = 0 THEN {refused}; END IF; DO RELEASE_LOCK('kept')"
    trigger(two, f"UPDATE ON {TASKS}", kept)
    with mysql_session(two.url) as session, session.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('kept', 0)")
        known = await together(*(end(few, bad, Succeeded(1)) for bad in bads))
        assert all(isinstance(one, FalseAlarm) for one in known), known
        monkeypatch.setattr(connection, "REPLY_TIMEOUT", 10.0)
        again = [asyncio.create_task(end(few, bad, Succeeded(1))) for bad in bads]
        await asyncio.sleep(0.2)  # of the ten seconds for which those that are under way hold what they have
        async with asyncio.timeout(8):
            assert await few.reading.get("good")
            assert (await end(few, good, Succeeded(1))).status == "success"
    assert all(one.status == "success" for one in await together(*again))
    await few.close()


async def test_a_write_that_nobody_waits_for_any_more_keeps_no_place(two: Two) -> None:
    few = await open_store(two.url, migrate=None, pool_size=2)
    bads = await claimed(two, "bad1", "bad2")
    one, other = (held(two, f"SELECT id FROM {TASKS} WHERE id = '{bad.task_id}' FOR UPDATE") for bad in bads)
    with one, other:
        known = await together(*(end(few, bad, Succeeded(1)) for bad in bads))
        assert all(isinstance(each, RowLocked) for each in known), known
        first, second = (asyncio.create_task(end(few, bad, Succeeded(1))) for bad in bads)
        await eventually(two.rows.waiting_for_locks)
        second.cancel()
    assert (await first).status == "success"
    assert (await end(few, bads[1], Succeeded(2))).status == "success"  # after the one before it, had that been written
    assert two.rows.row("bad2")["result"] == "2"
    await few.close()


def locked(two: Two, claims: list[Claim]) -> AbstractContextManager[None]:
    names = ", ".join(f"'{claim.task_id}'" for claim in claims)
    return held(two, f"SELECT id FROM {TASKS} FORCE INDEX (PRIMARY) WHERE id IN ({names}) FOR UPDATE")


async def test_locked_rows_that_have_every_connection_soon_let_go_of_one(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REPLY_TIMEOUT", 30.0)
    few = await open_store(two.url, migrate=None, pool_size=2)
    *bads, good = await claimed(two, "bad1", "bad2", "good")
    with locked(two, bads):
        works = [asyncio.create_task(end(few, bads[0], Succeeded(1)))]
        await eventually(two.rows.waiting_for_locks)
        works.append(asyncio.create_task(end(few, bads[1], Succeeded(1))))
        await asyncio.sleep(0)  # it has a connection of its own
        async with asyncio.timeout(4):
            assert await few.reading.get("good")
            assert (await end(few, good, Succeeded(1))).status == "success"
    await few.close()
    await together(*works)


async def test_what_travels_with_locked_rows_is_done_before_they_are_given_up(two: Two) -> None:
    few = await open_store(two.url, migrate=None, pool_size=2)
    *bads, good = await claimed(two, "bad1", "bad2", "bad3", "good")
    with locked(two, bads):
        ends = [asyncio.create_task(end(few, claim, Succeeded(1))) for claim in (*bads, good)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert [one.done() for one in ends] == [False, False, False, True]
        assert all(isinstance(one, RowLocked) for one in (await together(*ends))[:-1])
    await few.close()


async def test_what_nobody_has_waited_for_goes_before_rows_that_are_known_to_be_locked(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_WAITS", 3)
    few = await open_store(two.url, migrate=None, pool_size=2)
    *bads, new, good = await claimed(two, "bad1", "bad2", "new", "z")
    with locked(two, [*bads, new]):
        known = await together(*(end(few, bad, Succeeded(1)) for bad in bads))
        assert all(isinstance(one, RowLocked) for one in known), known
        again = [asyncio.create_task(end(few, bad, Succeeded(1))) for bad in bads]
        await eventually(two.rows.waiting_for_locks)
        ends = [asyncio.create_task(end(few, claim, Succeeded(1))) for claim in (new, good)]
        await asyncio.wait([*again, *ends], return_when=asyncio.FIRST_COMPLETED)
        assert [one.done() for one in (*again, *ends)] == [False] * 3 + [True]
    await together(*again, *ends)
    await few.close()


async def test_a_row_that_somebody_keeps_locked(two: Two) -> None:
    claims = await claimed(two, "a", "bad", "z")
    with held(two, f"SELECT id FROM {TASKS} WHERE id = 'bad' FOR UPDATE"):
        began = time.monotonic()
        ends = [asyncio.create_task(end(two.a, claim, Succeeded(1))) for claim in claims]
        await together(ends[0], ends[2])
        patience = database.LOCK_WAITS * connection.LOCK_WAIT
        assert time.monotonic() - began < patience, "what travels with it waits once, not as long as itself"
        a, bad, z = await together(*ends)
        assert isinstance(bad, RowLocked)
        assert (a.status, z.status) == ("success", "success")
    assert (await end(two.a, claims[1], Succeeded(1))).status == "success"  # with all of it: no form was at fault
    assert [two.rows.row(name)["result"] for name in ("a", "bad", "z")] == ["1"] * 3


@pytest.mark.parametrize("table", ["", "_attempts", "_callbacks", "_workers", "_rates"])
async def test_a_table_that_somebody_keeps_locked_is_an_outage(two: Two, table: str) -> None:
    (claim,) = await claimed(two, "t")
    with mysql_session(two.url) as session, session.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {TASKS}{table} READ")
        if table in ("", "_attempts"):
            with pytest.raises(StoreUnavailable):
                await end(two.a, claim, Succeeded(1))
        assert not await witness(two).takes_writes()
    assert await witness(two).takes_writes()
    assert (await end(two.a, claim, Succeeded(1))).status == "success"


async def test_a_witness_leaves_nothing_behind(two: Two) -> None:
    assert await witness(two).takes_writes()
    for table in ("", "_attempts", "_callbacks"):
        assert two.rows.run(f"SELECT 1 FROM {TASKS}{table}") == []
