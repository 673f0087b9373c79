"""What every broker promises to whoever looks after its queues: counting, emptying, going through the dead letters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gridsidecar.broker import Broker, DeadLetter
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.errors import BrokerUnavailable
from tests.broker.bench import build, consuming, message, opened
from tests.support.waiting import eventually


async def test_info_counts_what_waits_where(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        for _ in range(3):
            await broker.publish(message())
        await broker.publish_delayed(message(), 60)
        await broker.publish_delayed(message(), 60)
        await broker.publish_delayed(message(), 3600)
        await broker.dead_letter(message(), "bad")
        async with consuming(broker) as inbox:
            await inbox.one()
            info = await eventually(lambda: _info(broker, ready=2, dead=1, delayed={60: 2, 3600: 1}))
            embedded = settings.url.startswith("sqlite:")
            assert (info.consumers, info.unsettled) == ((None, 1) if embedded else (1, None))
            assert (info.queue, info.exists) == (settings.queue, True)
            await inbox.deliveries[0].ack()


async def _info(broker: Broker, **expected: Any) -> Any:
    info = await broker.info()
    return info if all(getattr(info, name) == value for name, value in expected.items()) else None


async def test_whoever_only_asks_creates_nothing(settings: BrokerSettings) -> None:
    broker = build(settings)
    try:
        for _ in range(2):
            info = await broker.info()
            assert (info.exists, info.ready, info.delayed, info.dead) == (False, 0, {}, 0)
            assert await _letters(broker) == []
            with pytest.raises(BrokerUnavailable, match="does not exist"):
                await broker.purge()
    finally:
        await broker.close()


async def test_purge_removes_what_is_ready_and_nothing_else(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        for number in range(4):
            await broker.publish(message(b"%d" % number))
        await broker.publish_delayed(message(), 60)
        await broker.dead_letter(message(), "bad")
        async with consuming(broker) as inbox:
            held = await inbox.one()
            await eventually(lambda: _info(broker, ready=3))
            assert await broker.purge() == 3
            assert await broker.purge() == 0
            assert held.alive
            await held.requeue()
            assert (await inbox.get(2))[1].message.body == b"0"
            await inbox.deliveries[1].ack()
        assert await eventually(lambda: _info(broker, ready=0, dead=1, delayed={60: 1}))


async def test_a_dead_letter_is_read_as_it_was_refused(settings: BrokerSettings) -> None:
    rotten = message(
        bytes(range(256)) * 300,
        message_id="m1",
        content_encoding="gzip",
        correlation_id="c1",
        headers={"mine": {"deep": [1]}},
        attempt=2,
    )
    async with opened(settings) as broker:
        before = datetime.now(UTC)
        await broker.dead_letter(rotten, "not-json: " + "x" * 5000)
        (letter,) = await eventually(lambda: _letters(broker))
    assert letter.message == rotten
    assert letter.reason is not None
    assert letter.reason.startswith("not-json: xxx")
    assert letter.queue == settings.queue
    assert letter.time is not None
    assert timedelta(-1) < before - letter.time < timedelta(seconds=1)


async def test_looking_takes_nothing_and_keeps_the_order(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        await _bury(broker, 5)
        for _ in range(3):
            async with broker.dead_letters() as letters:
                first = await anext(letters)
                second = await anext(letters)
            assert (first.message.body, second.message.body) == (b"0", b"1")
            assert await _bodies(broker) == [b"0", b"1", b"2", b"3", b"4"]


async def test_removed_letters_are_gone_and_the_others_stay_in_order(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        await _bury(broker, 6)
        async with broker.dead_letters() as letters:
            async for letter in letters:
                if letter.message.body in (b"1", b"4"):
                    await letter.remove()
        assert await _bodies(broker) == [b"0", b"2", b"3", b"5"]


async def test_whoever_stops_before_it_removed_a_letter_loses_none(settings: BrokerSettings) -> None:
    async with opened(settings) as broker:
        await _bury(broker, 4)

        async def stumble() -> None:
            async with broker.dead_letters() as letters:
                await (await anext(letters)).remove()
                await broker.publish((await anext(letters)).message)
                raise RuntimeError("between the replay and its removal")

        with pytest.raises(RuntimeError, match="between"):
            await stumble()
        assert await _bodies(broker) == [b"1", b"2", b"3"]
        assert await eventually(lambda: _info(broker, ready=1, dead=3))


async def test_letters_that_come_meanwhile_are_left_for_the_next_time(settings: BrokerSettings) -> None:
    """Else a message that is replayed and refused again would be replayed for ever."""
    async with opened(settings) as broker:
        await _bury(broker, 3)
        seen = []
        async with broker.dead_letters() as letters:
            async for letter in letters:
                seen.append(letter.message.body)
                await broker.dead_letter(letter.message, "refused again")
                await letter.remove()
        assert seen == [b"0", b"1", b"2"]
        assert await eventually(lambda: _info(broker, dead=3))
        assert await _bodies(broker) == [b"0", b"1", b"2"]


async def test_a_letter_from_somebody_else_says_what_it_can(settings: BrokerSettings) -> None:
    odd = {"x-gridsidecar-reason": 7, "x-gridsidecar-time": "yesterday", "x-gridsidecar-queue": ["a"], "mine": 1}
    async with opened(settings) as broker:
        await broker.send(settings.dead_letters, message(b"\xff", headers=odd))
        await broker.send(settings.dead_letters, message(b""))
        await eventually(lambda: _info(broker, dead=2))
        odd_one, plain = await _letters(broker)
    assert (odd_one.message.body, odd_one.message.headers, plain.message.headers) == (b"\xff", {"mine": 1}, {})
    for letter in (odd_one, plain):
        assert (letter.reason, letter.queue, letter.time) == (None, None, None)


async def test_a_letter_can_be_published_again_and_refused_again(settings: BrokerSettings) -> None:
    sent = message(b"again", message_id="m1", headers={"mine": 1}, priority=3)
    async with opened(settings) as broker:
        await broker.dead_letter(sent, "first")
        await eventually(lambda: _info(broker, dead=1))
        async with broker.dead_letters() as letters:
            letter = await anext(letters)
            await broker.publish(letter.message)
            await letter.remove()
        async with consuming(broker) as inbox:
            delivery = await inbox.one()
            assert delivery.message == sent
            await broker.dead_letter(delivery.message, "second")
            await delivery.ack()
        (letter,) = await eventually(lambda: _letters(broker))
        assert letter.reason == "second"


async def _bury(broker: Broker, count: int) -> None:
    for number in range(count):
        await broker.dead_letter(message(b"%d" % number), "bad")
    await eventually(lambda: _info(broker, dead=count))


async def _letters(broker: Broker) -> list[DeadLetter]:
    async with broker.dead_letters() as letters:
        return [letter async for letter in letters]


async def _bodies(broker: Broker) -> list[bytes]:
    return [letter.message.body for letter in await _letters(broker)]
