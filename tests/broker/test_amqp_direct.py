"""Deliveries and acks that pass the client by: frames in pieces, large bodies, a connection that only delivers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pamqp.frame
import pytest
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel, Connection
from pamqp.header import ContentHeader

from gridsidecar.broker.amqp import AmqpBroker
from gridsidecar.broker.direct import DeliveryReader, DirectChannel
from gridsidecar.config.settings import BrokerSettings
from tests.broker.bench import consuming, message, opened
from tests.support import services
from tests.support.waiting import eventually

TUNE = pamqp.frame.marshal(Basic.QosOk(), 1)
CLOSE = pamqp.frame.marshal(Channel.Close(406, "PRECONDITION_FAILED", 0, 0), 1)


@pytest.fixture
def settings(amqp_url: str, queue: str) -> BrokerSettings:
    return BrokerSettings(url=amqp_url, queue=queue, queue_type=services.queue_type())


def frames(channel: int, method: Frame, properties: Basic.Properties, *body: bytes) -> bytes:
    header = ContentHeader(body_size=sum(map(len, body)), properties=properties)
    return b"".join(pamqp.frame.marshal(each, channel) for each in (method, header, *map(ContentBody, body)))


def delivery(channel: int, tag: int, *body: bytes, redelivered: bool = False, **properties: Any) -> bytes:
    method = Basic.Deliver("consumer", tag, redelivered, "", "queue")
    return frames(channel, method, Basic.Properties(**properties), *body)


class Taken:
    """A reader, and what came of the bytes fed to it."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[int, bool, dict[str, Any], bytes]] = []
        self.reader = DeliveryReader()
        underlay: Any = SimpleNamespace(number=1, is_closed=False, connection=SimpleNamespace(is_opened=True))
        self.channel = DirectChannel(None, underlay, writer=None)  # type: ignore[arg-type]  # nothing is acked
        self.channel.take = lambda tag, again, properties, body: self.deliveries.append(
            (tag, again, dict(properties), body)
        )
        self.reader.add(self.channel)

    async def for_client(self) -> bytes:
        self.reader.feed_eof()
        return (await self.reader.read()).replace(b"\x08\0\0\0\0\0\0\xce", b"")


@pytest.mark.parametrize("cut", range(1, 4))
@pytest.mark.parametrize("close", [Channel.Close, Connection.Close])
async def test_a_text_that_is_cut_inside_a_character_is_read_up_to_it(
    close: type[Channel.Close | Connection.Close], cut: int
) -> None:
    taken, whole = Taken(), pamqp.frame.marshal(close(404, "NOT_FOUND - 𝄞", 50, 10), 1)
    length = whole[13] - cut
    frame = whole[:13] + bytes([length]) + whole[14 : 14 + length] + whole[-5:]
    taken.reader.feed_data(frame[:3] + len(frame[7:-1]).to_bytes(4, "big") + frame[7:])
    _, _, read = pamqp.frame.unmarshal(await taken.for_client())
    assert isinstance(read, close)
    assert (read.reply_code, read.reply_text, read.class_id) == (404, "NOT_FOUND - ", 50)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 20, 64, 10_000])
async def test_frames_may_come_in_pieces_of_any_size(size: int) -> None:
    sent = (
        TUNE
        + delivery(1, 1, b"one", content_type="application/json", headers={"x": 1})
        + TUNE
        + delivery(1, 2, redelivered=True)
        + delivery(1, 3, b"thr", b"ee!", b"!", message_id="m")
        + TUNE
    )
    taken = Taken()
    for at in range(0, len(sent), size):
        taken.reader.feed_data(sent[at : at + size])
    assert taken.deliveries == [
        (1, False, {"content_type": "application/json", "headers": {"x": 1}}, b"one"),
        (2, True, {}, b""),
        (3, False, {"message_id": "m"}, b"three!!"),
    ]
    assert await taken.for_client() == TUNE * 3


async def test_what_is_not_whole_yet_is_not_answered_for() -> None:
    """At a login the client takes nothing but what it waits for."""
    taken = Taken()
    for byte in TUNE:
        taken.reader.feed_data(bytes((byte,)))
    taken.reader.feed_eof()
    assert await taken.reader.read() == TUNE


async def test_what_is_fetched_or_returned_is_for_the_client() -> None:
    fetched = frames(1, Basic.GetOk(9, False, "", "queue", 0), Basic.Properties(), b"body")
    taken = Taken()
    taken.reader.feed_data(fetched + delivery(1, 1, b"x") + fetched)
    assert [body for *_, body in taken.deliveries] == [b"x"]
    assert await taken.for_client() == fetched * 2


async def test_a_closed_channel_hands_nothing_over() -> None:
    taken = Taken()
    taken.reader.feed_data(delivery(2, 1, b"of another") + CLOSE + delivery(1, 2, b"late"))
    assert not taken.channel.alive
    assert not taken.deliveries
    assert await taken.for_client() == CLOSE


async def test_an_error_in_one_delivery_does_not_stop_the_next() -> None:
    taken = Taken()
    bodies: list[bytes] = []

    def take(_tag: int, _again: bool, _properties: Any, body: bytes) -> None:
        bodies.append(body)
        raise ValueError(body)

    taken.channel.take = take
    taken.reader.feed_data(delivery(1, 1, b"x") + delivery(1, 2, b"y"))
    assert bodies == [b"x", b"y"]


@pytest.mark.parametrize("foreign", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\0\0\x09\1", b"\1\0\1\0\0\0\1xy" * 3])
async def test_what_is_no_amqp_is_left_to_the_client(foreign: bytes) -> None:
    taken = Taken()
    for byte in foreign:
        taken.reader.feed_data(bytes((byte,)))
    assert await taken.for_client() == foreign


async def test_a_connection_that_brings_nothing_but_deliveries_stays(settings: BrokerSettings) -> None:
    """The client takes one for dead after three times the heartbeat without a frame."""
    async with opened(settings.model_copy(update={"heartbeat": 1})) as broker, consuming(broker) as inbox:
        assert isinstance(broker, AmqpBroker)
        for count in range(1, 41):
            await broker.publish(message(b"tick"))
            await (await inbox.get(count))[-1].ack()
            await asyncio.sleep(0.2)
        assert broker._consuming.generation == 1


async def test_acks_after_the_end_of_their_channel_cost_no_connection(settings: BrokerSettings) -> None:
    async with opened(settings) as broker, consuming(broker, prefetch=3) as inbox:
        assert isinstance(broker, AmqpBroker)
        for _ in range(3):
            await broker.publish(message())
        held = list(await inbox.get(3))
        channel = broker._subscription._channel
        assert channel is not None
        channel.ack(9999)  # of no delivery: the server closes the channel
        await eventually(lambda: not held[0].alive)
        for each in held:
            await each.ack()
        again = (await inbox.get(6))[3:]
        assert all(each.redelivered for each in again)
        for each in again:
            await each.ack()
        assert broker._consuming.generation == 1
