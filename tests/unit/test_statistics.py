"""The line of figures: what it counts, what it leaves out, and that it holds nobody up."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.errors import BrokerUnavailable
from gridsidecar.metrics.statistics import BACKLOG_LIMIT, Statistics
from gridsidecar.rules.task import Status, TaskUpdate
from gridsidecar.runtime.health import Vitals
from tests.support.waiting import eventually

NEVER = 3600.0


class Lines:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    @property
    def fields(self) -> list[dict[str, Any]]:
        """Of each line of figures so far."""
        records = [record for record in self._caplog.records if record.getMessage() == "statistics"]
        return [vars(record)["fields"] for record in records]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level("INFO", "gridsidecar")
    return Lines(caplog)


def update(status: Status, number: int = 0) -> TaskUpdate:
    return TaskUpdate(task_id=f"t{number}", task_type="default", status=status, attempt=1)


async def forty() -> int:
    return 40


async def test_each_end_is_counted_under_its_name(lines: Lines) -> None:
    statistics = Statistics(SystemClock(), NEVER, lambda: 2, forty)
    counts = {Status.SUCCESS: 5, Status.FAILED: 2, Status.RETRYING: 3, Status.CANCELLED: 1, Status.PENDING: 4}
    for status, count in counts.items():
        for number in range(count):
            statistics.hear(update(status, number))
    await statistics.stop()
    (line,) = lines.fields
    assert list(line)[:3] == ["done", "failed", "retried"]
    assert 0 <= line.pop("uptime") < 60
    del line["per_minute"]
    assert line == {
        "done": 5,
        "failed": 2,
        "retried": 3,
        "cancelled": 1,
        "given_back": 4,
        "running": 2,
        "left": 40,
    }


async def test_a_run_without_anything_given_back_does_not_mention_it(lines: Lines) -> None:
    statistics = Statistics(SystemClock(), NEVER, lambda: 0, forty)
    await statistics.stop()
    assert "given_back" not in lines.fields[0]
    assert (lines.fields[0]["done"], lines.fields[0]["per_minute"]) == (0, 0.0)


async def test_lines_come_regularly_and_once_more_at_the_end(lines: Lines) -> None:
    statistics = Statistics(SystemClock(), 0.02, lambda: 0, forty)
    statistics.start(Vitals())
    statistics.hear(update(Status.SUCCESS))
    await eventually(lambda: len(lines.fields) >= 3)
    statistics.hear(update(Status.SUCCESS))
    await statistics.stop()
    told = len(lines.fields)
    assert [line["done"] for line in lines.fields] == [1] * (told - 1) + [2]
    await asyncio.sleep(0.1)
    assert len(lines.fields) == told, "no line after the last"


async def test_an_interval_of_0_leaves_the_line_at_the_end(lines: Lines) -> None:
    statistics = Statistics(SystemClock(), 0, lambda: 0, forty)
    statistics.start(Vitals())
    await asyncio.sleep(0.1)
    assert lines.fields == []
    await statistics.stop()
    assert len(lines.fields) == 1


async def test_the_pace_is_that_since_the_line_before_and_at_the_end_that_of_the_run(lines: Lines) -> None:
    began = time.monotonic()
    statistics = Statistics(SystemClock(), 0.2, lambda: 0, forty)
    created = time.monotonic()
    for status in (Status.SUCCESS, Status.FAILED, Status.CANCELLED, Status.RETRYING, Status.PENDING):
        statistics.hear(update(status))
    statistics.start(Vitals())
    await eventually(lambda: len(lines.fields) >= 2)
    first, second = lines.fields[:2]
    assert 0 < first["per_minute"] <= 3 * 60 / 0.2
    assert second["per_minute"] == 0, "nothing ended since the first"
    at_least = time.monotonic() - created
    await statistics.stop()
    at_most = time.monotonic() - began
    assert 3 * 60 / at_most - 0.1 <= lines.fields[-1]["per_minute"] <= 3 * 60 / at_least + 0.1


async def test_a_broker_that_is_away_costs_only_its_own_figure(lines: Lines) -> None:
    async def away() -> int:
        raise BrokerUnavailable("gone")

    await Statistics(SystemClock(), NEVER, lambda: 1, away).stop()
    assert "left" not in lines.fields[0]
    assert lines.fields[0]["running"] == 1


async def test_a_broker_that_hangs_does_not_hold_up_the_end(lines: Lines) -> None:
    async def hanging() -> int:
        return await asyncio.Future()

    began = time.monotonic()
    await Statistics(SystemClock(), NEVER, lambda: 0, hanging).stop()
    assert time.monotonic() - began < BACKLOG_LIMIT + 5
    assert "left" not in lines.fields[0]
