"""A broker that lets us in and refuses one queue: nothing is lost, and what can run does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.faults.conftest import MakePlace
from tests.support.place import TASKS, Place
from tests.support.servers import RabbitMQ
from tests.support.waiting import eventually

BAD = b"hello, I am no task"
Mend = Callable[[], Any]


@pytest.fixture(params=["no right to create", "no right to write", "too many queues", "full"])
def refusing(
    request: pytest.FixtureRequest, own_rabbitmq: RabbitMQ, on_own_rabbitmq: Place, limited: MakePlace
) -> Iterator[tuple[Place, Place, Mend]]:
    """A place that takes no dead letters from the sidecar, the same for everybody else, and what mends it."""
    place, server = on_own_rabbitmq, own_rabbitmq
    place.arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2}
    dead = f"{place.queue}.dead"
    with place.channel() as channel:
        place.declare(channel)
        queues = server.control("list_queues", "name").split()
        match request.param:
            case "no right to create":
                yield limited(place, configure="^$"), place, lambda: limited(place)
            case "no right to write":
                yield limited(place, write="^$"), place, lambda: limited(place)
            case "too many queues":
                count = len([name for name in queues if name != "name"])
                server.control("set_vhost_limits", f'{{"max-queues": {count}}}')
                yield place, place, lambda: server.control("clear_vhost_limits")
            case _:
                full = {"x-max-length": 1, "x-overflow": "reject-publish"}
                channel.queue_declare(dead, durable=True, arguments=full)
                channel.confirm_delivery()
                channel.basic_publish("", dead, b"full")
                yield place, place, lambda: channel.queue_delete(dead)


async def test_good_tasks_run_and_the_bad_message_is_kept(refusing: tuple[Place, Place, Mend], start: Start) -> None:
    ours, place, mend = refusing
    config = ours.config({"default": place.job("done")}, worker={"lease": 1}, broker={"queue_type": "quorum"})
    sidecar = start(config)
    await sidecar.ready()
    await place.publish_bodies(BAD, headers={"tenant": "blue"}, correlation_id="c1")
    await place.publish({"task_id": "misfit", "timeout": []}, *({"task_id": f"t{n}"} for n in range(3)))
    await eventually(lambda: place.statuses().get("success") == 3)
    await eventually(lambda: place.status("misfit") == "failed")
    await eventually(lambda: len(kept(place)) == 2)
    await eventually(lambda: place.left() == 0)
    assert sidecar.says('part="dead letters"')
    assert not sidecar.says("part=publishing")

    mend()
    place.execute(f"update {TASKS} set next_check_at = next_run_at where id like 'refused-%%'")
    await eventually(lambda: place.count(f"{place.queue}.dead") >= 2, timeout=30)
    letters = dict(place.dead_letters())
    assert letters[BAD]["tenant"] == "blue"
    assert letters[BAD]["x-gridsidecar-reason"].startswith("not-json")
    await eventually(lambda: kept(place) == [])
    await eventually(lambda: place.left() == 0)
    assert not [body for body, _ in place.dead_letters()], "once each"
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert len(place.rows()) == 4


async def test_it_is_known_at_the_start(
    own_rabbitmq: RabbitMQ, on_own_rabbitmq: Place, limited: MakePlace, start: Start
) -> None:
    place = limited(on_own_rabbitmq, configure=f"^{on_own_rabbitmq.queue}$")
    sidecar = start(place.config({"default": place.job("done")}))
    await sidecar.ready()
    line = next(line for line in sidecar.text.splitlines() if "not ready" in line)
    assert "dead letters" in line
    assert f"{place.queue}.dead" in line
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_what_does_not_come_back_from_the_store_is_tried_again(
    on_own_rabbitmq: Place, limited: MakePlace, start: Start
) -> None:
    """Still refused: the row keeps it, and nothing circles."""
    place = limited(on_own_rabbitmq, configure=f"^{on_own_rabbitmq.queue}$")
    sidecar = start(place.config({"default": place.job("done")}, worker={"lease": 1}))
    await place.publish_bodies(BAD)
    await eventually(lambda: len(kept(place)) == 1)
    place.execute(f"update {TASKS} set next_check_at = next_run_at where id like 'refused-%%'")
    await eventually(lambda: sidecar.text.count("message refused, kept") == 2, timeout=30)
    assert len(kept(place)) == 1
    await eventually(lambda: place.left() == 0)


def kept(place: Place) -> list[dict[str, Any]]:
    """Rows that hold what no dead-letter queue took."""
    return [row for task_id, row in place.rows().items() if task_id.startswith("refused-")]
