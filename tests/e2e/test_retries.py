"""Failed attempts: how many there are, how far apart, and what the row says in the end."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually


def gaps(place: Place, task_id: str) -> list[float]:
    """Seconds from the end of one run to the start of the next."""
    runs = place.journal.of(task_id)
    return [second.started - (first.ended or 0) for first, second in pairwise(runs)]


def error_event(**fields: Any) -> str:
    return json.dumps({"gs": 1, "type": "error", "error": "no luck", "error_type": "Unlucky", **fields})


async def test_a_task_is_retried_until_it_succeeds(any_place: Place, start: Start) -> None:
    place = any_place
    config = place.config({"default": place.job("flaky", 3)}, retry={"max_retries": 5, "delay": 1})
    sidecar = start(config)
    await place.publish({"task_id": "t", "data": {"kept": "✓"}})
    await eventually(lambda: place.status("t") == "retrying")
    await eventually(lambda: place.status("t") == "success", timeout=30)
    row = place.row("t")
    assert (row["attempt"], row["retry_count"], row["max_retry_count"], row["crashes"]) == (3, 2, 5, 0)
    assert row["error_message"] is None
    assert [entry["outcome"] for entry in place.attempts("t")] == ["failed", "failed", "success"]
    assert [entry["error_message"] for entry in place.attempts("t")] == ["not yet", "not yet", None]
    assert all(gap >= 1 for gap in gaps(place, "t")), gaps(place, "t")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


async def test_exponential_gaps_double_up_to_their_limit(any_place: Place, start: Start) -> None:
    place = any_place
    retry = {"max_retries": 3, "strategy": "exponential", "delay": 0.75, "max_delay": 2}
    sidecar = start(place.config({"default": place.job("exit", 1)}, retry=retry))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "failed", timeout=40)
    said = [float(seconds) for seconds in re.findall(r"retry_in=(\S+)", sidecar.text)]
    assert said == [0.75, 1.5, 2]
    assert all(gap >= least for gap, least in zip(gaps(place, "t"), said, strict=True)), gaps(place, "t")


async def test_a_handler_may_say_when_to_try_again(place: Place, start: Start) -> None:
    handler = place.job("say", error_event(retry_after_s=1.5))
    start(place.config({"default": handler}, retry={"max_retries": 1, "delay": 60}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "failed")
    (gap,) = gaps(place, "t")
    assert gap >= 1.5


async def test_retries_that_run_out_name_the_last_error(place: Place, start: Start) -> None:
    start(place.config({"default": place.job("say", error_event())}, retry={"max_retries": 1, "delay": 0}))
    await place.publish({"task_id": "t"}, {"task_id": "single", "max_retry_count": 0})
    await eventually(lambda: place.all_ended(2))
    row = place.row("t")
    assert (row["status"], row["error_type"], row["last_error_type"]) == ("failed", "RetryExhausted", "Unlucky")
    assert (row["error_message"], row["attempt"], row["retry_count"]) == ("no luck", 2, 1)
    assert [entry["error_type"] for entry in place.attempts("t")] == ["Unlucky", "Unlucky"]
    single = place.row("single")
    assert (single["error_type"], single["last_error_type"], single["attempt"]) == ("Unlucky", None, 1)


@pytest.mark.parametrize(
    "ending", [("exit", 65), ("say", error_event(retryable=False))], ids=["exit status 65", "retryable false"]
)
async def test_a_permanent_error_is_not_retried(place: Place, start: Start, ending: tuple[str, Any]) -> None:
    sidecar = start(place.config({"default": place.job(*ending)}, retry={"max_retries": 3, "delay": 0}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "failed")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    row = place.row("t")
    assert (row["attempt"], row["retry_count"], row["last_error_type"]) == (1, 0, None)
    assert row["error_type"] == ("HandlerExit" if ending[0] == "exit" else "Unlucky")
    assert place.left() == 0


async def test_the_message_wins_over_the_handler_and_the_handler_over_the_policy(place: Place, start: Start) -> None:
    handlers = {
        "default": place.job("exit", 1),
        "own": place.job("exit", 1, retry={"max_retries": 2, "delay": 0}),
    }
    start(place.config(handlers, retry={"max_retries": 1, "delay": 0}, worker={"concurrency": 4}))
    await place.publish(
        {"task_id": "policy"},
        {"task_id": "handler", "task_type": "own"},
        {"task_id": "message", "task_type": "own", "max_retry_count": 0},
        {"task_id": "message-more", "max_retry_count": 3},
    )
    await eventually(lambda: place.all_ended(4), timeout=40)
    attempts = {task_id: row["attempt"] for task_id, row in place.rows().items()}
    assert attempts == {"policy": 2, "handler": 3, "message": 1, "message-more": 4}
    limits = {task_id: row["max_retry_count"] for task_id, row in place.rows().items()}
    assert limits == {"policy": 1, "handler": 2, "message": 0, "message-more": 3}


async def test_timeouts_of_handler_and_message_end_an_attempt(any_place: Place, start: Start) -> None:
    place = any_place
    never = place.folder / "never"
    handlers = {
        "default": place.job("until", never, timeout=300),
        "short": place.job("until", never, timeout=0.5),
        "deaf": place.job("stubborn", never, timeout=0.5, kill_grace=0.5),
    }
    start(place.config(handlers, worker={"concurrency": 3}))
    await place.publish(
        {"task_id": "by-message", "timeout": 0.5},
        {"task_id": "by-handler", "task_type": "short"},
        {"task_id": "by-force", "task_type": "deaf"},
    )
    await eventually(lambda: place.all_ended(3))
    for row in place.rows().values():
        assert (row["status"], row["error_type"]) == ("failed", "TimeoutError")
    assert "0.5 s" in place.row("by-message")["error_message"]
    assert place.journal.words("deaf") == ["by-force"]


async def test_a_retrying_task_survives_its_sidecar(any_place: Place, start: Start) -> None:
    """The delayed message is in the broker: whoever is there when it rings runs the task."""
    place = any_place
    config = place.config({"default": place.job("flaky", 2)}, retry={"max_retries": 1, "delay": 2})
    first = start(config)
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "retrying")
    first.terminate()
    assert await first.ended() == 0
    await eventually(lambda: place.left() == 1)  # it may move from one queue to the next while they are counted
    start(config)
    await eventually(lambda: place.status("t") == "success")
    assert place.journal.started == ["t", "t"]
    assert gaps(place, "t")[0] >= 2
