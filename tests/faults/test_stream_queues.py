"""Queues that nobody can work from: refused with the reason, instead of a worker that waits for ever."""

from __future__ import annotations

from typing import Any

import pika  # type: ignore[import-untyped]
import pytest

from tests.e2e.conftest import Start
from tests.faults.conftest import MakePlace
from tests.support.place import Place
from tests.support.waiting import eventually

REFUSED = 77


def declare_stream(place: Place, **arguments: Any) -> None:
    """The work queue as a stream, with a task that was there before."""
    with place.channel() as channel:
        channel.queue_declare(place.queue, durable=True, arguments={"x-queue-type": "stream", **arguments})
        channel.confirm_delivery()
        channel.basic_publish("", place.queue, b'{"task_id": "before"}', pika.BasicProperties(delivery_mode=2))


@pytest.mark.parametrize("arguments", [{}, {"x-max-length-bytes": 1_000_000, "x-max-age": "1D"}], ids=["bare", "bound"])
@pytest.mark.parametrize("flags", [(), ("--burst",)], ids=["run", "burst"])
@pytest.mark.parametrize("declare", [True, False], ids=["declaring", "as it is"])
async def test_a_stream_is_refused_at_the_start(
    place: Place, start: Start, arguments: dict[str, Any], flags: tuple[str, ...], declare: bool
) -> None:
    declare_stream(place, **arguments)
    config = place.config({"default": place.job("done")}, broker={"declare": declare})
    sidecar = start(config, *flags)
    assert await sidecar.ended() == REFUSED
    assert sidecar.says("is a stream")
    assert sidecar.says("declare it as a classic or a quorum queue"), "what to do"


@pytest.mark.parametrize("flags", [(), ("--burst",)], ids=["run", "burst"])
async def test_a_stream_is_refused_for_whoever_may_not_declare(
    on_own_rabbitmq: Place, start: Start, limited: MakePlace, flags: tuple[str, ...]
) -> None:
    place = limited(on_own_rabbitmq, configure="^$")
    declare_stream(on_own_rabbitmq)
    sidecar = start(place.config({"default": place.job("done")}), *flags)
    assert await sidecar.ended() == REFUSED
    assert sidecar.says("is a stream")
    assert place.rows() == {}


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_header_alone_makes_no_stream_for_whoever_may_not_declare(
    on_own_rabbitmq: Place, start: Start, limited: MakePlace, kind: str
) -> None:
    """Or a producer could end every worker, again and again."""
    on_own_rabbitmq.arguments = {"x-queue-type": kind}
    place = limited(on_own_rabbitmq, configure="^$")
    await on_own_rabbitmq.publish({"task_id": "t"}, headers={"x-stream-offset": 7})
    sidecar = start(place.config({"default": place.job("done")}))
    await eventually(lambda: place.status("t") == "success")
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_a_queue_that_became_a_stream_is_refused(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.status("t") == "success")
    with place.channel() as channel:
        channel.queue_delete(place.queue)
        channel.queue_declare(place.queue, durable=True, arguments={"x-queue-type": "stream"})
    assert await sidecar.ended() == REFUSED


async def test_a_header_alone_makes_no_stream(place: Place, start: Start) -> None:
    """What was moved here from a stream, or says that it was, stops nobody."""
    place.arguments = {"x-max-length": 1000, "x-dead-letter-exchange": "elsewhere"}
    sidecar = start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "t"}, headers={"x-stream-offset": 7})
    await eventually(lambda: place.status("t") == "success")
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_another_connections_exclusive_queue_is_refused(place: Place, start: Start) -> None:
    with place.channel() as channel:
        channel.queue_declare(place.queue, exclusive=True)
        sidecar = start(place.config({"default": place.job("done")}), "--burst")
        assert await sidecar.ended() == REFUSED
        assert sidecar.says("exclusive")
