"""A worker's API answers while its tasks run as fast as they can."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import httpx
import pika  # type: ignore[import-untyped]
import pytest

from benchmarks.rates import percentile
from benchmarks.settings import HANDLERS
from tests.e2e.conftest import Start
from tests.e2e.test_http import listens
from tests.support.place import Place
from tests.support.waiting import eventually

TASKS = 20_000
ASKED = 120  # times, each question
PAUSE = 0.02  # seconds between an answer and the next question
LONGEST = 1.0  # seconds, p99; on a quiet machine of two cores it is a quarter of that


@pytest.mark.alone
@pytest.mark.timeout(180)
async def test_a_busy_worker_answers_soon(place: Place, start: Start) -> None:
    with place.channel() as channel:
        place.declare(channel)
        for number in range(TASKS):
            body = b'{"task_id": "t%d", "data": {}}' % number
            channel.basic_publish("", place.queue, body, pika.BasicProperties(delivery_mode=2))
    warm = place.handler(sys.executable, HANDLERS / "noop.py", mode="persistent", persistent={"processes": 16})
    worker = start(
        place.config(
            {"default": warm}, worker={"concurrency": 16}, http={"listen": "127.0.0.1:0"}, log={"level": "INFO"}
        )
    )
    await worker.ready()
    await eventually(lambda: place.statuses().get("success", 0) > 500, timeout=60)
    async with httpx.AsyncClient(base_url=listens(worker.text), timeout=60, verify=False) as client:
        questions: dict[str, Callable[[int], Awaitable[httpx.Response]]] = {
            "GET /v1/tasks": lambda _: client.get("/v1/tasks?limit=50"),
            "GET /v1/stats": lambda _: client.get("/v1/stats"),
            "POST /v1/tasks": lambda number: client.post("/v1/tasks", json={"task_id": f"new{number}"}),
        }
        took = dict(zip(questions, await asyncio.gather(*map(_asked, questions.values())), strict=True))
    left = place.left()
    p99 = {name: percentile(times, 0.99) for name, times in took.items()}
    print(
        {
            name: [round(1000 * one) for one in sorted(times)[-8:]] + [times.index(max(times))]
            for name, times in took.items()
        },
        left,
    )
    assert left > 0, "there was work all the while"
    assert max(p99.values()) < LONGEST, p99
    worker.terminate()
    assert await worker.ended() == 0


async def _asked(question: Callable[[int], Awaitable[httpx.Response]]) -> list[float]:
    """Seconds that each answer took."""
    took = []
    for number in range(ASKED):
        began = time.monotonic()
        response = await question(number)
        took.append(time.monotonic() - began)
        assert response.status_code in (200, 202)
        await asyncio.sleep(PAUSE)
    return took
