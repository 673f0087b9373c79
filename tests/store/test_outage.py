"""A MySQL server that hangs up, locks, deadlocks, turns read-only or dies: later operations work, none is lost."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import pytest

from gridsidecar.errors import StoreUnavailable
from gridsidecar.rules.reception import Begin, Insert
from gridsidecar.rules.task import Claim, Failed, Progress, Report, Status, Succeeded
from gridsidecar.store import Filter, OperationKind, records
from gridsidecar.store.database import Connection, FalseAlarm
from gridsidecar.store.mysql import connection
from tests.conftest import execute_on_server
from tests.store.direct import TASKS, Direct
from tests.store.workers import A, B, Two, decided, delayed, end, open_store, task
from tests.support import services
from tests.support.database import mysql_session
from tests.support.proxy import proxied
from tests.support.waiting import eventually

T = TypeVar("T")
POOL = 8

pytestmark = pytest.mark.parametrize("tables_url", ["mysql"], indirect=True)


class Server:
    """Another session on the database of a test."""

    def __init__(self, url: str) -> None:
        self._database = urlsplit(url).path[1:]
        self.session = mysql_session(url)

    def run(self, sql: str) -> list[Any]:
        with self.session.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def others(self, waiting_for: str = "") -> list[int]:
        """Connections to this database besides our own, running a statement with `waiting_for` in it if given."""
        own = self.session.thread_id()
        return [
            number
            for number, _user, _host, database, _command, _time, _state, info, *_ in self.run("SHOW FULL PROCESSLIST")
            if database == self._database and number != own and waiting_for in (info or "")
        ]

    def deadlocks(self) -> int:
        ((count,),) = self.run("SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'")
        return int(count)

    def kill(self, numbers: list[int]) -> None:
        for number in numbers:
            self.run(f"KILL CONNECTION {number}")


@pytest.fixture
def server(two: Two) -> Iterator[Server]:
    other = Server(two.url)
    with closing(other.session):
        yield other


async def ridden_out(operation: Callable[[], Awaitable[T]]) -> T:
    """As a worker does it: again while the store is unavailable, here once for each connection that may be dead."""
    for _ in range(POOL):
        try:
            return await operation()
        except StoreUnavailable:
            continue
    return await operation()


async def held_up(server: Server, statement: str) -> list[int]:
    """Wait until somebody runs this statement, which is then waiting for a lock; the connections."""
    return list(await eventually(lambda: server.others(statement)))


async def test_connections_killed_between_operations(two: Two, server: Server) -> None:
    claim = await two.started()
    await asyncio.gather(*(two.a.reading.get("t") for _ in range(POOL)))
    doomed = server.others()
    assert len(doomed) >= 2
    server.kill(doomed)
    await eventually(lambda: not set(doomed) & set(server.others()))
    assert await ridden_out(lambda: two.a.tasks.progress(claim, Progress(50)))
    assert await ridden_out(lambda: end(two.a, claim, Succeeded(1))) is not None
    assert two.rows.row()["status"] == "success"


async def test_connection_killed_inside_a_claim(two: Two, server: Server) -> None:
    await two.retrying()
    two.rows.make_due()
    server.run("BEGIN")
    server.run(f"SELECT id FROM {TASKS} WHERE id = 't' FOR UPDATE")
    claiming = asyncio.create_task(two.deliver_to_b(delayed(1)))
    server.kill(await held_up(server, "FOR UPDATE"))
    await held_up(server, "FOR UPDATE")  # again: the server is there, as others see
    server.run("COMMIT")
    assert (await claiming).reception == Begin(attempt=2, crashes=0)
    assert two.rows.row()["attempt"] == 2


async def test_connection_killed_inside_a_commit(two: Two, server: Server) -> None:
    claim = await two.started()
    server.run("BEGIN")
    server.run(f"SELECT id FROM {TASKS} WHERE id = 't' FOR UPDATE")
    committing = asyncio.create_task(end(two.a, claim, Succeeded("kept")))
    server.kill(await held_up(server, "kept"))
    await held_up(server, "kept")
    assert two.rows.row()["status"] == "running"
    server.run("COMMIT")
    assert await committing is not None
    assert two.rows.row()["result"] == '"kept"'
    assert two.rows.history() == [(1, "success")]


async def test_a_cancelled_operation_leaves_its_connection_to_nobody(two: Two, server: Server) -> None:
    await two.retrying()
    two.rows.make_due()
    server.run("BEGIN")
    server.run(f"SELECT id FROM {TASKS} WHERE id = 't' FOR UPDATE")
    claiming = asyncio.create_task(two.deliver_to_b(delayed(1)))
    await held_up(server, "FOR UPDATE")
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    answers = await asyncio.gather(*(two.b.reading.get(name) for name in ["t", "u"] * POOL))
    assert [answer and answer["task_id"] for answer in answers] == ["t", None] * POOL
    server.run("COMMIT")
    assert (await two.deliver_to_b(delayed(1))).reception == Begin(attempt=2, crashes=0)


def heavier(server: Server) -> None:
    """Change many rows, so that a deadlock's victim is the other session."""
    server.run("BEGIN")
    columns = "id, name, queue, lease, started_at, expires_at"
    values = "CONCAT('w', seq.n), '', '', 1, NOW(), NOW()"
    server.run(f"INSERT INTO {TASKS}_workers ({columns}) SELECT {values} FROM ({NUMBERS}) seq")


NUMBERS = " UNION ALL ".join(f"SELECT {number} AS n" for number in range(50))


async def test_a_deadlocked_transaction_is_run_again(two: Two, server: Server) -> None:
    for name in ("a", "b"):
        await two.a.tasks.claim(task(name), A, 0)
    heavier(server)
    server.run(f"UPDATE {TASKS} SET priority = 1 WHERE id = 'b'")
    query = two.a.tasks._queries["row_locked"]
    runs = []

    async def both_rows(session: Connection) -> str:
        runs.append(1)
        return "".join([str((await session.fetch(query, {"id": name}))[0]["status"]) for name in ("a", "b")])

    reading = asyncio.create_task(two.a.database.transact(both_rows))
    await held_up(server, "'b' FOR UPDATE")
    await asyncio.to_thread(server.run, f"UPDATE {TASKS} SET priority = 1 WHERE id = 'a'")
    server.run("COMMIT")
    assert await reading == "runningrunning"
    assert len(runs) >= 2


async def test_a_deadlocked_batch_is_run_again(two: Two, server: Server) -> None:
    claims = [(await two.a.tasks.claim(task(name), A, 0)).claim for name in ("a", "b")]
    before = server.deadlocks()
    heavier(server)
    server.run(f"UPDATE {TASKS} SET priority = 1 WHERE id = 'b'")
    writing = asyncio.gather(*(two.a.tasks.progress(claim, Progress(7)) for claim in claims if claim))
    await held_up(server, "progress = ")
    await asyncio.to_thread(server.run, f"UPDATE {TASKS} SET priority = 1 WHERE id = 'a'")
    server.run("COMMIT")
    assert await writing == [True, True]
    assert server.deadlocks() > before
    rows = two.rows.run(f"SELECT progress, priority FROM {TASKS}")
    assert rows == [{"progress": 7, "priority": 1}] * 2


async def test_a_lock_held_for_long_is_waited_for(two: Two, server: Server) -> None:
    """Longer than one lock wait may last, so the first try fails."""
    claim = await two.started()
    server.run("BEGIN")
    server.run(f"UPDATE {TASKS} SET priority = 1 WHERE id = 't'")
    committing = asyncio.create_task(end(two.a, claim, Succeeded(1)))
    (first,) = await held_up(server, "('t') AND attempt")
    await eventually(lambda: first not in server.others("('t') AND attempt"), timeout=15)
    server.run("COMMIT")
    assert await committing is not None
    assert (two.rows.row()["status"], two.rows.row()["priority"]) == ("success", 1)


async def test_a_batch_that_waits_for_a_lock_writes_all_or_nothing(two: Two, server: Server) -> None:
    """A lock wait undoes one statement and not its transaction; nothing before it may be committed by that."""
    names = ("a", "b", "c")
    claims = [(await two.a.tasks.claim(task(name), A, 0)).claim for name in names]
    server.run("BEGIN")
    server.run(f"UPDATE {TASKS} SET priority = 1 WHERE id = 'b'")
    query = two.a.tasks._queries["progress"]
    params = [records.fence(claim) | records.progress_columns(Progress(7)) for claim in claims if claim]
    writing = asyncio.create_task(two.a.database.batch([(query, values) for values in params]))
    (first,) = await held_up(server, "progress = ")
    await eventually(lambda: first not in server.others("progress = "), timeout=15)
    await held_up(server, "progress = ")
    assert two.rows.run(f"SELECT id FROM {TASKS} WHERE progress = 7") == []
    server.run("COMMIT")
    assert await writing == [1, 1, 1]
    assert two.rows.run(f"SELECT progress FROM {TASKS}") == [{"progress": 7}] * 3


async def test_connections_that_fell_silent_are_left_together(
    two: Two, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall forgot them all; only the first one to find out costs its time."""
    claim = await two.started()
    async with proxied(two.url) as (proxy, url):
        store = await open_store(url, migrate=None)
        await asyncio.gather(*(store.reading.get("t") for _ in range(POOL)))
        assert proxy.open >= 2
        proxy.forget()
        monkeypatch.setattr(connection, "REPLY_TIMEOUT", 2.0)
        assert await store.tasks.progress(claim, Progress(50))
        monkeypatch.setattr(connection, "REPLY_TIMEOUT", 600.0)
        async with asyncio.timeout(30):
            assert await store.tasks.progress(claim, Progress(60))
        await store.close()
    assert two.rows.row()["progress"] == 60


async def test_a_connection_that_was_reset_while_idle_is_not_used(two: Two, server: Server) -> None:
    claim = await two.started()
    async with proxied(two.url) as (proxy, url):
        store = await open_store(url, migrate=None)
        assert await store.tasks.progress(claim, Progress(50))
        proxy.cut()
        await eventually(lambda: proxy.open == 0)
        assert await store.tasks.progress(claim, Progress(60))
        await store.close()


@pytest.fixture
async def ordinary(two: Two, mysql_server_url: str) -> AsyncIterator[Two]:
    """Two workers that log in without administrator's rights."""
    name = f"gs_{secrets.token_hex(4)}"
    parts = urlsplit(two.url)
    execute_on_server(mysql_server_url, f"create user '{name}'@'%' identified by 'pw'")
    execute_on_server(mysql_server_url, f"grant all on {parts.path[1:]}.* to '{name}'@'%'")
    url = urlunsplit(parts._replace(netloc=f"{name}:pw@{parts.netloc.rpartition('@')[2]}"))
    workers = Two(await open_store(url, migrate=None), await open_store(url, migrate=None), two.url)
    yield workers
    await workers.a.close()
    await workers.b.close()
    execute_on_server(mysql_server_url, f"drop user '{name}'@'%'")


@pytest.mark.alone  # read-only for everybody
async def test_a_server_that_turns_read_only_is_unavailable_until_it_is_not(ordinary: Two, server: Server) -> None:
    claim = await ordinary.started()
    server.run("SET GLOBAL read_only = 1")
    try:
        with pytest.raises(StoreUnavailable, match="is read-only"):
            await end(ordinary.a, claim, Succeeded(1))
        with pytest.raises(StoreUnavailable, match="is read-only"):
            await ordinary.b.tasks.claim(task("u"), B, 0)
        with pytest.raises(StoreUnavailable, match="is read-only"):
            await ordinary.a.leases.renew("A", "one", 60)
        assert await ordinary.a.reading.get("t") is not None
    finally:
        server.run("SET GLOBAL read_only = 0")
    assert await end(ordinary.a, claim, Succeeded(1)) is not None
    assert (await ordinary.b.tasks.claim(task("u"), B, 0)).reception == Insert()


async def test_a_crowd_of_operations_gets_each_its_own_result(two: Two, server: Server) -> None:
    names = [f"t{number:03d}" for number in range(200)]
    gate = asyncio.Semaphore(50)

    async def run(number: int, name: str) -> None:
        async with gate:
            received = await two.a.tasks.claim(task(name, fields={"data": number}), A, 0)
            assert received.claim is not None
            assert received.claim.task_id == name
            assert await two.a.tasks.progress(received.claim, Progress(number % 100, name))
            if number % 5 == 0:
                two.rows.set(name, attempt=2)  # a newer claim took it
            transition = await end(two.a, received.claim, outcome(number))
            assert (transition and transition.status) == expected(number)

    def outcome(number: int) -> Succeeded | Failed:
        return Failed(error=f"no {number}", error_type="X") if number % 3 == 0 else Succeeded(number)

    def expected(number: int) -> Status | None:
        if number % 5 == 0:
            return None
        return Status.FAILED if number % 3 == 0 else Status.SUCCESS

    await asyncio.gather(*(run(number, name) for number, name in enumerate(names)))
    assert len(server.others()) <= 2 * POOL
    for number, name in enumerate(names):
        shown = await two.b.reading.get(name)
        assert shown is not None
        assert shown["data"] == number
        assert shown["status"] == (expected(number) or "running")
        assert shown["result"] == (number if shown["status"] == "success" else None)
        if shown["status"] != "success":
            assert (shown["progress"], shown["progress_message"]) == (number % 100, name)


async def test_a_server_that_is_killed_and_comes_back(tables_url: str) -> None:
    """Its own server: everything that was acknowledged is there, and the same store goes on."""
    with services.private_mysql() as server:
        execute_on_server(server.url, "create database gs")
        url = urlunsplit(urlsplit(server.url)._replace(path="/gs"))
        store = await open_store(url)
        try:
            claim = await first_claim(Two(store, store, url))
            server.kill()
            with pytest.raises(StoreUnavailable):
                await end(store, claim, Succeeded(1))
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await store.reading.get("t")
            server.start()
            assert (await ridden_out(lambda: committed(store, claim))) is Status.SUCCESS
            assert Direct(url).history() == [(1, "success")]
        finally:
            await store.close()


async def first_claim(two: Two) -> Claim:
    await two.a.leases.renew("A", "one", 60)
    return await two.started()


async def committed(store: Any, claim: Claim) -> Status:
    transition = await store.tasks.ends.commit(claim, decided(claim, Succeeded(1)), Report(), Progress())
    assert transition is not None
    return Status(transition.status)


async def test_two_signs_of_life_within_one_tick_of_its_clock_are_two(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is so quick writes the same time twice, and says that nothing changed."""
    monkeypatch.setattr(connection, "_SESSION", f"{connection._SESSION}; SET timestamp = 1900000000.123")
    store = await open_store(two.url, migrate=None)
    try:
        operation = await store.operations.begin(OperationKind.RETRY, Filter(statuses=(Status.FAILED,), queue="q"))
        for _ in range(4):
            assert (await store.operations.take(operation)).id == operation
        await store.operations.collect(await store.operations.take(operation))
    finally:
        await store.close()


async def test_a_deadlock_before_a_session_is_there_is_told_as_one(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    deadlock = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'a deadlock'"
    monkeypatch.setattr(connection, "_SESSION", f"{connection._SESSION}; {deadlock}")
    with pytest.raises(FalseAlarm, match="a deadlock"):
        await open_store(two.url, migrate=None)
