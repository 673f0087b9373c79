"""Clocks that jump by an hour: leases follow the database, limits and delays no wall clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pymysql
import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.services import private_mysql
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually
from tests.support.wall_clock import WallClock
from tests.support.web import reply, web_server

HOUR = 3600
LEASE = 6


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


def failures(place: Place) -> list[int]:
    return [row["failures"] for row in place.callbacks("told")]


def second_of_day(sidecar: Sidecar) -> int:
    """Of its last log line, by its own clock."""
    hours, minutes, seconds = sidecar.text.splitlines()[-1].split()[0].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(float(seconds))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
async def test_the_sidecars_clock_jumps(place: Place, start: Start, wall_clock: WallClock, jump: int) -> None:
    gate = place.folder / "gate"
    handlers = {
        "default": place.job("done"),
        "long": place.job("until", gate, timeout=0),
        "limited": place.job("until", place.folder / "never", timeout=10, kill_grace=1),
        "flaky": place.job("flaky", 2, retry={"max_retries": 1, "delay": 10}),
    }
    config = place.config(
        handlers, worker={"concurrency": 4, "lease": LEASE}, callbacks={"allow": ["127.0.0.1"], "timeout": 20}
    )
    async with web_server() as web:
        web.answer = reply(503)
        jumped = start(config, variables=wall_clock.variables)
        await jumped.ready()
        due = datetime.now(UTC) + timedelta(seconds=12)
        await place.publish(
            {"task_id": "long", "task_type": "long"},
            {"task_id": "limited", "task_type": "limited", "max_retry_count": 0},
            {"task_id": "flaky", "task_type": "flaky", "max_retry_count": 1},
            {"task_id": "until", "defer_until": due.isoformat()},
            {"task_id": "by", "defer_by": 12},
            {"task_id": "told", "callback_url": f"{web.url}/told"},
        )
        await eventually(lambda: place.status("flaky") == "retrying" and failures(place))
        await eventually(lambda: place.status("until") == place.status("by") == "pending")
        wall_clock.jump(jump)
        other = start(config)
        await other.ready()
        await place.publish({"task_id": "after"})
        await eventually(lambda: sum(failures(place)), timeout=60)
        web.answer = reply(200)
        await eventually(lambda: place.all_ended(6), timeout=60)
        await eventually(lambda: place.callbacks("told")[0]["delivered_at"], timeout=60)
    ahead = (second_of_day(jumped) - second_of_day(other)) % 86400
    assert abs(ahead - jump % 86400) < 600, "the jump was to be seen in its log"

    runs = {run.task_id: run for run in place.journal.runs()}
    assert runs["until"].started >= due.timestamp() - 0.002
    assert runs["until"].started < due.timestamp() + 30
    assert runs["by"].started < due.timestamp() + 30
    first, second = place.journal.of("flaky")
    assert 10 <= second.started - first.started < 40
    (attempt,) = place.attempts("limited")
    assert (attempt["error_type"], attempt["outcome"]) == ("TimeoutError", "failed")
    assert 9.5 < (attempt["ended_at"] - attempt["started_at"]).total_seconds() < 30

    await asyncio.sleep(2 * LEASE)  # both sidecars judge each other
    assert place.row("long")["attempt"] == 1
    gate.touch()
    await eventually(lambda: place.status("long") == "success")
    assert {task: row["crashes"] for task, row in place.rows().items() if row["crashes"]} == {}
    assert len(place.journal.started) == 8
    assert place.journal.overlaps() == []
    for sidecar in (jumped, other):
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.left() == 0


@pytest.mark.timeout(180)
async def test_the_databases_clock_jumps_forward(
    amqp_url: str,
    queue: str,
    tmp_path: Path,
    start: Start,
    wall_clock: WallClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All leases look expired at once; who renews on time is judged dead by nobody for longer than a moment."""
    with monkeypatch.context() as environment:
        for name, value in wall_clock.variables.items():
            environment.setenv(name, value)
        server = private_mysql(as_installed=True)  # one in a folder of its own has no such library
        server.start()
    try:
        with pymysql.connect(host="127.0.0.1", port=server.port, user="root") as connection:
            cursor = connection.cursor()
            cursor.execute("create database gs character set utf8mb4")
            place = Place(amqp_url, f"{server.url}gs", queue, tmp_path)
            gate = place.folder / "gate"
            handlers = {"default": place.job("until", gate, timeout=0)}
            config = place.config(handlers, worker={"concurrency": 4, "lease": LEASE}, retry={"max_retries": 1})
            sidecars = [start(config), start(config)]
            for sidecar in sidecars:
                await sidecar.ready()
            await place.publish(*({"task_id": f"t{number}"} for number in range(6)), {"task_id": "d", "defer_by": 600})
            await eventually(lambda: len(place.journal.started) == 6)
            await eventually(lambda: place.status("d") == "pending")
            await asyncio.sleep(LEASE)  # both have renewed and trust their judgement
            cursor.execute("select unix_timestamp()")
            (before,) = cursor.fetchone()
            wall_clock.jump(HOUR)
            cursor.execute("select unix_timestamp()")
            (after,) = cursor.fetchone()
            assert HOUR <= after - before < HOUR + 60, "the database's clock was to jump"
            await asyncio.sleep(2 * LEASE)
            gate.touch()
            await eventually(lambda: place.all_ended(7), timeout=60)
            crashes = sum(row["crashes"] for row in place.rows().values())
            print(f"rescued though alive: {crashes}, runs: {len(place.journal.started)}, {place.statuses()}")
            assert place.statuses() == {"success": 7}, "a task was lost or failed"
            rescued = {task_id for task_id, row in place.rows().items() if row["crashes"]}
            assert {first.task_id for first, _ in place.journal.overlaps()} <= rescued
            for task_id in place.rows():
                history = place.attempts(task_id)
                assert [entry["outcome"] for entry in history].count("success") == 1
                assert [entry["outcome"] for entry in history][-1] == "success"
                assert all(one["attempt"] < two["attempt"] for one, two in pairwise(history))
            for sidecar in sidecars:
                sidecar.terminate()
                assert await sidecar.ended() == 0
    finally:
        server.close()
