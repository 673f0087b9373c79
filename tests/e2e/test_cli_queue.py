"""`gridsidecar queue-info` and `purge-queue`, with no sidecar running."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.cli import Finished, gridsidecar, on_terminal
from tests.support.place import Place
from tests.support.waiting import eventually


@pytest.fixture
def place(any_place: Place) -> Place:
    config = any_place.config({"default": any_place.job("done")})
    (any_place.folder / "config.yaml").write_text(json.dumps(config))
    return any_place


def run(place: Place, *arguments: str) -> Finished:
    return gridsidecar(place.folder, *arguments)


def info(place: Place) -> dict[str, Any]:
    done = run(place, "queue-info", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def filled(place: Place) -> None:
    """Three messages that wait, one delayed, one dead."""
    rubbish = b"\x00"
    await place.publish_bodies(rubbish)
    await place.publish({"task_id": "later", "defer_by": 3000})
    done = run(place, "run", "--burst", "--burst-check-interval", "0.1")
    assert done.returncode == 0, done.stderr
    await place.publish({"task_id": "a"}, {"task_id": "b"}, {"task_id": "c"})
    await eventually(lambda: info(place)["ready"] == 3)


async def test_the_queue_is_counted(place: Place) -> None:
    await filled(place)
    counted = info(place)
    assert counted == {
        "queue": place.queue,
        "exists": True,
        "ready": 3,
        "unsettled": 0 if place.embedded else None,
        "consumers": None if place.embedded else 0,
        "delayed": counted["delayed"],
        "dead": 1,
        "dead_letter_queue": f"{place.queue}.dead",
    }
    assert {seconds: count for seconds, count in counted["delayed"].items() if count} == (
        {"3600": 1} if place.embedded else {"1800": 1}
    )
    done = run(place, "queue-info")
    words = [line.split() for line in done.stdout.splitlines()]
    assert ["ready", "3"] in words
    assert ["consumers", "unknown" if place.embedded else "0"] in words
    assert ["queue", place.queue] in words
    assert ["dead", "1", f"({place.queue}.dead)"] in words
    assert "guest:guest" not in done.stdout
    code, shown = on_terminal(place.folder, "queue-info")
    assert code == 0
    assert "1: 1 for up to" in shown


@pytest.mark.parametrize("command", ["queue-info", "purge-queue"])
def test_a_missing_queue_is_told_and_not_created(place: Place, command: str) -> None:
    for _ in range(2):
        done = run(place, command, *(["--yes"] if command == "purge-queue" else []))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"no queue {place.queue} on ")
        assert "guest:guest" not in done.stderr
    done = run(place, "queue-info", "--json")
    assert (done.returncode, json.loads(done.stdout)["exists"]) == (1, False)


async def test_purge_with_yes_removes_what_waits_and_nothing_else(place: Place) -> None:
    await filled(place)
    done = run(place, "purge-queue", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"queue": place.queue, "removed": 3})
    assert "1 delayed and 1 dead stay" in done.stderr
    await eventually(lambda: info(place)["ready"] == 0)
    left = info(place)
    assert (sum(left["delayed"].values()), left["dead"]) == (1, 1)
    assert "removed 0 messages" in run(place, "purge-queue", "--yes").stderr


async def test_purge_without_a_terminal_needs_yes(place: Place) -> None:
    await filled(place)
    done = run(place, "purge-queue")
    assert (done.returncode, done.stdout) == (64, "")
    assert "--yes" in done.stderr
    assert info(place)["ready"] == 3


async def test_purge_on_a_terminal_asks(place: Place) -> None:
    await filled(place)
    code, shown = on_terminal(place.folder, "purge-queue", answers={"for good?": ""})
    assert (code, "3 messages wait" in shown) == (1, True), shown
    code, _ = on_terminal(place.folder, "purge-queue", interrupt_at="for good?")
    assert code == 130
    assert info(place)["ready"] == 3
    code, shown = on_terminal(place.folder, "purge-queue", answers={"for good?": "y"})
    assert (code, "removed 3 messages" in shown) == (0, True)
    await eventually(lambda: info(place)["ready"] == 0)
