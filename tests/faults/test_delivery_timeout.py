"""RabbitMQ takes back what is not acked in time. With the hand-off that never happens; without, nothing runs twice."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.faults.promises import assert_untouched, kept, not_ready, ready_in_the_end
from tests.support.place import Place
from tests.support.servers import RabbitMQ
from tests.support.services import private_rabbitmq
from tests.support.waiting import eventually

BROKERS_PATIENCE = 3  # seconds


@pytest.fixture(scope="module")
def impatient() -> Iterator[RabbitMQ]:
    """A RabbitMQ before 4.3 that looks for late acks every half second; `test_quorum` has those that came later."""
    with private_rabbitmq([f"consumer_timeout = {BROKERS_PATIENCE * 1000}"], as_installed=True) as server:
        server.control("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
        yield server


@pytest.fixture
def impatient_place(impatient: RabbitMQ, mysql_url: str, tmp_path: Path) -> Place:
    return Place(impatient.url, mysql_url, f"gs_{secrets.token_hex(4)}", tmp_path)


async def test_long_tasks_are_handed_off_before(impatient_place: Place, start: Start) -> None:
    """Row 8: the broker has no reason to close the channel, and short tasks beside the long one are acked as ever."""
    place = impatient_place
    jobs = {"default": place.job("for", 3 * BROKERS_PATIENCE), "short": place.job("for", 0.2)}
    config = place.config(jobs, broker={"consumer_timeout": BROKERS_PATIENCE}, worker={"concurrency": 2, "lease": 3})
    sidecar = start(config)
    await place.publish({"task_id": "long"})
    await eventually(lambda: place.row("long").get("handed_off") == 1)
    await place.publish(*({"task_id": f"t{number}", "task_type": "short"} for number in range(5)))
    await kept(place, sidecar, tasks=6)
    assert_untouched(place)
    assert not_ready(sidecar, "broker") == 0


@pytest.mark.timeout(120)
async def test_a_broker_that_is_less_patient_than_configured(impatient_place: Place, start: Start) -> None:
    """Row 8: it closes the channel and hands all of it out again, again and again; the running ones are adopted."""
    place = impatient_place
    jobs = {"default": place.job("for", 3 * BROKERS_PATIENCE)}
    sidecar = start(place.config(jobs, worker={"concurrency": 2, "lease": 3}))
    await place.publish({"task_id": "t0"}, {"task_id": "t1"})
    await eventually(lambda: not_ready(sidecar, "broker", "timed out"))
    assert len(sidecar.handlers()) == 2
    await eventually(lambda: sidecar.text.count("the attempt goes on") >= 2)
    await eventually(lambda: place.all_ended(2) and ready_in_the_end(sidecar), timeout=60)
    await kept(place, sidecar, tasks=2)
    assert_untouched(place)


@pytest.mark.timeout(120)
async def test_another_sidecar_gets_what_was_taken_back(impatient_place: Place, start: Start) -> None:
    """Row 8: the other one finds a living owner, and lets it finish."""
    place = impatient_place
    config = place.config({"default": place.job("for", 2.5 * BROKERS_PATIENCE)}, worker={"concurrency": 2, "lease": 3})
    sidecars = [start(config), start(config)]
    for sidecar in sidecars:
        await sidecar.ready()
    await place.publish(*({"task_id": f"t{number}"} for number in range(4)))
    await eventually(lambda: any(not_ready(sidecar, "broker", "timed out") for sidecar in sidecars))
    await kept(place, *sidecars, tasks=4)
    assert_untouched(place)
