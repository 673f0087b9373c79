"""What every broker promises, run over RabbitMQ with both queue types and over the embedded one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gridsidecar.broker import Delivery
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import BrokerUnavailable, PublishRefused
from tests.broker.bench import Inbox, build, consuming, holder, message, opened
from tests.support.waiting import eventually

WITH_PRIORITIES = ["amqp-classic", "embedded"]  # quorum queues have them from RabbitMQ 4.3 on, and coarse ones from 4.0


async def test_what_was_published_is_consumed_and_gone_after_the_ack(settings: BrokerSettings) -> None:
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish(message(b"one"))
        delivery = await inbox.one()
        assert (delivery.message.body, delivery.redelivered, delivery.alive) == (b"one", False, True)
        await delivery.ack()
    async with opened(settings) as broker:
        assert await broker.ready_count() == 0


async def test_requeue_hands_out_again_at_once_as_redelivered(settings: BrokerSettings) -> None:
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish(message(b"one"))
        await (await inbox.one()).requeue()
        second = (await inbox.get(2))[1]
        assert (second.message.body, second.redelivered) == (b"one", True)
        await second.ack()


async def test_no_more_than_prefetch_are_unsettled(settings: BrokerSettings) -> None:
    async with opened(settings) as broker, consuming(broker, prefetch=2) as inbox:
        for number in range(4):
            await broker.publish(message(b"%d" % number))
        first = (await inbox.get(2))[0]
        await eventually(lambda: _counts(broker, 2))
        assert len(inbox.deliveries) == 2
        await first.ack()
        await inbox.get(3)
        await eventually(lambda: _counts(broker, 1))
        assert len(inbox.deliveries) == 3


async def test_body_and_properties_travel_untouched(settings: BrokerSettings) -> None:
    sent = message(
        bytes(range(256)) * 1000,
        message_id="the producer's own",
        content_type="application/octet-stream",
        content_encoding="gzip",
        priority=7,
        correlation_id="c1",
        reply_to="answers",
        type="resize",
        app_id="shop",
        headers={"text": "ä", "number": 3, "flag": True, "nested": {"list": [1, "two"]}, "big": 2**40},
    )
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish(sent)
        delivery = await inbox.one()
        await delivery.ack()
    assert delivery.message == sent


async def test_an_empty_body_arrives(settings: BrokerSettings) -> None:
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish(message(b""))
        assert (await inbox.one()).message.body == b""
        await inbox.deliveries[0].ack()


async def test_a_message_without_an_id_gets_a_fresh_one(settings: BrokerSettings) -> None:
    async with opened(settings) as broker, consuming(broker, prefetch=2) as inbox:
        await broker.publish(message())
        await broker.publish(message())
        first, second = await inbox.get(2)
        assert first.message.message_id
        assert second.message.message_id not in (None, first.message.message_id)
        await asyncio.gather(first.ack(), second.ack())


async def test_what_is_sent_to_a_queue_by_name_waits_there_with_its_own_id(settings: BrokerSettings) -> None:
    other = settings.model_copy(update={"queue": settings.dead_letters, "queue_type": "classic"})
    sent = [message(b"%d" % number, message_id="the same", headers={"mine": 1}) for number in range(5)]
    async with opened(settings) as broker:
        await broker.send(other.queue, sent[0])  # there was no such queue
        await asyncio.gather(*(broker.send(other.queue, one) for one in sent[1:]))
        assert await broker.ready_count() == 0
    async with opened(other) as broker, consuming(broker, 5) as inbox:
        deliveries = await inbox.get(5)
        assert sorted((one.message for one in deliveries), key=lambda one: one.body) == sent
        await asyncio.gather(*(one.ack() for one in deliveries))


@pytest.mark.parametrize("name", ["", "x" * 256, "é" * 128, "\ud800", "amq.mine"])
async def test_no_queue_can_have_such_a_name(settings: BrokerSettings, name: str) -> None:
    async with opened(settings) as broker:
        with pytest.raises(PublishRefused, match="queue"):
            await broker.send(name, message())
        await broker.publish(message())  # the refusal cost nothing else


async def test_a_delayed_message_comes_back_after_its_delay_with_its_stamps(settings: BrokerSettings) -> None:
    sent = message(b"later", attempt=3, wake_up=True, seen_running=2, headers={"mine": "kept"}, priority=4)
    async with opened(settings) as broker, consuming(broker) as inbox:
        begin = time.monotonic()
        await broker.publish_delayed(sent, 1.0)
        delivery = await inbox.one()
        waited = time.monotonic() - begin
        await delivery.ack()
    back = delivery.message
    assert waited >= 1.0
    assert (back.body, back.attempt, back.wake_up, back.seen_running) == (b"later", 3, True, 2)
    assert (back.headers, back.priority, delivery.redelivered) == ({"mine": "kept"}, 4, False)


async def test_a_delayed_message_is_not_held_up_by_a_longer_one(settings: BrokerSettings) -> None:
    async with opened(settings) as broker, consuming(broker) as inbox:
        await broker.publish_delayed(message(b"long"), 3600.0)
        await broker.publish_delayed(message(b"short"), 1.0)
        assert (await inbox.one()).message.body == b"short"
        await inbox.deliveries[0].ack()


async def test_a_delayed_message_is_not_counted_as_ready(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        await broker.publish_delayed(message(), 60.0)
        await broker.publish(message())
        await broker.publish(message())
        await eventually(lambda: _counts(broker, 2))


async def test_several_consumers_share_without_doubles(settings: BrokerSettings) -> None:
    sent = [b"%d" % number for number in range(60)]
    async with opened(settings) as one, opened(settings) as two, consuming(one, 3) as a, consuming(two, 3) as b:
        await asyncio.gather(*(one.publish(message(body)) for body in sent))
        settled = [0, 0]

        async def settle(which: int, inbox: Inbox) -> None:
            for delivery in inbox.deliveries[settled[which] :]:
                await delivery.ack()
                settled[which] += 1

        async with asyncio.timeout(60):
            while sum(settled) < len(sent):
                await settle(0, a)
                await settle(1, b)
                if sum(settled) == len(sent) and not (a.bodies and b.bodies):  # one was quicker with all of them
                    sent.append(b"%d" % len(sent))
                    await one.publish(message(sent[-1]))
                await asyncio.sleep(0.005)
        assert sorted(a.bodies + b.bodies) == sorted(sent)


async def test_a_consumer_that_closes_without_settling_gives_everything_back(settings: BrokerSettings) -> None:
    async with opened(settings) as first, consuming(first, 2) as gone:
        await first.publish(message(b"one"))
        await first.publish(message(b"two"))
        await gone.get(2)
        await first.close()
        assert not any(delivery.alive for delivery in gone.deliveries)
        async with opened(settings) as second, consuming(second, 2) as inbox:
            await inbox.get(2)
            assert sorted(inbox.bodies) == [b"one", b"two"]
            assert all(delivery.redelivered for delivery in inbox.deliveries)
            await asyncio.gather(*(delivery.ack() for delivery in inbox.deliveries))


async def test_what_a_killed_process_held_comes_back(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        await broker.publish(message(b"one"))
        with holder(settings) as program:
            assert await broker.ready_count() == 0
            program.kill()
            async with consuming(broker) as inbox:
                delivery = await inbox.one()
                assert (delivery.message.body, delivery.redelivered) == (b"one", True)
                await delivery.ack()


async def test_settling_a_dead_delivery_does_nothing(settings: BrokerSettings) -> None:
    async with opened(settings) as first, consuming(first, 2) as gone:
        await first.publish(message())
        await first.publish(message())
        acked, given_back = await gone.get(2)
        await first.close()
        await acked.ack()
        await given_back.requeue()
        async with opened(settings) as second:
            await eventually(lambda: _counts(second, 2))


async def test_a_dead_letter_keeps_its_body_and_says_why(settings: BrokerSettings) -> None:
    rotten = message(b"\xff\x00 not json", content_encoding="gzip", headers={"mine": "kept"}, message_id="m1")
    async with opened(settings) as broker:
        await broker.dead_letter(rotten, "not JSON: " + "x" * 5000)
    dead = settings.model_copy(update={"queue": settings.dead_letters})
    async with opened(dead) as broker, consuming(broker) as inbox:
        delivery = await inbox.one()
        await delivery.ack()
    assert delivery.message.body == rotten.body
    assert delivery.message.content_encoding == "gzip"
    assert delivery.message.headers["mine"] == "kept"
    assert delivery.message.message_id == "m1"


async def test_ready_count_is_what_waits_in_the_queue(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        assert await broker.ready_count() == 0
        for _ in range(3):
            await broker.publish(message())
        await eventually(lambda: _counts(broker, 3))
        async with consuming(broker) as inbox:
            await inbox.one()
            await eventually(lambda: _counts(broker, 2))


async def test_after_stop_nothing_arrives_and_what_is_held_can_be_settled(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        async with consuming(broker) as inbox:
            await broker.publish(message(b"held"))
            held = await inbox.one()
        await broker.publish(message(b"waits"))
        await eventually(lambda: _counts(broker, 1))
        assert held.alive
        await held.ack()
        assert inbox.bodies == [b"held"]
        async with consuming(broker) as again:
            await again.one()
            assert again.bodies == [b"waits"]
            await again.deliveries[0].ack()
    async with opened(settings) as broker:
        assert await broker.ready_count() == 0


async def test_a_delivery_held_across_a_pause_is_still_ours(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        async with consuming(broker) as inbox:
            await broker.publish(message(b"held"))
            held = await inbox.one()
        async with consuming(broker, 2) as again:
            await broker.publish(message(b"next"))
            await again.one()
            assert held.alive
            await held.requeue()
            await again.deliveries[0].ack()
            assert (await again.get(2))[1].message.body == b"held"
            await again.deliveries[1].ack()


async def test_stopping_twice_or_without_consuming_is_harmless(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        await broker.stop_consuming()
        async with consuming(broker):
            await broker.stop_consuming()
        await broker.stop_consuming()


async def test_closing_twice_is_harmless_and_ends_consuming(settings: BrokerSettings) -> None:
    broker = build(settings)
    await broker.open()
    received: list[Delivery] = []
    running = asyncio.create_task(broker.consume(received.append, 1))
    await asyncio.sleep(0)
    await broker.close()
    await broker.close()
    await asyncio.wait_for(running, 30)
    with pytest.raises(BrokerUnavailable, match="closed"):
        await broker.publish(message())


async def test_closing_without_opening_is_harmless(settings: BrokerSettings) -> None:
    await build(settings).close()


async def test_cancelling_the_consumer_ends_it(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        received: list[Delivery] = []
        running = asyncio.create_task(broker.consume(received.append, 1))
        await broker.publish(message())
        await eventually(lambda: received)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await received[0].ack()
        await broker.publish(message())
        await eventually(lambda: _counts(broker, 1))
        assert len(received) == 1


@pytest.mark.parametrize("settings", WITH_PRIORITIES, indirect=True)
async def test_the_larger_priority_comes_first_then_the_older(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        for number, priority in enumerate([None, 0, 5, 9, 5]):
            await broker.publish(message(b"%d" % number, priority=priority))
        await eventually(lambda: _counts(broker, 5))
        async with consuming(broker) as inbox:
            for number in range(5):
                await (await inbox.get(number + 1))[number].ack()
            assert inbox.bodies == [b"3", b"2", b"4", b"0", b"1"]


async def _counts(broker: Any, expected: int) -> bool:
    return bool(await broker.ready_count() == expected)
