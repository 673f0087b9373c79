"""The embedded broker between processes, and its leases."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from gridsidecar import wal
from gridsidecar.broker import doorbell
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.config.urls import sqlite_path
from gridsidecar.errors import AccessRefused, BrokerUnavailable, ConfigError
from gridsidecar.store.queries import Query, TableNames
from gridsidecar.store.sqlite import SQLiteDatabase
from tests.broker.bench import SHORT_LEASE, build, consuming, holder, message, opened
from tests.support.waiting import eventually


@pytest.fixture
def settings(sqlite_url: str) -> BrokerSettings:
    return BrokerSettings(url=sqlite_url, queue="work")


async def test_another_process_gets_other_messages(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        for number in range(3):
            await broker.publish(message(b"%d" % number))
        with holder(settings, prefetch=1):
            async with consuming(broker, prefetch=5) as inbox:
                assert {one.message.body for one in await inbox.get(2)} == {b"1", b"2"}
                assert await broker.ready_count() == 0
                await asyncio.gather(*(one.ack() for one in inbox.deliveries))


@pytest.mark.alone
async def test_a_publish_in_another_process_wakes_us_at_once(settings: BrokerSettings) -> None:
    arguments = [sys.executable, "-m", "tests.broker.ring", settings.model_dump_json(by_alias=True)]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    async with opened(settings) as broker, consuming(broker, prefetch=10) as inbox:
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            assert program.stdout.readline() == b"ready\n"
            waits = []
            for number in range(5):
                program.stdin.write(b"\n")
                program.stdin.flush()
                delivery = (await inbox.get(number + 1))[number]
                waits.append(time.time() - float(delivery.message.body))
                await delivery.ack()
            program.stdin.close()
            assert program.wait(10) == 0
    assert statistics.median(waits) < 0.2  # the fallback looks once a second, the safety net every 30


async def test_without_inotify_it_looks_once_a_second(
    settings: BrokerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_: str) -> int:
        raise OSError("no inotify here")

    monkeypatch.setattr(doorbell, "_watch", unavailable)
    async with opened(settings) as ours, opened(settings) as other, consuming(ours) as inbox:
        await eventually(lambda: _idle(ours))
        await other.publish(message(b"one"))
        await (await inbox.one(timeout=5)).ack()


async def test_a_held_message_stays_ours_beyond_its_first_lease(settings: BrokerSettings) -> None:
    async with opened(settings) as first, opened(settings) as second:
        async with consuming(first) as inbox, consuming(second) as other:
            await first.publish(message(b"one"))
            await eventually(lambda: inbox.deliveries or other.deliveries)
            held = (inbox.deliveries or other.deliveries)[0]
            await asyncio.sleep(SHORT_LEASE * 1.5)
            assert held.alive
            assert len(inbox.deliveries) + len(other.deliveries) == 1
            await held.ack()
        assert await first.ready_count() == 0


async def test_a_lost_lease_makes_the_delivery_dead_and_its_ack_harmless(settings: BrokerSettings) -> None:
    async with opened(settings) as first, consuming(first) as inbox:
        await first.publish(message(b"one"))
        lost = await inbox.one()
        _run_out_of_lease(settings)
        async with opened(settings) as second, consuming(second, prefetch=5) as other:
            await eventually(lambda: len(inbox.deliveries) + len(other.deliveries) > 1)
            new = (inbox.deliveries[1:] or other.deliveries)[0]
            assert (new.message.body, new.redelivered) == (b"one", True)
            await eventually(lambda: not lost.alive)
            await lost.ack()
            await lost.requeue()
            assert new.alive
            assert await first.ready_count() == 0
            await new.ack()


async def test_many_open_a_new_file_at_once(settings: BrokerSettings) -> None:
    brokers = [build(settings) for _ in range(10)]
    try:
        await asyncio.gather(*(broker.open() for broker in brokers))
        await asyncio.gather(*(broker.publish(message()) for broker in brokers))
        assert await brokers[0].ready_count() == 10
    finally:
        await asyncio.gather(*(broker.close() for broker in brokers))


async def test_messages_outlive_the_process(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        await broker.publish(message(b"kept"))
        await broker.publish_delayed(message(b"later"), 0.5)
    async with opened(settings) as broker, consuming(broker, 2) as inbox:
        assert {one.message.body for one in await inbox.get(2)} == {b"kept", b"later"}
        await asyncio.gather(*(one.ack() for one in inbox.deliveries))


async def test_queues_in_one_file_do_not_mix(settings: BrokerSettings) -> None:
    async with opened(settings) as one, opened(settings.model_copy(update={"queue": "other"})) as other:
        await one.publish(message())
        assert (await one.ready_count(), await other.ready_count()) == (1, 0)


async def test_a_locked_file_is_unavailable_and_then_used_again(
    settings: BrokerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridsidecar.broker.message_table.BUSY_TIMEOUT", 0.2)
    async with opened(settings) as broker:
        other = sqlite3.connect(sqlite_path(settings.url), isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(BrokerUnavailable, match="locked"):
            await broker.publish(message())
        other.execute("rollback")
        other.close()
        await broker.publish(message())
        assert await broker.ready_count() == 1


async def test_headers_that_json_does_not_know_survive(settings: BrokerSettings) -> None:
    headers = {"raw": b"\xff\x00", "when": datetime(2026, 1, 2, tzinfo=UTC), "exact": Decimal("1.10")}
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish(message(headers=headers))
        delivery = await inbox.one()
        assert delivery.message.headers == headers
        await delivery.ack()


async def test_a_place_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, and it is long enough to be sure of that" * 20)
    for place, says in (
        (tmp_path / "no" / "q.db", "create it"),
        (tmp_path, "not a file"),
        (tmp_path / "text.db", "not a database"),
    ):
        broker = build(BrokerSettings(url=f"sqlite:///{place}"))
        with pytest.raises(AccessRefused, match=says) as refused:
            await broker.open()
        assert str(place) in str(refused.value) or str(place.parent) in str(refused.value)
        await broker.close()


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///a.db", "a.db"), ("sqlite:////var/a.db", "/var/a.db"), ("sqlite:///d/a%20b.db", "d/a b.db")],
)
def test_an_sqlite_url_names_a_file(url: str, path: str) -> None:
    assert sqlite_path(url) == path


@pytest.mark.parametrize(
    "url",
    ["sqlite://a.db", "sqlite:///", "sqlite://", "sqlite:///d/", "sqlite:///:memory:", "sqlite:///a.db?x=1", "x:"],
)
def test_another_shape_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///relative\.db"):
        sqlite_path(url)


def test_a_bad_sqlite_url_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"broker\.url"):
        build(BrokerSettings(url="sqlite://a.db"))


def _run_out_of_lease(settings: BrokerSettings) -> None:
    """Age every lease, as a clock that jumped or a process that slept would find it."""
    other = sqlite3.connect(sqlite_path(settings.url), timeout=10)
    with other:
        other.execute("update gridsidecar_messages set visible_at = 0 where ready = 0")
    other.close()
    os.utime(sqlite_path(settings.url))


async def _idle(broker: object) -> bool:
    return bool(await broker.ready_count() == 0)  # type: ignore[attr-defined]


LOG_GREW = "SQLite's write-ahead log has grown large; end whoever reads the file without a pause"


async def test_a_reader_that_stays_is_told_of_and_its_traces_go_with_it(
    settings: BrokerSettings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "LARGE", 32 * 1024 * 1024)
    monkeypatch.setattr(logging.getLogger("gridsidecar"), "propagate", True)
    caplog.set_level("WARNING", "gridsidecar")
    path = sqlite_path(settings.url)
    log = Path(f"{path}-wal")
    async with opened(settings) as broker:
        await broker.publish(message(b"first"))
        with contextlib.closing(sqlite3.connect(path)) as reader:
            reader.execute("begin")
            reader.execute("select count(*) from gridsidecar_messages").fetchone()
            for _ in range(2 * wal.EVERY):
                await broker.publish(message(b"x" * 200_000))
            assert log.stat().st_size > wal.KEPT
        assert [record.message for record in caplog.records].count(LOG_GREW) == 1
        for _ in range(3):
            await broker.publish(message(b"last"))
        assert log.stat().st_size <= wal.KEPT


async def test_the_log_of_the_store_is_bounded_and_watched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "LARGE", 100_000)
    monkeypatch.setattr(logging.getLogger("gridsidecar"), "propagate", True)
    caplog.set_level("WARNING", "gridsidecar")
    path = str(tmp_path / "store.db")
    database = SQLiteDatabase(f"sqlite:///{path}", TableNames("tasks"))
    write = Query.of("write", "INSERT INTO big VALUES (:text)")
    await database.open()
    try:
        await database.batch([(Query.of("make", "CREATE TABLE big (text TEXT)"), {})])
        assert await database.fetch(Query.of("look", "PRAGMA journal_size_limit"), {}) == [
            {"journal_size_limit": wal.KEPT}
        ]
        with contextlib.closing(sqlite3.connect(path)) as reader:
            reader.execute("begin")
            reader.execute("select count(*) from big").fetchone()
            for _ in range(wal.EVERY):
                await database.batch([(write, {"text": "x" * 1000})])
        assert [record.message for record in caplog.records].count(LOG_GREW) == 1
    finally:
        await database.close()
