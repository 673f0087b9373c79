"""A worker's API answers while its tasks run as fast as they can."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice

import httpx
import pika  # type: ignore[import-untyped]
import pytest

from benchmarks.rates import percentile
from benchmarks.settings import HANDLERS
from tests.e2e.conftest import Start
from tests.e2e.test_http import listens
from tests.support.place import Place
from tests.support.waiting import eventually

ASKED = 60  # times, each question
PAUSE = 0.02  # seconds between an answer and the next question
LONGEST = 2.0  # seconds, p95; on a quiet machine of two cores it is a tenth of that


@pytest.mark.alone
@pytest.mark.timeout(180)
async def test_a_busy_worker_answers_soon(place: Place, start: Start) -> None:
    warm = place.handler(sys.executable, HANDLERS / "noop.py", mode="persistent", persistent={"processes": 16})
    sections = {"worker": {"concurrency": 16}, "http": {"listen": "127.0.0.1:0"}, "log": {"level": "INFO"}}
    worker = start(place.config({"default": warm}, **sections))
    await worker.ready()
    with fed(place):
        await eventually(lambda: place.statuses().get("success", 0) > 500, timeout=60)
        async with httpx.AsyncClient(base_url=listens(worker.text), timeout=60, verify=False) as client:
            questions: dict[str, Callable[[int], Awaitable[httpx.Response]]] = {
                "GET /v1/tasks": lambda _: client.get("/v1/tasks?limit=50"),
                "GET /v1/stats": lambda _: client.get("/v1/stats"),
                "POST /v1/tasks": lambda number: client.post("/v1/tasks", json={"task_id": f"new{number}"}),
            }
            took = dict(zip(questions, await asyncio.gather(*map(_asked, questions.values())), strict=True))
        assert place.left() > 0, "there was work all the while"
    shown = {
        name: f"p50 {percentile(times, 0.5):.3f}, p95 {percentile(times, 0.95):.3f} s" for name, times in took.items()
    }
    print(shown)
    assert max(percentile(times, 0.95) for times in took.values()) < LONGEST, shown
    worker.terminate()
    assert await worker.ended() == 0


@contextmanager
def fed(place: Place) -> Iterator[None]:
    """Its queue always holds some hundreds of tasks."""
    over = threading.Event()

    def feed() -> None:
        with place.channel() as channel:
            place.declare(channel)
            numbers = count()
            while not over.wait(0.02):
                if channel.queue_declare(place.queue, passive=True).method.message_count < 500:
                    for number in islice(numbers, 500):
                        body = b'{"task_id": "t%d", "data": {}}' % number
                        channel.basic_publish("", place.queue, body, pika.BasicProperties(delivery_mode=2))

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        yield
    finally:
        over.set()
        feeding.join()


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
