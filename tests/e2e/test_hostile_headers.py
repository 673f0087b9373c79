"""Headers that no sane producer sends must not cost a task, nor its neighbours."""

from __future__ import annotations

import sys
from typing import Any

import pika
import pytest

from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.waiting import eventually


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


HEADERS = {
    "bytes": {"trace": b"abc"},
    "deep": nested(700),
    "nearly a frame": {"big": "x" * 130_000},
}


def sent(place: Place, body: bytes, headers: dict[str, Any]) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)  # the client encodes nested tables by recursion
    try:
        with place.channel() as channel:
            channel.queue_declare(place.queue, durable=True)
            channel.basic_publish("", place.queue, body, pika.BasicProperties(delivery_mode=2, headers=headers))
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", ["bytes", "deep", "nearly a frame"])
async def test_a_task_with_odd_headers_is_retried_like_any_other(place: Place, start: Start, name: str) -> None:
    start(place.config({"default": place.job("flaky", 2)}, retry={"max_retries": 1, "delay": 1}))
    sent(place, b'{"task_id": "odd"}', HEADERS[name])
    await place.publish({"task_id": "innocent"})
    await eventually(lambda: place.all_ended(2), timeout=30)
    assert place.statuses() == {"success": 2}


@pytest.mark.parametrize("name", ["bytes", "deep", "nearly a frame"])
async def test_a_bad_message_with_odd_headers_is_dead_lettered(place: Place, start: Start, name: str) -> None:
    start(place.config({"default": place.job("done")}))
    sent(place, b"not json", HEADERS[name])
    await place.publish({"task_id": "innocent"})
    await eventually(lambda: place.status("innocent") == "success", timeout=30)
    await eventually(lambda: len(place.dead_letters()) == 1)


async def test_a_handed_off_task_with_odd_headers_comes_back(place: Place, start: Start) -> None:
    config = place.config(
        {"default": place.handler("sh", "-c", "[ $GRIDSIDECAR_ATTEMPT -gt 1 ] || sleep 100")},
        worker={"concurrency": 3, "lease": 2},
        broker={"consumer_timeout": 4},
    )
    first = start(config)
    sent(place, b'{"task_id": "odd"}', HEADERS["bytes"])
    await place.publish({"task_id": "b1"}, {"task_id": "b2"})
    await eventually(lambda: [row["handed_off"] for row in place.rows().values()] == [1, 1, 1], timeout=30)
    first.die()
    start(config)
    await eventually(lambda: place.all_ended(3), timeout=60)
    assert place.statuses() == {"success": 3}
