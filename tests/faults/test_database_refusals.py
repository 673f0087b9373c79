"""The database answers and says no: read-only, full, locked, deadlocked, too many connections. It fails no task."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pymysql
import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import Start
from tests.faults.promises import assert_untouched, kept, not_ready, ready_in_the_end
from tests.support.database import mysql_session
from tests.support.place import TASKS, Place
from tests.support.servers import MySQL
from tests.support.services import private_mysql
from tests.support.waiting import eventually

SPACE = "--innodb-data-file-path=ibdata1:12M:autoextend:max:{}M"


@pytest.fixture
def ordinary_url(on_own_mysql: Place, own_mysql: MySQL) -> str:
    """The place's database for a user without an administrator's rights, with three connections at most."""
    name = f"gs_{secrets.token_hex(4)}"
    parts = urlsplit(on_own_mysql.store_url)
    execute_on_server(own_mysql.url, f"create user '{name}'@'%' identified by 'pw' with max_user_connections 3")
    execute_on_server(own_mysql.url, f"grant all on {parts.path[1:]}.* to '{name}'@'%'")
    return urlunsplit(parts._replace(netloc=f"{name}:pw@{parts.netloc.rpartition('@')[2]}"))


@contextmanager
def transaction(place: Place) -> Iterator[Any]:
    """Somebody else's, open until the end of the context; a cursor."""
    with closing(mysql_session(place.store_url, autocommit=False)) as connection, connection.cursor() as cursor:
        cursor.execute("begin")
        yield cursor
        connection.commit()


def waiting_statements(place: Place, words: str) -> int:
    """Statements with these words that are under way; what is under way is waiting."""
    sql = "select count(*) as n from information_schema.processlist where db = database() and info like ? and id <> "
    return int(place.fetch(sql + "connection_id()", f"%{words}%")[0]["n"])


@pytest.mark.timeout(120)
async def test_it_turns_read_only_for_a_while(
    on_own_mysql: Place, own_mysql: MySQL, ordinary_url: str, start: Start
) -> None:
    """Row 12: all leases expire meanwhile, and nobody takes anything from anybody."""
    place, gate = on_own_mysql, on_own_mysql.folder / "gate"
    config = place.config(
        {"default": place.job("until", gate)},
        store={"url": ordinary_url, "pool_size": 2},
        worker={"concurrency": 2, "lease": 2},
    )
    sidecar = start(config)
    await sidecar.ready()
    await place.publish(*({"task_id": f"t{number}"} for number in range(6)))
    await eventually(lambda: len(place.journal.started) == 2)
    execute_on_server(own_mysql.url, "set global read_only = 1")
    try:
        Path(f"{gate}.{place.journal.started[0]}").touch()
        await eventually(lambda: not_ready(sidecar, "store", "is read-only"))
        await asyncio.sleep(4)
        assert len(place.journal.started) == 2
        assert len(sidecar.handlers()) == 1
        assert place.statuses() == {"running": 2}
        late = start(config)
        await late.said("is read-only")
        assert late.exit_code is None
    finally:
        execute_on_server(own_mysql.url, "set global read_only = 0")
    gate.touch()
    await late.ready()
    await eventually(lambda: ready_in_the_end(sidecar))
    await kept(place, sidecar, late, tasks=6)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_it_is_full(amqp_url: str, queue: str, tmp_path: Path, start: Start) -> None:
    """Row 13: nothing can be added; claims and results wait for somebody to make room."""
    options = ["--innodb-file-per-table=0", SPACE.format(24)]
    with private_mysql(options) as server:
        execute_on_server(server.url, "create database gs")
        place, gate = Place(amqp_url, f"{server.url}gs", queue, tmp_path), tmp_path / "gate"
        sidecar = start(place.config({"default": place.job("until", gate)}, worker={"concurrency": 2, "lease": 5}))
        await place.publish({"task_id": "t0", "data": "x"})
        await eventually(lambda: place.journal.started)
        fill(place)
        await place.publish(*({"task_id": f"t{number}", "data": "x" * 20_000} for number in range(1, 6)))
        await eventually(lambda: not_ready(sidecar, "store", "is full"))
        assert place.journal.started == ["t0"]
        gate.touch()
        await eventually(lambda: place.journal.ended == ["t0"])
        server.stop()
        options[-1] = SPACE.format(64)
        server.start()
        await eventually(lambda: ready_in_the_end(sidecar))
        await kept(place, sidecar, tasks=6)
        assert_untouched(place)


async def test_its_temporary_files_are_not_to_be_had(amqp_url: str, queue: str, tmp_path: Path, start: Start) -> None:
    """It answers with the error of its machine, which passes: neither the start nor a task ends by it."""
    with private_mysql(as_installed=True) as server:
        execute_on_server(server.url, "create database gs")
        place = Place(amqp_url, f"{server.url}gs", queue, tmp_path)
        server.tmpdir.rename(server.folder / "away")
        sidecar = start(place.config({"default": place.job("done")}))
        await eventually(lambda: not_ready(sidecar, "store", "cannot do its work"))
        (server.folder / "away").rename(server.tmpdir)
        await place.publish({"task_id": "t"})
        await kept(place, sidecar, tasks=1)
        assert_untouched(place)


def fill(place: Place) -> None:
    """Until not even a small row has room."""
    place.execute("create table filler (id int auto_increment primary key, content longblob)")
    for size in (1_000_000, 50_000, 7000):
        try:
            while True:
                place.execute("insert into filler (content) values (repeat('x', ?))", size)
        except pymysql.err.MySQLError as error:
            assert error.args[0] == 1114  # noqa: PT017


async def test_somebody_holds_a_row_for_longer_than_a_lock_is_waited_for(place: Place, start: Start) -> None:
    """Row 13: the statement gives up after 5 s and is sent again, with all that travelled with it."""
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}, worker={"concurrency": 4}))
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: len(place.journal.started) == 4)
    with transaction(place) as somebody:
        somebody.execute(f"select id from {TASKS} where id = 't2' for update")
        gate.touch()
        await eventually(lambda: waiting_statements(place, "t2"))
        await asyncio.sleep(6)
        await eventually(lambda: waiting_statements(place, "t2"))
        assert place.status("t2") == "running"
    await kept(place, sidecar, tasks=4)
    assert_untouched(place)


@pytest.mark.timeout(150)
async def test_rows_that_somebody_keeps_locked_hold_up_no_others(place: Place, start: Start) -> None:
    """As many as there are slots: they come back later, none of them is lost or run twice."""
    locked = [f"locked{number}" for number in range(3)]
    sidecar = start(
        place.config(
            {"default": place.job("flaky", 2)},
            worker={"concurrency": 2, "prefetch": 0},
            retry={"max_retries": 2, "delay": 2},
        )
    )
    await place.publish(*({"task_id": name} for name in locked))
    await eventually(lambda: place.statuses() == {"retrying": 3})
    with transaction(place) as somebody:
        for name in locked:  # each by itself: no gap between them is locked
            somebody.execute(f"select id from {TASKS} where id = %s for update", (name,))
        await eventually(lambda: waiting_statements(place, "locked"))
        await place.publish(*({"task_id": f"good{number}"} for number in range(4)))
        await eventually(lambda: place.statuses().get("success") == 4, timeout=90, interval=0.5)
        assert [place.status(name) for name in locked] == ["retrying"] * 3
        assert not sidecar.says("not ready")
    await kept(place, sidecar, tasks=7, gap=2)
    assert place.statuses() == {"success": 7}


async def test_a_batch_of_results_meets_a_deadlock(place: Place, start: Start) -> None:
    """Row 13: somebody locks the rows in the other order; whoever is the victim tries again."""
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}, worker={"concurrency": 8}))
    await place.publish(*({"task_id": f"t{number}"} for number in range(8)))
    await eventually(lambda: len(place.journal.started) == 8)
    with transaction(place) as somebody:
        somebody.execute(f"update {TASKS} set priority = 1 where id = 't7'")
        gate.touch()
        await eventually(lambda: waiting_statements(place, "t7"))
        try:  # the others of the batch are locked by now, unless t7 came alone; then there is no deadlock
            await asyncio.to_thread(somebody.execute, f"update {TASKS} set priority = 1 where id < 't7'")
        except pymysql.err.OperationalError as error:
            assert error.args[0] == 1213  # noqa: PT017  # we are the victim
    await kept(place, sidecar, tasks=8)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_it_allows_few_connections(on_own_mysql: Place, ordinary_url: str, start: Start) -> None:
    """Row 13: three for a pool of eight; work goes on with those that there are."""
    place = on_own_mysql
    jobs = {"default": place.job("flaky", 2)}
    config = place.config(
        jobs,
        store={"url": ordinary_url, "pool_size": 8},
        worker={"concurrency": 8, "lease": 5},
        retry={"max_retries": 1, "delay": 1},
    )
    sidecar = start(config)
    await place.publish(*({"task_id": f"t{number}"} for number in range(40)))
    await kept(place, sidecar, tasks=40, gap=1)
    assert place.statuses() == {"success": 40}
    assert not_ready(sidecar, "store") == 0
