"""What RabbitMQ says when it refuses, and what we make of it: its own words, then advice that fits."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import pika  # type: ignore[import-untyped]
import pytest

from gridsidecar.broker import Broker
from gridsidecar.broker.advice import advice, words
from gridsidecar.broker.inspection import Inspection
from gridsidecar.config.settings import BrokerSettings, Settings
from gridsidecar.doctor.broker import BrokerArea
from gridsidecar.errors import AccessRefused, GridSidecarError
from gridsidecar.telemetry import Readiness
from tests.broker.bench import build, consuming, message
from tests.support import services
from tests.support.servers import RabbitMQ
from tests.support.waiting import eventually

LONG = "任务" * 38 + "列"  # 77 characters, 231 bytes


@pytest.fixture(scope="module")
def server() -> Iterator[RabbitMQ]:
    """One whose limits are ours to set."""
    with services.private_rabbitmq() as server:
        yield server


@contextmanager
def limited(server: RabbitMQ, *words: str) -> Iterator[None]:
    server.control(*words)
    try:
        yield
    finally:
        server.control(*words[:-1], re.sub(r"\d+", "-1", words[-1]))


@asynccontextmanager
async def broker(url: str, readiness: Readiness | None = None, **values: Any) -> AsyncIterator[Broker]:
    settings = BrokerSettings.model_validate({"url": url, "queue": "limited", **values})
    broker = build(settings, readiness)
    try:
        yield broker
    finally:
        await broker.close()


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (("set_vhost_limits", '{"max-connections": 0}'), r"connection limit \(0\) is reached; raise that limit"),
        (("set_user_limits", "guest", '{"max-connections": 0}'), "connection limit .* is reached; raise that limit"),
        (("set_user_limits", "guest", '{"max-channels": 0}'), "number of channels .*; raise the limit of channels"),
        (("set_vhost_limits", '{"max-queues": 0}'), r"queue limit in vhost .*; raise max-queues"),
    ],
    ids=["connections", "connections of a user", "channels", "queues"],
)
async def test_at_a_limit_the_server_says_which(server: RabbitMQ, limit: tuple[str, ...], words: str) -> None:
    with limited(server, *limit):
        async with broker(server.url) as ours:
            with pytest.raises(AccessRefused, match=words):
                await ours.open()


async def test_at_the_limit_of_queues_nothing_else_is_blamed(server: RabbitMQ) -> None:
    sections = {"store": {"url": "sqlite:///x.db"}, "handlers": {"default": {"command": ["true"]}}}
    missing = Settings.model_validate({"broker": {"url": server.url, "queue": "missing"}, **sections})
    async with broker(server.url) as ours:
        await ours.open()
        with limited(server, "set_vhost_limits", '{"max-queues": 0}'):
            for refused in (
                ours.publish_delayed(message(), 5),
                ours.ensure_dead_letters(),
                ours.send("another", message()),
            ):
                with pytest.raises(GridSidecarError, match=r"queue limit in vhost .*; raise max-queues") as caught:
                    await refused
                assert "empty" not in str(caught.value)
            area = BrokerArea(missing)
            try:
                told = {check.id: (await check.examine()).advice for check in area.checks() if check.id in FOUND}
            finally:
                await area.close()
    assert told == dict.fromkeys(FOUND, "raise max-queues of the virtual host, or delete queues that nobody needs")


FOUND = ("broker.queue", "broker.delays", "broker.dead_letters")


async def test_a_virtual_host_that_is_not_there_or_not_ours(server: RabbitMQ) -> None:
    server.control("add_vhost", "closed")
    server.control("add_user", "stranger", "secret")
    base = server.url.rpartition("/")[0]
    for url, told in (
        (f"{base}/nowhere", "vhost nowhere not found; correct the path"),
        (f"{base}/closed".replace("guest:guest", "stranger:secret"), "'closed' refused for user 'stranger'; give the"),
    ):
        async with broker(url) as ours:
            with pytest.raises(AccessRefused, match=told):
                await ours.open()


async def test_a_queue_that_another_consumer_has_to_itself(server: RabbitMQ) -> None:
    readiness = Readiness()
    with closing(pika.BlockingConnection(pika.URLParameters(server.url))) as connection:
        channel = connection.channel()
        channel.queue_declare("taken", durable=True)
        channel.basic_consume("taken", lambda *_: None, exclusive=True)
        async with broker(server.url, readiness, queue="taken") as ours, consuming(ours):
            await eventually(lambda: "broker" in readiness.reasons)
            assert "in exclusive use; another consumer has it to itself" in readiness.reasons["broker"]


async def test_a_missing_queue_with_a_long_name_is_a_missing_queue(server: RabbitMQ) -> None:
    """RabbitMQ cuts what it says after 255 bytes, inside of a character."""
    async with broker(server.url, queue=LONG) as ours:
        assert not (await ours.info()).exists
        with pytest.raises(GridSidecarError, match="does not exist"):
            await ours.purge()
        await ours.open()
        await ours.publish(message(b"1"))
        assert (await ours.info()).ready == 1


async def test_a_refusal_of_a_long_name_is_readable(server: RabbitMQ) -> None:
    server.control("add_user", "nobody", "secret")
    server.control("set_permissions", "nobody", "^$", "^$", "^$")
    url = server.url.replace("guest:guest", "nobody:secret")
    inspection = Inspection(BrokerSettings(url=url, queue=LONG))
    try:
        problem = await inspection.creatable(LONG)
        assert problem is not None
        assert problem.startswith("ACCESS_REFUSED - access to queue '任务任务")
        assert await inspection.creatable(LONG) == problem
    finally:
        await inspection.close()


def test_a_limit_of_the_whole_cluster_is_not_that_of_the_virtual_host() -> None:
    said = "PRECONDITION_FAILED - cannot declare queue 'tasks': queue limit in cluster (3) is reached"
    assert advice(said, "look").startswith("raise cluster_queue_limit of the broker")


def test_words_that_nobody_knows_are_told_as_they_are() -> None:
    assert (words("SOMETHING - new."), advice("SOMETHING - new.")) == ("SOMETHING - new", "")
    assert advice("SOMETHING - new.", "look") == "look"
