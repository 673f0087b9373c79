"""What a producer sends is what a handler gets and what the row keeps, whatever way a task takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually

ODD: dict[str, Any] = {
    "nul": "a\0b",
    "emoji": "😀 \U0010ffff",
    "quotes": "'\"\\%s:name`;--",
    "numbers": [0.1, -0.0, 1e300, 2**63, -(2**63), 123456789012345678901234567890],
    "nothing": [None, {}, [], "", False],
    "lines": "\n\r\t\u2028",
    "deep": [[[[[[[[[["x"]]]]]]]]]],
}
ECHO = r"""
import json, sys
task = json.loads(sys.stdin.readline())
for ours in ("gs", "type", "run", "max_retry_count"):
    del task[ours]
print(json.dumps({"gs": 1, "type": "result", "result": task}))
"""


async def test_odd_data_survives_the_whole_way(any_place: Place, start: Start) -> None:
    place = any_place
    task_id = "ödd '\"; ☃"
    task = {"task_id": task_id, "task_type": "x" * 100, "data": ODD, "tenant": ODD, "callback_data": ODD}
    sidecar = start(place.config({"default": place.handler("python3", "-S", "-c", ECHO)}))
    await place.publish(task)
    row = await eventually(lambda: ended(place, task_id))
    assert row["status"] == "success", row["error_message"]
    assert json.loads(row["result"]) == task
    assert json.loads(row["data"]) == ODD
    assert row["task_type"] == task["task_type"]
    assert json.loads(bytes(row["body"])) == task
    sidecar.terminate()
    assert await sidecar.ended() == 0


def ended(place: Place, task_id: str) -> dict[str, Any] | None:
    row = place.row(task_id)
    return row if row.get("completed_at") else None


async def test_ids_differ_byte_for_byte(any_place: Place, start: Start) -> None:
    place = any_place
    ids = ["a", "A", "ä", "a\u0308", "á", "a" * 255, "ａ", "0", "00"]
    start(place.config({"default": place.handler("true")}, worker={"concurrency": 4}))
    await place.publish(*({"task_id": task_id} for task_id in ids))
    await eventually(lambda: place.all_ended(len(ids)))
    assert sorted(place.rows()) == sorted(ids)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_body_and_properties_survive_delay_and_wake_up(place: Place, start: Start, queue_type: str) -> None:
    place.arguments.update({"x-queue-type": "quorum"} if queue_type == "quorum" else {})
    headers = {
        "tenant": "blue",
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "blob": b"\x00\xff",
        "nested": {"n": [1, None]},
    }
    sent = {"headers": headers, "correlation_id": "c1", "app_id": "shop", "content_type": "application/json"}
    config = place.config(
        {"default": place.job("exit", 1)}, retry={"max_retries": 1, "delay": 1}, broker={"queue_type": queue_type}
    )
    body = b'{ "task_id":"t",   "data":{"z":1,"a":2} }'
    sidecar = start(config)
    await place.publish_bodies(body, **sent)
    await eventually(lambda: place.status("t") == "retrying")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    await eventually(lambda: place.waiting() == 1)
    with place.channel() as channel:
        _, properties, got = channel.basic_get(place.queue)
    assert got == body
    assert (properties.correlation_id, properties.app_id) == ("c1", "shop")
    assert (properties.content_type, properties.delivery_mode) == ("application/json", 2)
    kept = {name: value for name, value in properties.headers.items() if name in headers}
    assert kept | {"when": kept["when"].replace(tzinfo=UTC)} == headers
    assert properties.headers["x-gridsidecar-attempt"] == 1


async def test_the_line_runs_on_quorum_queues(place: Place, start: Start) -> None:
    place.arguments["x-queue-type"] = "quorum"
    config = place.config(
        {"default": place.job("done"), "flaky": place.job("flaky", 2)},
        broker={"queue_type": "quorum"},
        retry={"max_retries": 2, "delay": 1},
        worker={"concurrency": 4},
    )
    sidecar = start(config)
    await place.publish(
        *({"task_id": f"t{index}"} for index in range(20)),
        *({"task_id": f"f{index}", "task_type": "flaky"} for index in range(5)),
        {"task_id": "deferred", "defer_by": 1},
    )
    await eventually(lambda: place.all_ended(26), timeout=40)
    assert place.statuses() == {"success": 26}
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert len(place.journal.started) == 31
    assert place.left() == 0


async def test_many_copies_of_one_message_run_it_once(any_place: Place, start: Start) -> None:
    place = any_place
    config = place.config({"default": place.job("for", 0.2)}, worker={"concurrency": 4, "lease": 2})
    sidecars = [start(config), start(config)]
    for sidecar in sidecars:
        await sidecar.ready()
    await place.publish(*({"task_id": f"t{index % 3}"} for index in range(60)))
    await eventually(lambda: place.left() == 0, timeout=40, interval=0.1)
    for sidecar in sidecars:
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 3}
    assert sorted(place.journal.started) == ["t0", "t1", "t2"]


@pytest.mark.parametrize("size", [1, 15])
async def test_a_large_message_gets_through_or_is_refused_and_holds_up_nobody(
    any_place: Place, start: Start, size: int
) -> None:
    """Sizes in MiB. A database takes no statement beyond its own limit, and there are such limits everywhere."""
    place = any_place
    sidecar = start(place.config({"default": place.job("done")}, worker={"concurrency": 2}))
    await sidecar.ready()
    large = {"task_id": "large", "data": "x" * size * 2**20}
    await place.publish(large, *({"task_id": f"t{index}"} for index in range(5)))
    await eventually(lambda: all(place.status(f"t{index}") == "success" for index in range(5)), timeout=30)
    refused = await eventually(lambda: place.status("large") == "success" or place.dead_letters())
    if refused is not True:
        assert json.loads(refused[0][0]) == large
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0
