"""RabbitMQ's own ways to go wrong: topology, refusals, foreign headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pika  # type: ignore[import-untyped]
import pytest
from pika.adapters.blocking_connection import BlockingChannel  # type: ignore[import-untyped]

from gridsidecar.broker import Broker, QueueInfo
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import AccessRefused, BrokerUnavailable, ConfigError, PublishRefused
from gridsidecar.telemetry import Readiness
from tests.broker.bench import build, consuming, message, opened
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


def changed(settings: BrokerSettings, **values: Any) -> BrokerSettings:
    return settings.model_copy(update=values)


async def test_an_existing_queue_is_used_as_it_is(settings: BrokerSettings, server: BlockingChannel) -> None:
    server.queue_declare(settings.queue, durable=True, arguments={"x-max-length": 1000, "x-max-priority": 3})
    other = changed(settings, queue_type="quorum", max_priority=9)
    async with opened(other) as broker, consuming(broker) as inbox:
        await broker.publish(message(b"one"))
        await (await inbox.one()).ack()


async def test_a_queue_is_created_as_configured(settings: BrokerSettings, server: BlockingChannel) -> None:
    async with opened(changed(settings, queue_type="classic", max_priority=9)):
        server.queue_declare(settings.queue, durable=True, arguments={"x-max-priority": 9})


async def test_a_plain_queue_is_created_as_plain_producers_declare_it(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    async with opened(changed(settings, queue_type="classic")):
        server.queue_declare(settings.queue, durable=True)


async def test_many_that_create_the_same_queue_at_once_all_succeed(settings: BrokerSettings) -> None:
    brokers = [build(changed(settings, max_priority=number)) for number in range(5)]
    try:
        await asyncio.gather(*(broker.open() for broker in brokers))
    finally:
        await asyncio.gather(*(broker.close() for broker in brokers))


async def test_a_missing_queue_that_may_not_be_created_says_what_to_do(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    readiness = Readiness()
    broker = build(changed(settings, declare_queue=False), readiness)
    try:
        with pytest.raises(BrokerUnavailable, match=r"broker\.declare"):
            await broker.open()
        async with consuming(broker) as inbox:
            await eventually(lambda: "create the queue" in readiness.reasons.get("broker", ""))
            server.queue_declare(settings.queue, durable=True)
            await eventually(lambda: not readiness.reasons)
            await broker.publish(message())
            await (await inbox.one()).ack()
    finally:
        await broker.close()


async def test_a_deleted_delay_queue_is_declared_again(settings: BrokerSettings, server: BlockingChannel) -> None:
    async with opened(settings) as broker, consuming(broker, 2) as inbox:
        await broker.publish_delayed(message(b"first"), 1)
        server.queue_delete(f"{settings.queue}.delay.1")
        await broker.publish_delayed(message(b"second"), 1)
        delivery = await inbox.one()
        assert delivery.message.body == b"second"
        await delivery.ack()


async def test_a_delay_queue_of_another_shape_refuses_the_delayed_message(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    server.queue_declare(f"{settings.queue}.delay.1", durable=True)
    async with opened(settings) as broker:
        with pytest.raises(PublishRefused, match="other arguments"):
            await broker.publish_delayed(message(), 1)
        await broker.publish(message())  # the refusal cost nothing else


async def test_delay_queues_follow_delay_queue_type(settings: BrokerSettings, server: BlockingChannel) -> None:
    async with opened(changed(settings, delay_queue_type="quorum")) as broker, consuming(broker) as inbox:
        await broker.publish_delayed(message(b"later"), 1)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="inequivalent"):
            server.queue_declare(f"{settings.queue}.delay.1", durable=True, arguments={"x-queue-type": "classic"})
        await (await inbox.one()).ack()


async def test_publishing_to_a_deleted_queue_is_refused(settings: BrokerSettings, server: BlockingChannel) -> None:
    async with opened(settings) as broker:
        await broker.publish(message())
        server.queue_delete(settings.queue)
        with pytest.raises(PublishRefused, match="returned"):
            await broker.publish(message())
        with pytest.raises(BrokerUnavailable, match="does not exist"):
            await broker.ready_count()


async def test_messages_are_sent_to_a_queue_as_it_is_and_as_a_plain_consumer_would_declare_it(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    async with opened(settings) as broker:
        for arguments in ({"x-queue-type": "quorum"}, {"x-max-length": 5}, {}):
            server.queue_declare(settings.dead_letters, durable=True, arguments=arguments)
            await broker.send(settings.dead_letters, message())
            server.queue_delete(settings.dead_letters)
        await broker.send(settings.dead_letters, message(b"made anew"))
    server.queue_declare(settings.dead_letters, durable=True)
    _, properties, body = server.basic_get(settings.dead_letters, auto_ack=True)
    assert (body, properties.delivery_mode) == (b"made anew", 2)


async def test_a_queue_may_have_any_name(settings: BrokerSettings, server: BlockingChannel) -> None:
    """What the client itself would take for no name at all: other alphabets, spaces, quotes."""
    named = changed(settings, queue=f"{settings.queue} 任务 'é' %")
    answers = f"{settings.queue} 回调"
    try:
        async with opened(named) as broker, consuming(broker) as inbox:
            await broker.publish(message(b"one"))
            await (await inbox.one()).ack()
            await broker.publish_delayed(message(b"two"), 1.0)
            await (await inbox.get(2))[1].ack()
            await broker.dead_letter(message(b"three"), "no")
            await broker.send(answers, message(b"four"))
            assert (await broker.info()).dead == 1
        assert server.basic_get(answers, auto_ack=True)[2] == b"four"
    finally:
        for name in (named.queue, f"{named.queue}.delay.1", f"{named.queue}.dead", answers):
            server.queue_delete(name)


async def test_who_asks_again_and_again_does_not_ask_for_what_is_missing(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    """Each such question ends a channel, and is a line in the broker's log."""
    async with opened(settings) as broker:
        assert (await broker.info(anew=False)).delayed == {}
        await broker.publish(message())
        info = await eventually(lambda: _ready(broker, 1))
        assert (info.exists, info.delayed, info.dead) == (True, {}, 0)
        server.queue_declare(f"{settings.queue}.delay.60", durable=True)
        try:
            assert (await broker.info(anew=False)).delayed == {}, "it was missing a moment ago"
            assert (await broker.info()).delayed == {60: 0}
            assert (await broker.info(anew=False)).delayed == {60: 0}, "and is known from then on"
        finally:
            server.queue_delete(f"{settings.queue}.delay.60")


async def _ready(broker: Broker, count: int) -> QueueInfo | None:
    info = await broker.info(anew=False)
    return info if info.ready == count else None


async def test_a_full_queue_refuses(settings: BrokerSettings, server: BlockingChannel) -> None:
    server.queue_declare(settings.queue, durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    async with opened(settings) as broker:
        await broker.publish(message())
        with pytest.raises(PublishRefused, match="full"):
            await broker.publish(message())


async def test_messages_of_one_id_in_flight_are_told_apart(settings: BrokerSettings, server: BlockingChannel) -> None:
    """A returned message is found by its id: two of one id must not answer for each other."""
    async with opened(settings) as broker:
        server.queue_delete(settings.queue)
        twins = [message(message_id="same") for _ in range(10)]
        results = await asyncio.gather(*(broker.publish(twin) for twin in twins), return_exceptions=True)
        assert [type(result).__mro__[1] for result in results] == [PublishRefused] * 10


async def test_a_property_that_amqp_cannot_carry_is_refused_and_harms_no_other(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        for bad in (message(type="x" * 300), message(priority=1000)):
            with pytest.raises(PublishRefused, match="cannot carry"):
                await broker.publish(bad)
        await broker.publish(message())


async def test_a_header_that_amqp_cannot_carry_is_left_out_and_the_others_travel(settings: BrokerSettings) -> None:
    deep: dict[str, object] = {}
    for _ in range(500):
        deep = {"a": deep}
    headers = {
        "far": 2**70,
        "odd": object(),
        "deep": deep,
        "huge": "x" * 120_000,
        "inf": [float("inf")],
        "raw": b"\xff",
        "plain": "kept",
    }
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish(message(headers=headers))
        delivery = await inbox.one()
        assert delivery.message.headers["plain"] == "kept"
        assert bytes(delivery.message.headers["raw"]) == b"\xff"
        assert not delivery.message.headers.keys() & {"far", "odd", "deep", "huge", "inf"}
        await delivery.ack()


async def test_a_message_over_the_frame_size_travels_whole(settings: BrokerSettings) -> None:
    body = bytes(range(256)) * 20_000
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish(message(body))
        delivery = await inbox.one()
        assert delivery.message.body == body
        await delivery.ack()


async def test_a_deleted_queue_is_created_again_while_consuming(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    readiness = Readiness()
    async with opened(settings, readiness) as broker, consuming(broker) as inbox:
        await broker.publish(message(b"lost with its queue"))
        held = await inbox.one()
        server.queue_delete(settings.queue)
        await eventually(lambda: "cancelled the consumer" in readiness.reasons.get("broker", ""))
        await eventually(lambda: not readiness.reasons)
        assert not held.alive
        await held.ack()
        await broker.publish(message(b"new"))
        assert (await inbox.get(2))[1].message.body == b"new"
        await inbox.deliveries[1].ack()


async def test_a_deleted_queue_that_is_not_ours_to_create_is_waited_for(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    readiness = Readiness()
    server.queue_declare(settings.queue, durable=True)
    async with opened(changed(settings, declare_queue=False), readiness) as broker, consuming(broker) as inbox:
        server.queue_delete(settings.queue)
        await eventually(lambda: "does not exist" in readiness.reasons.get("broker", ""))
        server.queue_declare(settings.queue, durable=True)
        await eventually(lambda: not readiness.reasons)
        await broker.publish(message(b"new"))
        await (await inbox.one()).ack()


async def test_foreign_values_in_our_headers_count_as_nothing(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    rubbish = [{"x": 1}, "7", -1, True, [1], b"\xff", 2**40]
    async with opened(settings) as broker, consuming(broker, len(rubbish)) as inbox:
        for value in rubbish:
            headers = {f"x-gridsidecar-{name}": value for name in ("attempt", "wake_up", "busy", "other")}
            server.basic_publish("", settings.queue, b"{}", pika.BasicProperties(headers={**headers, "mine": 1}))
        for delivery in await inbox.get(len(rubbish)):
            got = delivery.message
            assert (got.attempt, got.wake_up, got.seen_running, got.headers) == (0, False, 0, {"mine": 1})
            await delivery.ack()


@pytest.mark.parametrize(
    "unreadable",
    [
        {"message_id": b"\xff\xfe"},
        {"timestamp": 1_790_000_000_000_000_000},
        {"timestamp": 2**63},
        {"app_id": b"\xff", "headers": {"k": 1}},
    ],
    ids=["text", "nanoseconds", "huge", "behind-headers"],
)
async def test_an_unreadable_property_does_not_stop_the_queue(
    settings: BrokerSettings, server: BlockingChannel, unreadable: dict[str, Any]
) -> None:
    async with opened(settings) as broker, consuming(broker, 2) as inbox:
        properties = pika.BasicProperties(content_type="text/plain", **unreadable)
        server.basic_publish("", settings.queue, b"odd", properties)
        await broker.publish(message(b"next"))
        odd, following = await inbox.get(2)
        assert (odd.message.body, odd.message.content_type, odd.message.message_id) == (b"odd", "text/plain", None)
        assert following.message.body == b"next"
        await asyncio.gather(odd.ack(), following.ack())


async def test_the_brokers_notes_and_routing_do_not_travel_on(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    async with opened(settings) as broker:
        async with consuming(broker) as inbox:
            headers = {"CC": ["elsewhere"], "x-death": "forged", "mine": 1}
            await broker.publish_delayed(message(b"one", headers=headers), 1)
            delivery = await inbox.one()
            await delivery.ack()
        assert delivery.message.headers == {"mine": 1}
        await broker.publish(delivery.message)
    assert _peek(server, settings.queue) == {"mine": 1}


async def test_dead_letters_say_why_where_and_when(settings: BrokerSettings, server: BlockingChannel) -> None:
    async with opened(settings) as broker:
        await broker.dead_letter(message(b"\x00", headers={"mine": 1}), "not JSON")
    headers = _peek(server, settings.dead_letters)
    assert headers is not None
    assert headers["mine"] == 1
    assert headers["x-gridsidecar-reason"] == "not JSON"
    assert headers["x-gridsidecar-queue"] == settings.queue
    assert headers["x-gridsidecar-time"].endswith("+00:00")


async def test_a_dead_letter_queue_that_vanished_is_created_again(
    settings: BrokerSettings, server: BlockingChannel
) -> None:
    async with opened(settings) as broker:
        await broker.dead_letter(message(b"1"), "bad")
        server.queue_delete(settings.dead_letters)
        await broker.dead_letter(message(b"2"), "bad")
    assert server.basic_get(settings.dead_letters, auto_ack=True)[2] == b"2"


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda url: url.replace("guest:guest@", "guest:sesame@"), AccessRefused, "refused the login"),
        (lambda url: url.rpartition("/")[0] + "/no-such-vhost", AccessRefused, "virtual host"),
        (lambda url: "amqp://guest:sesame@127.0.0.1:1/", BrokerUnavailable, "127.0.0.1:1"),
        (lambda url: "amqp://guest:sesame@no-such-host.invalid/", BrokerUnavailable, "no-such-host.invalid"),
        (lambda url: url.replace("amqp://", "amqps://"), AccessRefused, "speaks no TLS"),
    ],
    ids=["password", "vhost", "port", "host", "tls"],
)
async def test_what_keeps_us_out_is_said_without_the_password(
    settings: BrokerSettings, change: Callable[[str], str], error: type[Exception], says: str
) -> None:
    broker = build(changed(settings, url=change(settings.url)))
    try:
        with pytest.raises(error, match=says) as caught:
            await broker.open()
        assert "sesame" not in str(caught.value)
    finally:
        await broker.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "amqp:///", "amqp://host:port/", "nonsense"])
def test_a_url_that_names_no_rabbitmq_is_a_configuration_error(settings: BrokerSettings, url: str) -> None:
    with pytest.raises(ConfigError, match=r"broker\.url"):
        build(changed(settings, url=url))


def _peek(server: BlockingChannel, queue: str) -> dict[str, Any] | None:
    """Headers of the next message, which is taken."""
    method, properties, _ = server.basic_get(queue, auto_ack=True)
    return None if method is None else dict(properties.headers)
