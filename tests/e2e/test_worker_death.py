"""Sidecars die without a word: no task is lost, none runs twice at a time, each ends once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

SEED = 20


def die(place: Place, sidecar: Sidecar) -> int:
    """As a pod does, with all that runs in it; how many handlers died as well."""
    handlers = sidecar.die()
    place.journal.note_killed(handlers)
    return len(handlers)


def assert_each_ended_once(place: Place, count: int) -> None:
    assert place.statuses() == {"success": count}
    assert place.journal.overlaps() == []
    finished = [run.task_id for run in place.journal.runs() if run.finished]
    assert set(finished) == {f"t{index}" for index in range(count)}
    for task_id, row in place.rows().items():
        history = [entry["outcome"] for entry in place.attempts(task_id)]
        assert history == ["lost"] * row["crashes"] + ["success"]
        assert row["attempt"] == row["crashes"] + 1
        assert row["retry_count"] == 0


@pytest.mark.timeout(240)
async def test_a_hundred_and_fifty_tasks_survive_six_killed_sidecars(place: Place, start: Start) -> None:
    config: dict[str, Any] = place.config(
        {"default": place.job("for", 0.4)}, worker={"concurrency": 2, "lease": 3, "max_crashes": 10}
    )
    chance = random.Random(SEED)
    sidecars = [start(config) for _ in range(3)]
    for sidecar in sidecars:
        await sidecar.ready()
    await place.publish(*({"task_id": f"t{index}"} for index in range(150)))
    died_with_it = 0
    for kill in range(6):
        victim = chance.randrange(3)
        finished = 10 + 20 * kill
        await eventually(
            lambda enough=finished: len(place.journal.ended) >= enough,  # type: ignore[misc]
            timeout=60,
        )
        await eventually(sidecars[victim].handlers)
        died_with_it += die(place, sidecars[victim])
        sidecars[victim] = start(config)
    await eventually(lambda: place.all_ended(150), timeout=90, interval=0.2)
    await eventually(lambda: place.left() == 0, timeout=30, interval=0.2)
    for sidecar in sidecars:
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert died_with_it >= 6
    assert sum(row["crashes"] for row in place.rows().values()) > 0
    assert_each_ended_once(place, 150)


@pytest.mark.timeout(300)
async def test_deaths_in_the_middle_of_claims_and_commits_lose_nothing(any_place: Place, start: Start) -> None:
    """Tasks so short that most of the time one is being claimed, committed or acked when the sidecar dies."""
    place = any_place
    config = place.config(
        {"default": place.job("done"), "flaky": place.job("flaky", 2, retry={"max_retries": 20, "delay": 0})},
        worker={"concurrency": 8, "lease": 1, "max_crashes": 20},
    )
    kinds = ["default", "default", "flaky"]
    await place.publish(*({"task_id": f"t{index}", "task_type": kinds[index % 3]} for index in range(400)))
    chance = random.Random(SEED)
    for _ in range(5):
        sidecar = start(config)
        before = len(place.journal.started)
        await eventually(lambda least=before: len(place.journal.started) > least, timeout=30)  # type: ignore[misc]
        await asyncio.sleep(chance.uniform(0, 0.15))  # not a wait: the moment of death is to be anywhere
        die(place, sidecar)
    last = start(config)
    await eventually(lambda: place.all_ended(400), timeout=180, interval=0.2)
    await eventually(lambda: place.left() == 0, timeout=40, interval=0.2)
    last.terminate()
    assert await last.ended() == 0
    assert place.statuses() == {"success": 400}
    assert place.journal.overlaps() == []
    for task_id, row in place.rows().items():
        outcomes = [entry["outcome"] for entry in place.attempts(task_id)]
        assert outcomes[-1] == "success"
        assert outcomes.count("success") == 1
        assert outcomes.count("failed") == row["retry_count"]
        assert outcomes.count("lost") == row["crashes"]


@pytest.mark.timeout(120)
async def test_another_sidecar_takes_over_from_a_dead_one(any_place: Place, start: Start) -> None:
    place = any_place
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"concurrency": 2, "lease": 2})
    first = start(config)
    await place.publish(*({"task_id": f"t{index}"} for index in range(4)))
    await eventually(lambda: len(place.journal.started) == 2)
    assert die(place, first) == 2
    gate.touch()
    second = start(config)
    await eventually(lambda: place.all_ended(4), timeout=60, interval=0.1)
    await eventually(lambda: place.left() == 0, timeout=30, interval=0.1)
    second.terminate()
    assert await second.ended() == 0
    assert sorted(row["crashes"] for row in place.rows().values()) == [0, 0, 1, 1]
    assert_each_ended_once(place, 4)


@pytest.mark.timeout(120)
async def test_a_task_that_kills_its_worker_ends_as_worker_lost(place: Place, start: Start) -> None:
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"lease": 1, "max_crashes": 2})
    await place.publish({"task_id": "deadly", "max_retry_count": 5})
    for attempt in range(1, 4):
        sidecar = start(config)
        await eventually(lambda enough=attempt: len(place.journal.started) == enough, timeout=30)  # type: ignore[misc]
        die(place, sidecar)
    start(config)
    await eventually(lambda: place.status("deadly") == "failed", timeout=30)
    row = place.row("deadly")
    assert (row["error_type"], row["attempt"], row["crashes"], row["retry_count"]) == ("WorkerLost", 3, 3, 0)
    assert "max_crashes" in row["error_message"]
    assert [entry["outcome"] for entry in place.attempts("deadly")] == ["lost"] * 3
    assert place.journal.overlaps() == []


@pytest.mark.timeout(120)
async def test_a_handler_that_outlives_its_killed_sidecar_decides_nothing(place: Place, start: Start) -> None:
    """On a bare host a handler survives the daemon. Its task runs again, and only that run counts."""
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"lease": 1})
    first = start(config)
    await place.publish({"task_id": "t0"})
    await eventually(lambda: place.journal.started)
    first.kill()
    second = start(config)
    await eventually(lambda: len(place.journal.started) == 2, timeout=30)
    gate.touch()
    await eventually(lambda: place.status("t0") == "success")
    await eventually(lambda: len(place.journal.ended) == 2)
    second.terminate()
    assert await second.ended() == 0
    assert place.row("t0")["attempt"] == 2
    assert [entry["outcome"] for entry in place.attempts("t0")] == ["lost", "success"]
    assert second.text.count("task taken over from a dead worker  task_id=t0 attempt=1 worker=") == 1
