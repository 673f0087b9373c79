"""Quorum queues throw away what came back too often, and take back what is held too long: no task is lost by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings
from gridsidecar.telemetry import Readiness
from tests.e2e.conftest import Start
from tests.support import newer
from tests.support.place import HANDLERS, Place
from tests.support.servers import RabbitMQ
from tests.support.services import private_rabbitmq
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

# Arguments of a queue, and how often its messages come back. From RabbitMQ 4.0 on, 20 times are the most by default.
LIMITS: list[tuple[dict[str, Any], int]] = [({"x-delivery-limit": 3}, 6)]
if newer.wanted():
    LIMITS.append(({}, 25))
MEBIBYTE = 1024 * 1024
HOLD_MS = 3000  # for which the server lets a message stay unacknowledged

Limited = Callable[[dict[str, Any]], Place]


@pytest.fixture
def limited(amqp_url: str, queue: str, mysql_url: str, tmp_path: Path) -> Limited:
    """A place whose work queue is a quorum queue with these arguments."""

    def limited(arguments: dict[str, Any]) -> Place:
        return Place(amqp_url, mysql_url, queue, tmp_path, dict(arguments), queue_type="quorum")

    return limited


def die(place: Place, sidecar: Sidecar) -> None:
    """As a pod does, with all that runs in it."""
    place.journal.note_killed(sidecar.die())


async def finished(place: Place, sidecar: Sidecar, count: int) -> None:
    """So many tasks end, and nothing is left of their messages."""
    await eventually(lambda: place.all_ended(count), timeout=60, interval=0.1)
    await eventually(lambda: place.left() == 0, timeout=30, interval=0.1)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": count}
    assert place.journal.overlaps() == []
    assert place.dead_letters() == []


# -- the delivery limit -----------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("arguments", "deaths"), LIMITS)
async def test_a_task_whose_worker_dies_time_and_again_is_not_thrown_away(
    limited: Limited, start: Start, arguments: dict[str, Any], deaths: int
) -> None:
    place = limited(arguments)
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"lease": 1, "max_crashes": 100})
    await place.publish({"task_id": "deadly"})
    for death in range(1, deaths + 1):
        sidecar = start(config)
        await eventually(lambda starts=death: len(place.journal.started) == starts, timeout=60)  # type: ignore[misc]
        die(place, sidecar)
    gate.touch()
    await finished(place, start(config), 1)
    assert place.row("deadly")["crashes"] == deaths


@pytest.mark.timeout(300)
@pytest.mark.parametrize("orderly", [False, True], ids=["die", "leave"])
@pytest.mark.parametrize(("arguments", "times"), LIMITS)
async def test_tasks_that_never_started_are_not_thrown_away(
    limited: Limited, start: Start, arguments: dict[str, Any], times: int, orderly: bool
) -> None:
    """Nothing but their messages is known of them; worker after worker dies, or leaves, with these in hand."""
    place = limited(arguments)
    command = place.folder / "not-there-yet"
    config = place.config({"default": place.handler(command, "done")}, worker={"concurrency": 4})
    await place.publish(*({"task_id": f"t{index}"} for index in range(4)))
    for time in range(times):
        sidecar = start(config)
        await sidecar.ready()
        if time and not orderly:
            await eventually(lambda: sidecar.text.count("sent anew") == 4)  # noqa: B023
        await eventually(lambda: place.waiting() == 0, timeout=60)
        if orderly:
            sidecar.terminate()
            assert await sidecar.ended() == 0
        else:
            die(place, sidecar)
    assert place.rows() == {}
    command.symlink_to(HANDLERS / "job.sh")
    await finished(place, start(config), 4)


async def test_a_running_task_that_the_broker_throws_away_comes_back_from_the_store(
    limited: Limited, start: Start
) -> None:
    place = limited({"x-delivery-limit": 0})
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"lease": 1})
    sidecar = start(config)
    await place.publish({"task_id": "t"})
    await eventually(lambda: place.journal.started)
    die(place, sidecar)
    assert place.left() == 0, "the broker did not throw it away"
    gate.touch()
    await finished(place, start(config), 1)
    assert place.row("t")["attempt"] == 2


async def test_what_the_broker_puts_away_for_its_limit_is_a_dead_letter(limited: Limited, start: Start) -> None:
    """With a limit of none at all, and dead letters: a message that only waited is there, and says why."""
    dead = f"{limited({}).queue}.dead"
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-delivery-limit": 0}
    place = limited(arguments)
    with place.channel() as channel:
        channel.queue_declare(dead, durable=True, arguments={"x-queue-type": "classic"})
    handlers = {"default": place.job("until", place.folder / "gate", concurrency=1)}
    sidecar = start(place.config(handlers, worker={"concurrency": 2, "lease": 1}))
    await place.publish({"task_id": "runs"})
    await eventually(lambda: place.journal.started)
    await place.publish({"task_id": "waits"})
    await eventually(lambda: place.waiting() == 0)
    die(place, sidecar)
    await eventually(lambda: place.count(dead) == 2)
    settings = BrokerSettings(url=place.broker_url, queue=place.queue)
    broker = make_broker(settings, Readiness())
    try:
        async with broker.dead_letters() as letters:
            found = {letter.message.body: (letter.reason, letter.queue) async for letter in letters}
    finally:
        await broker.close()
    assert found == {b'{"task_id": "%b"}' % name: ("delivery_limit", place.queue) for name in (b"runs", b"waits")}


@pytest.mark.parametrize(("arguments", "times"), LIMITS)
async def test_large_messages_that_memory_has_no_room_for_are_not_thrown_away(
    limited: Limited, start: Start, arguments: dict[str, Any], times: int
) -> None:
    """They are held without their bodies, and fetched again: which a quorum queue counts."""
    place = limited(arguments)
    await place.publish(*({"task_id": f"t{index}", "data": "x" * MEBIBYTE} for index in range(4 * times)))
    worker = {"concurrency": 8, "memory_budget_mb": 8}  # bodies in hand get a third of that
    sidecar = start(place.config({"default": place.job("for", 0.3)}, worker=worker))
    await sidecar.said("no memory for another large message now")
    await finished(place, sidecar, 4 * times)


# -- priorities -------------------------------------------------------------------------------------------------------


async def test_priorities_are_left_to_the_broker(limited: Limited, start: Start) -> None:
    """Quorum queues have had them, without being asked, since RabbitMQ 4.0, and all levels since 4.3."""
    place = limited({})
    for priority in (1, 5, 9, 2):
        await place.publish({"task_id": f"p{priority}", "priority": priority}, priority=priority)
    sidecar = start(place.config({"default": place.job("done")}))
    await finished(place, sidecar, 4)
    assert place.journal.started == (["p9", "p5", "p2", "p1"] if newer.wanted() else ["p1", "p5", "p9", "p2"])
    assert not sidecar.says("asks for a priority")


# -- a message that is held for longer than the server allows ----------------------------------------------------------


@pytest.fixture
def impatient() -> Iterator[RabbitMQ]:
    with private_rabbitmq([f"consumer_timeout = {HOLD_MS}"]) as server:
        yield server


@pytest.mark.timeout(180)
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_an_attempt_goes_on_when_the_server_takes_its_message_back(
    impatient: RabbitMQ, mysql_url: str, tmp_path: Path, start: Start, queue_type: Any
) -> None:
    """`broker.consumer_timeout` says more than the server allows. From 4.3 on, only quorum queues allow no more."""
    place = Place(impatient.url, mysql_url, "tasks", tmp_path, queue_type=queue_type)
    gate = place.folder / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"concurrency": 2, "lease": 2})
    sidecars = [start(config), start(config)]
    for sidecar in sidecars:
        await sidecar.ready()
    await place.publish(*({"task_id": f"t{index}"} for index in range(4)))
    await eventually(lambda: len(place.journal.started) == 4)
    if queue_type == "quorum" or not newer.wanted():
        for sidecar in sidecars:
            await sidecar.said(
                "cancelled the consumer" if newer.wanted() else "acknowledgement on channel 1 timed out", timeout=60
            )
            await sidecar.said("ready again", timeout=60)
    gate.touch()
    await eventually(lambda: place.all_ended(4), timeout=60)
    await eventually(lambda: place.left() == 0, timeout=60)
    for sidecar in sidecars:
        sidecar.terminate()
        assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 4}
    assert sorted(place.journal.started) == ["t0", "t1", "t2", "t3"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
async def test_a_long_task_is_handed_off_before_the_server_takes_its_message_back(
    impatient: RabbitMQ, mysql_url: str, tmp_path: Path, start: Start, queue_type: Any
) -> None:
    place = Place(impatient.url, mysql_url, "tasks", tmp_path, queue_type=queue_type)
    config = place.config(
        {"default": place.job("for", 3 * HOLD_MS / 1000)}, broker={"consumer_timeout": HOLD_MS / 1000}
    )
    sidecar = start(config)
    await place.publish({"task_id": "long"})
    await eventually(lambda: place.status("long") == "success", timeout=60)
    assert sidecar.says("handed off")
    assert not sidecar.says("not ready")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.journal.started == ["long"]
    assert place.left() == 0
