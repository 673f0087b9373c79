"""Dead letters as RabbitMQ has them: put there by itself, or held by somebody who goes away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pika  # type: ignore[import-untyped]
import pytest
from pika.adapters.blocking_connection import BlockingChannel  # type: ignore[import-untyped]

from gridsidecar.broker import Broker
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import BrokerUnavailable
from tests.broker.bench import build, message, opened
from tests.support import services
from tests.support.waiting import eventually


@pytest.fixture
def settings(amqp_url: str, queue: str) -> BrokerSettings:
    return BrokerSettings(url=amqp_url, queue=queue, queue_type=services.queue_type())


@pytest.fixture
def server(amqp_url: str) -> Iterator[BlockingChannel]:
    """A channel of somebody else's, to arrange things on the server."""
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        yield connection.channel()


async def test_what_the_broker_put_away_itself_says_so(settings: BrokerSettings, server: BlockingChannel) -> None:
    server.queue_declare(settings.dead_letters, durable=True)
    arguments = {
        "x-message-ttl": 1,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": settings.dead_letters,
    }
    server.queue_declare(settings.queue, durable=True, arguments=arguments)
    server.basic_publish("", settings.queue, b"old", pika.BasicProperties(headers={"mine": 1}))
    async with opened(settings) as broker:
        await eventually(lambda: _dead(broker, 1))
        async with broker.dead_letters() as letters:
            letter = await anext(letters)
    assert (letter.message.body, letter.message.headers) == (b"old", {"mine": 1})
    assert (letter.reason, letter.queue) == ("expired", settings.queue)
    assert letter.time is not None
    assert abs(datetime.now(UTC) - letter.time) < timedelta(minutes=5)


async def test_who_goes_away_while_looking_leaves_all_in_place(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        for number in range(4):
            await broker.dead_letter(message(b"%d" % number), "bad")
        await eventually(lambda: _dead(broker, 4))
        gone = build(settings)
        async with gone.dead_letters() as letters:
            await (await anext(letters)).remove()
            second = await anext(letters)
            await gone.close()
            with pytest.raises(BrokerUnavailable):
                await second.remove()
        await eventually(lambda: _dead(broker, 3))
        async with broker.dead_letters() as letters:
            assert [letter.message.body async for letter in letters] == [b"1", b"2", b"3"]


async def _dead(broker: Broker, count: int) -> bool:
    return (await broker.info()).dead == count
