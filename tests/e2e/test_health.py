"""What probes are told of a running sidecar, by way of the file that `gridsidecar health` reads."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.e2e.test_outages import fresh_database
from tests.support.place import Place
from tests.support.probing import probed, says
from tests.support.proxy import proxied
from tests.support.servers import MySQL, free_port
from tests.support.services import private_mysql
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

BASIC_CONSUME = b"\x00\x3c\x00\x14"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "health"


def config(place: Place, file: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    worker = {"heartbeat_file": str(file), **sections.pop("worker", {})}
    return place.config({"default": place.job("done")}, worker=worker, **sections)


async def ready(sidecar: Sidecar, file: Path) -> None:
    await sidecar.ready()
    assert await says(file, "ready", "--ready") == 0


async def test_from_its_start_to_its_end(any_place: Place, file: Path, tmp_path: Path, start: Start) -> None:
    gate = tmp_path / "gate"
    settings = config(any_place, file, worker={"shutdown_grace": 60})
    settings["handlers"] = {"default": any_place.job("until", gate)}
    sidecar = start(settings)
    await ready(sidecar, file)
    assert probed(file) == (0, "alive")
    await any_place.publish({"task_id": "t"})
    await eventually(lambda: any_place.journal.started)
    sidecar.terminate()
    assert await says(file, "worker: draining", "--ready") == 1
    assert probed(file) == (0, "alive")
    gate.touch()
    assert await sidecar.ended() == 0
    assert not file.exists()


async def test_it_lives_before_its_servers_are_there(place: Place, file: Path, start: Start) -> None:
    settings = config(place, file, store={"url": f"mysql://root@127.0.0.1:{free_port()}/none"})
    sidecar = start(settings)
    assert await says(file, "store: ", "--ready") == 1
    assert probed(file) == (0, "alive")
    assert sidecar.exit_code is None


@pytest.mark.timeout(180)
async def test_it_lives_while_the_database_is_away(
    amqp_url: str, queue: str, file: Path, tmp_path: Path, start: Start
) -> None:
    with private_mysql() as server:
        assert isinstance(server, MySQL)
        place = Place(amqp_url, fresh_database(server), queue, tmp_path)
        sidecar = start(config(place, file, worker={"lease": 3}))
        await ready(sidecar, file)
        server.kill()
        assert await says(file, "lease: ", "--ready", timeout=60) == 1
        assert probed(file) == (0, "alive")
        server.start()
        assert await says(file, "ready", "--ready", timeout=60) == 0
        sidecar.terminate()
        assert await sidecar.ended() == 0


async def test_a_broker_that_is_away(place: Place, file: Path, start: Start) -> None:
    async with proxied(place.broker_url) as (proxy, url):
        sidecar = start(config(place, file, broker={"url": url}))
        await ready(sidecar, file)
        await proxy.refuse()
        assert await says(file, "broker: ", "--ready") == 1
        await sidecar.said("not ready")
        assert await says(file, "alive") == 0
        await proxy.listen()
        assert await says(file, "ready", "--ready", timeout=60) == 0


async def test_a_broker_that_freezes_is_noticed_within_half_a_minute(place: Place, file: Path, start: Start) -> None:
    async with proxied(place.broker_url) as (proxy, url):
        sidecar = start(config(place, file, broker={"url": url, "heartbeat": 600}))
        await ready(sidecar, file)
        proxy.freeze()
        assert await says(file, "consumer: RabbitMQ at", "--ready", timeout=40) == 1
        assert probed(file) == (0, "alive")
        proxy.heal()
        assert await says(file, "ready", "--ready") == 0
        assert not sidecar.says("part=broker"), "nothing was lost, so nothing is rebuilt"
        await place.publish({"task_id": "t"})
        await eventually(lambda: place.status("t") == "success")


async def test_a_consumer_that_the_server_cancels(place: Place, file: Path, start: Start) -> None:
    with place.channel() as channel:
        place.declare(channel)
    sidecar = start(config(place, file, broker={"declare": False}))
    await ready(sidecar, file)
    with place.channel() as channel:
        channel.queue_delete(place.queue)
    await sidecar.said("RabbitMQ cancelled the consumer")
    assert await says(file, "broker: ", "--ready") == 1
    for _ in range(10):  # meanwhile it tries more often than three times
        assert probed(file) == (0, "alive"), "a restart would not bring the queue back"
        await asyncio.sleep(1)
    with place.channel() as channel:
        place.declare(channel)
    assert await says(file, "ready", "--ready", timeout=60) == 0


async def test_a_broker_that_answers_while_no_consumer_comes_to_be(place: Place, file: Path, start: Start) -> None:
    async with proxied(place.broker_url) as (proxy, url):
        sidecar = start(config(place, file, broker={"url": url}))
        await ready(sidecar, file)
        proxy.forbid(BASIC_CONSUME)
        proxy.cut()
        assert await says(file, "broker: RabbitMQ answers, but there is no consumer") == 1
        assert probed(file, "--ready")[0] == 1
        proxy.heal()
        assert await says(file, "alive", timeout=60) == 0
        assert await says(file, "ready", "--ready") == 0


async def test_a_loop_that_dies(any_place: Place, file: Path, start: Start) -> None:
    sidecar = start(config(any_place, file), failpoints="maintained:raise@9")
    await sidecar.said("a part of this process has died")
    assert await says(file, "only a restart brings it back") == 1
    assert probed(file, "--ready")[0] == 1


async def test_an_event_loop_that_stands_still(embedded_place: Place, file: Path, start: Start) -> None:
    sidecar = start(config(embedded_place, file))
    await ready(sidecar, file)
    sidecar.signal(signal.SIGSTOP)
    assert await says(file, "the sidecar hangs or is gone", timeout=45) == 1
    sidecar.signal(signal.SIGCONT)
    assert await says(file, "ready", "--ready") == 0


async def test_a_file_that_cannot_be_written(embedded_place: Place, tmp_path: Path, start: Start) -> None:
    sidecar = start(config(embedded_place, tmp_path / "no" / "such" / "folder"))
    await embedded_place.publish({"task_id": "t"})
    await eventually(lambda: embedded_place.status("t") == "success")
    await sidecar.said("heartbeat file cannot be written")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert sidecar.text.count("heartbeat file cannot be written") == 1


async def test_what_others_put_in_its_place_is_not_followed(
    embedded_place: Place, file: Path, tmp_path: Path, start: Start
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    file.symlink_to(precious)
    sidecar = start(config(embedded_place, file))
    await ready(sidecar, file)
    assert precious.read_text() == "mine"
    assert not file.is_symlink()


# -- several processes ------------------------------------------------------------------------------------------------


async def test_several_processes_answer_as_one(any_place: Place, file: Path, start: Start) -> None:
    sidecar = start(config(any_place, file, worker={"processes": 2, "concurrency": 2}))
    assert await says(file, "worker: ", "--ready") == 1
    await sidecar.ready(timeout=60, processes=2)
    assert await says(file, "ready", "--ready") == 0
    os.kill(sidecar.processes()[0], signal.SIGKILL)
    await sidecar.said("a process ended, it is replaced")
    assert probed(file, "--ready") == (0, "ready"), "the other one works"
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert probed(file, "--ready")[0] == 1


@pytest.mark.timeout(180)
async def test_a_process_that_is_broken_is_replaced(embedded_place: Place, file: Path, start: Start) -> None:
    settings = config(embedded_place, file, worker={"processes": 2, "concurrency": 2})
    sidecar = start(settings, failpoints="maintained:raise@20")
    await sidecar.said("a part of this process has died", timeout=60)
    broken = sidecar.processes()
    await sidecar.said("a process is broken, it is replaced", timeout=60)
    assert probed(file) == (0, "alive"), "that is not the supervisor's fault"
    await eventually(lambda: not set(sidecar.processes()) & set(broken), timeout=60)
    assert await says(file, "ready", "--ready", timeout=60) == 0
