"""The producers of the Python SDK, on a real broker."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
import pytest

from tests.e2e.conftest import Start, place, start  # noqa: F401
from tests.support.place import Place
from tests.support.servers import RabbitMQ
from tests.support.services import private_rabbitmq

sys.path.insert(0, str(Path(__file__).parents[2] / "sdks" / "python"))
from gridsidecar_sdk import AsyncTaskProducer, NotSent, TaskProducer

SHAPES: dict[str, dict[str, Any]] = {
    "classic": {},
    "quorum": {"x-queue-type": "quorum"},
    "priorities": {"x-max-priority": 9},
    "with a limit": {"x-max-length": 100_000, "x-message-ttl": 3_600_000},
}


@pytest.fixture
def variables(amqp_url: str, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRID_ASYNC_TASK_AMQP_URL", amqp_url)
    monkeypatch.setenv("GRID_ASYNC_TASK_QUEUE", queue)


@pytest.fixture
def producer(variables: None) -> Iterator[TaskProducer]:
    with TaskProducer() as producer:
        yield producer


@pytest.fixture
async def asynchronous(variables: None) -> AsyncIterator[AsyncTaskProducer]:
    async with AsyncTaskProducer() as producer:
        yield producer


def bodies(at: Place, queue: str | None = None) -> list[dict[str, Any]]:
    return [json.loads(body) for body, _ in at.take(queue or at.queue)]


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_task(producer: TaskProducer, place: Place) -> None:  # noqa: F811
    until = datetime(2030, 1, 31, 8, tzinfo=UTC)
    given = {"task_type": "resize", "data": {"名": "图"}, "callback_url": "http://x/", "retry_count": 3}
    first = producer.send_task(given, priority=7, defer_by=timedelta(minutes=1), defer_until=until)
    assert "task_id" not in given
    second = producer.send_task({"task_id": "mine", "data": None, "priority": "high"})
    third = producer.send_task({"task_id": "mine"}, task_id="other")
    assert (second, third) == ("mine", "other")
    sent = place.take(place.queue)
    assert json.loads(sent[0][0]) == {
        **given,
        "task_id": first,
        "priority": 7,
        "defer_by": 60,
        "defer_until": "2030-01-31T08:00:00+00:00",
    }
    seen = [(properties["priority"], properties["delivery_mode"], properties["message_id"]) for _, properties in sent]
    assert seen == [(7, 2, first), (6, 2, "mine"), (None, 2, "other")]


LONG = {"text": "图 " * 5000}


async def test_compressed(variables: None, place: Place) -> None:  # noqa: F811
    with TaskProducer(compress=True) as producer:
        producer.batch_send_tasks([{"task_id": "a", "data": LONG}, {"task_id": "b", "data": 1}], priority=2)
    async with AsyncTaskProducer(compress=True) as asynchronous:
        await asynchronous.enqueue({"task_id": "c", "data": LONG}, priority=2)
    with TaskProducer() as producer:
        producer.send_task({"task_id": "d", "data": LONG}, priority=2)
    sent = place.take(place.queue)
    assert [properties["content_encoding"] for _, properties in sent] == ["gzip", None, "gzip", None]
    assert [len(body) < 300 for body, _ in sent] == [True, True, True, False]
    assert json.loads(gzip.decompress(sent[2][0])) == {"task_id": "c", "data": LONG, "priority": 2}


async def test_compressed_tasks_are_done(variables: None, place: Place, start: Start) -> None:  # noqa: F811
    with TaskProducer(compress=True) as producer:
        producer.send_task({"task_id": "t", "data": LONG})
    config = place.config({"default": {"command": ["wc", "-c"], "input": "data", "result_from": "stdout"}})
    await start({**config, "worker": {"burst": True, "burst_check_interval": 0.1}}).ended()
    assert place.row("t")["result"] == str(len(json.dumps(LONG, separators=(",", ":")) + "\n"))


def test_what_is_no_task(producer: TaskProducer) -> None:
    for wrong, wishes in (
        ("text", {}),
        ({}, {"priority": 10}),
        ({}, {"priority": "soon"}),
        ({}, {"defer_by": -1}),
        ({}, {"defer_until": datetime(2030, 1, 1)}),  # noqa: DTZ001
        ({"data": float("nan")}, {}),
        ({"data": object()}, {}),
    ):
        with pytest.raises((TypeError, ValueError)):
            producer.send_task(wrong, **wishes)  # type: ignore[arg-type]
    assert producer.get_declared_queues() == []


def test_queues(producer: TaskProducer, place: Place) -> None:  # noqa: F811
    answers = f"{place.queue}.answers"
    assert not producer.is_queue_declared(answers)
    assert producer.send_task_to_queue({"data": 1}, answers, task_id="a") == "a"
    producer.send_task({"data": 2}, queue_name=answers)
    producer.send_task({"data": 3})
    assert producer.is_queue_declared(answers)
    assert producer.get_declared_queues() == sorted([place.queue, answers])
    assert [each["data"] for each in bodies(place, answers)] == [1, 2]
    assert [each["data"] for each in bodies(place)] == [3]
    with TaskProducer(default_queue=answers) as other:
        other.send_task({"data": 4})
    assert [each["data"] for each in bodies(place, answers)] == [4]


def test_a_batch(producer: TaskProducer, place: Place) -> None:  # noqa: F811
    items = [{"data": 0}, {"task_data": {"data": 1}}, {"task_data": {"data": 2}, "task_id": "two"}]
    ids = producer.batch_send_tasks(items, priority=1)
    assert [(each["task_id"], each["data"], each["priority"]) for each in bodies(place)] == [
        (ids[0], 0, 1),
        (ids[1], 1, 1),
        ("two", 2, 1),
    ]


def test_a_thousand_tasks(producer: TaskProducer, place: Place) -> None:  # noqa: F811
    ids = producer.batch_send_tasks({"data": number} for number in range(1000))
    assert [each["task_id"] for each in bodies(place)] == ids
    assert len(set(ids)) == 1000


def test_many_threads(producer: TaskProducer, place: Place) -> None:  # noqa: F811
    crew = [threading.Thread(target=producer.batch_send_tasks, args=([{"data": each}] * 50,)) for each in range(4)]
    for each in crew:
        each.start()
    for each in crew:
        each.join()
    assert sorted(each["data"] for each in bodies(place)) == sorted([*range(4)] * 50)


async def test_asynchronously(asynchronous: AsyncTaskProducer, place: Place) -> None:  # noqa: F811
    first = await asynchronous.enqueue({"data": "first"}, priority=3, defer_by=1)
    ids = await asynchronous.enqueue_batch([{"task_data": {"data": number}} for number in range(1000)])
    await asyncio.gather(*(asynchronous.enqueue({"data": n}, queue_name=f"{place.queue}.answers") for n in range(50)))
    sent = place.take(place.queue)
    assert (json.loads(sent[0][0])["task_id"], sent[0][1]["priority"]) == (first, 3)
    assert [json.loads(body)["task_id"] for body, _ in sent[1:]] == ids
    assert sorted(each["data"] for each in bodies(place, f"{place.queue}.answers")) == [*range(50)]


# -- queues that are there, and those that are not ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_existing_queue_is_taken_as_it_is(variables: None, place: Place, shape: str) -> None:  # noqa: F811
    with place.channel() as channel:
        channel.queue_declare(place.queue, durable=True, arguments=SHAPES[shape])
    with TaskProducer() as producer:
        producer.send_task({"data": 1})
    async with AsyncTaskProducer() as asynchronous:
        await asynchronous.enqueue({"data": 2})
    assert [each["data"] for each in bodies(place)] == [1, 2]


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("GRIDSIDECAR_QUEUE_TYPE", "quorum", {"x-queue-type": "quorum"}),
        ("GRIDSIDECAR_MAX_PRIORITY", "9", {"x-max-priority": 9}),
        ("GRIDSIDECAR_QUEUE_TYPE", "classic", {}),
    ],
)
async def test_a_missing_queue_is_made(
    variables: None,
    place: Place,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    arguments: dict[str, Any],
) -> None:
    monkeypatch.setenv(name, value)
    answers = f"{place.queue}.answers"
    with TaskProducer() as producer:
        producer.send_task({"data": 1})
    async with AsyncTaskProducer() as asynchronous:
        await asynchronous.enqueue({"data": 1}, queue_name=answers)
    for queue in (place.queue, answers):
        with place.channel() as channel:
            channel.queue_declare(queue, durable=True, arguments=arguments)  # it would clash if it were another one


async def test_a_queue_that_was_deleted_is_made_again(
    producer: TaskProducer,
    asynchronous: AsyncTaskProducer,
    place: Place,  # noqa: F811
) -> None:
    for number in range(2):
        producer.send_task({"data": number})
        await asynchronous.enqueue({"data": number})
        assert [each["data"] for each in bodies(place)] == [number] * 2
        with place.channel() as channel:
            channel.queue_delete(place.queue)


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_producer_and_sidecar_agree(
    variables: None,
    place: Place,  # noqa: F811
    start: Start,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    queue_type: Any,
) -> None:
    """Whoever comes first."""
    monkeypatch.setenv("GRIDSIDECAR_QUEUE_TYPE", queue_type)
    place.queue_type = queue_type
    config = place.config({"default": place.job("say", '{"gs":1,"type":"result","result":1}')}, worker={"burst": True})
    for number in range(2):
        with TaskProducer() as producer:
            producer.send_task({"data": number}, task_id=f"t{number}")
        sidecar = start(config)
        await sidecar.ended()
        assert place.status(f"t{number}") == "success"


# -- a broker that goes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_broker() -> Iterator[RabbitMQ]:
    with private_rabbitmq() as broker:
        yield broker


def take_all(url: str, queue: str) -> list[str]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    found = []
    while (one := channel.basic_get(queue, auto_ack=True))[0] is not None:
        found.append(json.loads(one[2])["task_id"])
    connection.close()
    return found


async def sending(send: Callable[[str], Any], broker: RabbitMQ) -> list[str]:
    """Ids that were confirmed while the broker went and came back."""
    confirmed: list[str] = []
    back = asyncio.Event()

    async def go_on() -> None:
        number = 0
        while not back.is_set() or number % 50:
            await send(f"t{number}")
            confirmed.append(f"t{number}")
            number += 1

    going = asyncio.create_task(go_on())
    while len(confirmed) < 20:
        assert not going.done(), going
        await asyncio.sleep(0.01)
    await asyncio.to_thread(broker.restart)
    back.set()
    await going
    return confirmed


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_it_connects_again(own_broker: RabbitMQ, kind: str) -> None:
    queue = f"gs_{secrets.token_hex(4)}"
    if kind == "plain":
        with TaskProducer(queue, url=own_broker.url) as producer:
            confirmed = await sending(lambda one: asyncio.to_thread(producer.send_task, {"data": 1}, one), own_broker)
    else:
        async with AsyncTaskProducer(queue, url=own_broker.url) as asynchronous:
            confirmed = await sending(lambda one: asynchronous.enqueue({"data": 1}, one), own_broker)
    found = take_all(own_broker.url, queue)
    assert set(confirmed) <= set(found)
    assert len(confirmed) > 20


async def test_a_wrong_password_is_told_at_once(amqp_url: str) -> None:
    wrong = amqp_url.replace("guest:guest", "guest:wrong")
    with TaskProducer("q", url=wrong) as producer, pytest.raises(NotSent, match="not confirmed"):
        producer.send_task({"data": 1})
    with pytest.raises(NotSent, match="not confirmed"):
        await AsyncTaskProducer("q", url=wrong).enqueue({"data": 1})
