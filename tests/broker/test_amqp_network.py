"""RabbitMQ behind a network that fails: cut, half-open, refusing."""

from __future__ import annotations

import asyncio
import gc
import time

import aiormq
import pytest
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from gridsidecar.broker import Broker, publisher
from gridsidecar.broker.connection import BrokerConnection
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import BrokerUnavailable
from gridsidecar.telemetry import Readiness
from tests.broker.bench import Inbox, build, consuming, message, opened
from tests.support import services
from tests.support.proxy import proxied
from tests.support.waiting import eventually


@pytest.fixture
def settings(amqp_url: str, queue: str) -> BrokerSettings:
    return BrokerSettings(url=amqp_url, queue=queue, queue_type=services.queue_type())


def through(settings: BrokerSettings, url: str, **values: object) -> BrokerSettings:
    return settings.model_copy(update={"url": url, **values})


async def test_a_cut_connection_is_rebuilt_and_what_was_held_comes_back(settings: BrokerSettings) -> None:
    readiness = Readiness()
    async with (
        proxied(settings.url) as (proxy, url),
        opened(through(settings, url), readiness) as broker,
        consuming(broker) as inbox,
    ):
        await broker.publish(message(b"one"))
        held = await inbox.one()
        proxy.cut()
        again = (await inbox.get(2))[1]
        assert not held.alive
        await held.ack()  # must not reach the new channel, where the same tag is another delivery
        assert (again.message.body, again.redelivered, again.alive) == (b"one", True, True)
        await again.ack()
        await broker.publish(message(b"two"))
        assert (await inbox.get(3))[2].message.body == b"two"
        await inbox.deliveries[2].ack()
        assert not readiness.reasons


async def test_an_outage_is_waited_out(settings: BrokerSettings) -> None:
    readiness = Readiness()
    async with (
        proxied(settings.url) as (proxy, url),
        opened(through(settings, url), readiness) as broker,
        consuming(broker) as inbox,
    ):
        await proxy.refuse()
        await eventually(lambda: "broker" in readiness.reasons)
        with pytest.raises(BrokerUnavailable):
            await broker.publish(message())
        await proxy.listen()
        await eventually(lambda: not readiness.reasons)
        await broker.publish(message(b"two"))
        await broker.publish_delayed(message(b"three"), 1)
        await (await inbox.get(1))[0].ack()
        assert (await inbox.get(2))[1].message.body == b"three"
        await inbox.deliveries[1].ack()


@pytest.mark.alone
async def test_consuming_may_begin_during_an_outage_and_stop_in_it(settings: BrokerSettings) -> None:
    readiness = Readiness()
    broker = build(settings.model_copy(update={"url": "amqp://guest:guest@127.0.0.1:1/"}), readiness)
    async with consuming(broker):
        await eventually(lambda: "127.0.0.1:1" in readiness.reasons.get("broker", ""))
        async with asyncio.timeout(1):
            await broker.stop_consuming()
    await broker.close()


async def test_a_half_open_connection_is_noticed(settings: BrokerSettings) -> None:
    readiness = Readiness()
    async with (
        proxied(settings.url) as (proxy, url),
        opened(through(settings, url, heartbeat=1), readiness) as broker,
        consuming(broker) as inbox,
    ):
        await broker.publish(message(b"one"))
        held = await inbox.one()
        proxy.freeze()
        await eventually(lambda: not held.alive)
        proxy.heal()
        again = (await inbox.get(2, timeout=30))[1]
        assert (again.message.body, again.redelivered) == (b"one", True)
        await again.ack()


async def test_a_publish_that_is_not_confirmed_in_time_fails(
    settings: BrokerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_TIMEOUT", 0.5)
    async with proxied(settings.url) as (proxy, url), opened(through(settings, url)) as broker:
        await broker.publish(message())
        proxy.freeze()
        with pytest.raises(BrokerUnavailable, match="in time"):
            await broker.publish(message())
        proxy.heal()
        await broker.publish(message())


async def test_closing_is_bounded_when_the_broker_does_not_answer(settings: BrokerSettings) -> None:
    async with proxied(settings.url) as (proxy, url):
        broker = build(through(settings, url))
        await broker.open()
        inbox = Inbox(broker)
        running = asyncio.create_task(broker.consume(inbox.deliveries.append, 1))
        await broker.publish(message())
        await inbox.one()
        proxy.freeze()
        begin = time.monotonic()
        await broker.close()
        assert time.monotonic() - begin < 30
        await running
        proxy.heal()


async def test_a_frozen_broker_is_left_in_time_with_much_still_to_be_written(settings: BrokerSettings) -> None:
    async with proxied(settings.url) as (proxy, url):
        connection = BrokerConnection(through(settings, url), "test")
        channel = await (await connection.confirming_channel()).get_underlay_channel()
        assert isinstance(channel, aiormq.Channel)
        proxy.freeze()
        publishing = asyncio.create_task(channel.basic_publish(bytes(64 * 1024 * 1024), routing_key=settings.queue))
        await eventually(lambda: channel.delivery_tag == 1 and channel.connection.write_queue.empty())
        await asyncio.wait_for(connection.close(0.5), 30)
        with pytest.raises(CONNECTION_EXCEPTIONS):
            await publishing
        proxy.heal()


async def test_questions_leave_nothing_behind_on_their_connection(settings: BrokerSettings) -> None:
    def futures() -> int:
        gc.collect()
        return sum(isinstance(each, asyncio.Future) for each in gc.get_objects())

    async with opened(settings) as broker:
        await broker.info()  # most of the queues that it asks for are missing
        before = futures()
        for _ in range(10):
            await broker.info()
        assert futures() < before + 10


async def test_a_cancelled_publish_is_cancelled(settings: BrokerSettings) -> None:
    async with proxied(settings.url) as (proxy, url), opened(through(settings, url)) as broker:
        await broker.publish(message())
        proxy.freeze()
        publishing = asyncio.create_task(broker.publish(message()))
        await asyncio.sleep(0.05)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        proxy.heal()


async def test_a_consumer_can_be_cancelled_when_the_broker_does_not_answer(settings: BrokerSettings) -> None:
    async with proxied(settings.url) as (proxy, url), opened(through(settings, url)) as broker:
        inbox = Inbox(broker)
        running = asyncio.create_task(broker.consume(inbox.deliveries.append, 1))
        await broker.publish(message())
        await inbox.one()
        proxy.freeze()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 10)
        proxy.heal()


# -- several servers, as those of a cluster ---------------------------------------------------------------------------


async def test_the_next_server_is_used_where_one_cannot_be_reached(settings: BrokerSettings) -> None:
    readiness = Readiness()
    async with (
        proxied(settings.urls[0]) as (first, first_url),
        proxied(settings.urls[0]) as (second, second_url),
    ):
        urls = through(settings, ["amqp://guest:guest@127.0.0.1:1/", first_url, second_url])  # type: ignore[arg-type]
        async with opened(urls, readiness) as broker, consuming(broker) as inbox:
            await broker.publish(message(b"one"))
            await (await inbox.one()).ack()
            assert second.open == 0
            await first.refuse()
            await eventually(lambda: second.open >= 1 and not readiness.reasons)
            await eventually(lambda: _published(broker, b"two"))
            await (await inbox.get(2))[1].ack()


async def test_a_server_that_does_not_answer_leaves_time_for_the_next(settings: BrokerSettings) -> None:
    async with proxied(settings.urls[0]) as (frozen, url):
        frozen.freeze()
        began = time.monotonic()
        async with opened(through(settings, [url, settings.urls[0]])):  # type: ignore[arg-type]
            assert time.monotonic() - began < 30


async def test_where_no_server_can_be_reached_each_is_named(settings: BrokerSettings) -> None:
    urls = [f"amqp://guest:sesame@127.0.0.1:{port}/" for port in (1, 2)]
    broker = build(through(settings, urls))  # type: ignore[arg-type]
    try:
        with pytest.raises(BrokerUnavailable, match=r"no server .*127\.0\.0\.1:1.*127\.0\.0\.1:2") as caught:
            await broker.open()
        assert "sesame" not in str(caught.value)
    finally:
        await broker.close()


async def _published(broker: Broker, body: bytes) -> bool:
    try:
        await broker.publish(message(body))
    except BrokerUnavailable:
        return False
    return True
