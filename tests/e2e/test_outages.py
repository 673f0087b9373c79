"""A server goes away while tasks run, or is not there yet: no handler is killed, no task fails, all end."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import Start
from tests.support.place import Place
from tests.support.servers import MySQL, RabbitMQ, free_port
from tests.support.services import private_mysql, private_rabbitmq
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def own_mysql() -> Iterator[MySQL]:
    with private_mysql() as server:
        yield server


@pytest.fixture(scope="module")
def own_rabbitmq() -> Iterator[RabbitMQ]:
    with private_rabbitmq() as server:
        yield server


def fresh_database(server: MySQL) -> str:
    name = f"gs_{secrets.token_hex(4)}"
    execute_on_server(server.url, f"create database {name}")
    return f"{server.url}{name}"


def with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}"))


def assert_untouched(place: Place, count: int) -> None:
    """Each task ran once, to its own end, and no failure was written anywhere."""
    assert place.statuses() == {"success": count}
    assert sorted(place.journal.started) == sorted(place.journal.ended) == sorted(f"t{n}" for n in range(count))
    assert {(row["attempt"], row["retry_count"], row["crashes"]) for row in place.rows().values()} == {(1, 0, 0)}


@pytest.mark.timeout(180)
async def test_the_database_is_killed_while_tasks_run(
    amqp_url: str, queue: str, own_mysql: MySQL, tmp_path: Path, start: Start
) -> None:
    place = Place(amqp_url, fresh_database(own_mysql), queue, tmp_path)
    gate = tmp_path / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}, worker={"concurrency": 3}))
    await place.publish(*({"task_id": f"t{index}"} for index in range(8)))
    await eventually(lambda: len(place.journal.started) == 3)
    own_mysql.kill()
    Path(f"{gate}.t0").touch()  # one ends while its row is out of reach
    await eventually(lambda: place.journal.ended == ["t0"])
    await sidecar.said("part=store")
    assert len(sidecar.handlers()) == 2
    assert len(place.journal.started) == 3, "nothing starts without a claim"
    own_mysql.start()
    gate.touch()
    await eventually(lambda: place.all_ended(8), timeout=60, interval=0.1)
    assert_untouched(place, 8)
    assert sidecar.says("ready again")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


@pytest.mark.timeout(180)
async def test_the_broker_is_killed_while_tasks_run(
    own_rabbitmq: RabbitMQ, mysql_url: str, tmp_path: Path, start: Start
) -> None:
    place = Place(own_rabbitmq.url, mysql_url, "tasks", tmp_path)
    gate = tmp_path / "gate"
    config = place.config({"default": place.job("until", gate)}, worker={"concurrency": 3})
    sidecar = start(config)
    await place.publish(*({"task_id": f"t{index}"} for index in range(6)))
    await eventually(lambda: len(place.journal.started) == 3)
    own_rabbitmq.stop()
    Path(f"{gate}.t0").touch()  # one ends while its message cannot be acked
    await eventually(lambda: place.status("t0") == "success")
    await sidecar.said("part=broker")
    assert len(sidecar.handlers()) == 2
    own_rabbitmq.start()
    gate.touch()
    await eventually(lambda: place.all_ended(6), timeout=90, interval=0.1)
    assert_untouched(place, 6)
    await eventually(lambda: place.waiting() == 0)
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


@pytest.mark.timeout(180)
async def test_servers_that_come_after_the_sidecar(
    own_mysql: MySQL, own_rabbitmq: RabbitMQ, tmp_path: Path, start: Start
) -> None:
    """A pod may be scheduled before its database and its broker."""
    place = Place(own_rabbitmq.url, fresh_database(own_mysql), "early", tmp_path)
    await place.publish({"task_id": "t0"})
    own_mysql.stop()
    own_rabbitmq.stop()
    sidecar = start(place.config({"default": place.job("done")}))
    await sidecar.said("part=store")
    own_mysql.start()
    await sidecar.said("part=broker")
    own_rabbitmq.start()
    await sidecar.ready(timeout=60)
    await eventually(lambda: place.status("t0") == "success", timeout=30)
    assert_untouched(place, 1)
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_fail_fast_does_not_wait_for_servers(place: Place, start: Start) -> None:
    nobody = free_port()
    no_broker = place.config({"default": place.job("done")}, broker={"url": f"amqp://127.0.0.1:{nobody}/"})
    no_store = place.config({"default": place.job("done")}, store={"url": f"mysql://root@127.0.0.1:{nobody}/x"})
    for config in (no_broker, no_store):
        sidecar = start(config, "--fail-fast")
        assert await sidecar.ended() == 69
        assert sidecar.says(str(nobody)), "it does not say who is away"


async def test_a_refused_login_ends_the_run_at_once(place: Place, start: Start) -> None:
    stranger = {"default": place.job("done")}
    wrong_broker = place.config(stranger, broker={"url": with_login(place.broker_url, "guest", "seCret1")})
    wrong_store = place.config(stranger, store={"url": with_login(place.store_url, "nobody", "seCret1")})
    for config in (wrong_broker, wrong_store):
        sidecar = start(config)
        assert await sidecar.ended() == 77
        assert not sidecar.says("seCret1"), "a password in the log"
        assert not sidecar.says("Traceback")


async def test_missing_tables_end_the_run_where_it_may_not_create_them(any_place: Place, start: Start) -> None:
    place = any_place
    sidecar = start(place.config({"default": place.job("done")}, store={"migrate": False}))
    assert await sidecar.ended() == 77
    assert sidecar.says("gridsidecar migrate")


async def test_a_missing_database_ends_the_run(place: Place, start: Start) -> None:
    missing = urlunsplit(urlsplit(place.store_url)._replace(path="/gs_no_such_database"))
    sidecar = start(place.config({"default": place.job("done")}, store={"url": missing}))
    assert await sidecar.ended() == 77
    assert sidecar.says("gs_no_such_database")


async def test_a_table_that_vanishes_ends_the_run_and_loses_nothing(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": place.job("done")}))
    await sidecar.ready()
    place.execute("drop table grid_async_task_tasks")
    await place.publish({"task_id": "t0"})
    assert await sidecar.ended() == 77
    await eventually(lambda: place.waiting() == 1)


async def test_a_deleted_queue_is_made_again(place: Place, start: Start) -> None:
    sidecar = start(place.config({"default": place.job("done")}))
    await place.publish({"task_id": "t0"})
    await eventually(lambda: place.status("t0") == "success")
    with place.channel() as channel:
        channel.queue_delete(place.queue)
    await sidecar.said("ready again")
    await place.publish({"task_id": "t1"})
    await eventually(lambda: place.status("t1") == "success")
