"""The manifests in `deploy/` at work: what KEDA's triggers see, and what the pods that it starts then do."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pymysql
import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import Start
from tests.store.direct import TASKS, Direct
from tests.support.cli import gridsidecar
from tests.support.manifests import Deployed
from tests.support.place import Place
from tests.support.waiting import eventually

NO_RIGHT = 1142  # MySQL's error number
FOR_KEDA = "select on {database}.grid_async_task_tasks_owed_work"
FOR_WORKERS = "select, insert, update, delete on {database}.*"
FOR_MIGRATING = "select, insert, update, create, alter, index, drop, create view on {database}.*"


@dataclass(frozen=True)
class User:
    """Somebody with few rights. `url` is the database as they log in to it."""

    name: str
    url: str


@pytest.fixture
def user(mysql_server_url: str, mysql_url: str) -> Iterator[Callable[[str], User]]:
    """Makes a user of the database with these rights: `user("select on {database}.*")`."""
    made = []

    def make(*rights: str) -> User:
        name, password = f"gs_{secrets.token_hex(4)}", secrets.token_hex(8)
        parts = urlsplit(mysql_url)
        for host in ("%", "localhost"):
            execute_on_server(mysql_server_url, f"create user '{name}'@'{host}' identified by '{password}'")
            made.append(f"'{name}'@'{host}'")
            for right in rights:
                granted = right.format(database=parts.path.lstrip("/"))
                execute_on_server(mysql_server_url, f"grant {granted} to '{name}'@'{host}'")
        url = urlunsplit(parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}"))
        return User(name, url)

    yield make
    for each in made:
        execute_on_server(mysql_server_url, f"drop user {each}")


def adapted(deployed: Deployed, place: Place, handler: dict[str, Any], **worker: Any) -> dict[str, Any]:
    """The configuration of a manifest, for the servers, the queue and the handler of a test."""
    config = deployed.config
    config["broker"] |= {"url": place.broker_url, "queue": place.queue}
    config["store"] |= {"url": place.store_url}
    config["worker"] |= worker
    config["handlers"] = {"default": handler}
    return config


def migrate(place: Place) -> None:
    config = place.folder / "migrate.yaml"
    config.write_text(json.dumps({"store": {"url": place.store_url}}))
    done = gridsidecar(place.folder, "migrate", "--config", str(config))
    assert done.returncode == 0, done.stderr


def owed(deployed: Deployed, place: Place, url: str | None = None) -> int:
    """What the MySQL trigger gets for an answer: one row with one number."""
    query = deployed.trigger("mysql")["query"].replace("'task_queue'", f"'{place.queue}'")
    (row,) = Direct(url or place.store_url).run(query)
    (number,) = row.values()
    assert isinstance(number, int)
    return number


@pytest.fixture(params=["deployment.yaml", "scaledjob.yaml"])
def deployed(request: pytest.FixtureRequest) -> Deployed:
    return Deployed(request.param)


# -- the trigger that looks at the database ---------------------------------------------------------------------------


def test_the_query_counts_what_only_the_database_knows(
    deployed: Deployed, place: Place, user: Callable[[str], User]
) -> None:
    migrate(place)
    keda = user(FOR_KEDA)
    rows = Direct(place.store_url)
    now = "UTC_TIMESTAMP(3)"
    task = f"INSERT INTO {TASKS} (id, status, queue, next_check_at, created_at, updated_at) VALUES (?, ?, ?, "
    callback = (
        f"INSERT INTO {TASKS}_callbacks "
        "(task_id, rerun, id, attempt, queue, kind, receiver, body, next_try_at, created_at) "
    )
    assert owed(deployed, place, keda.url) == 0
    rows.run(f"{task}{now}, {now}, {now})", "overdue", "retrying", place.queue)
    assert owed(deployed, place, keda.url) == 1
    rows.run(f"{callback} VALUES (?, 0, 'c', 1, ?, 'http', 'h:443', '', {now}, {now})", "ended", place.queue)
    assert owed(deployed, place, keda.url) == 2
    rows.run(f"{task}{now} + INTERVAL 1 HOUR, {now}, {now})", "not-yet", "retrying", place.queue)
    rows.run(f"{task}{now}, {now}, {now})", "elsewhere", "retrying", "another")
    assert owed(deployed, place, keda.url) == 2


def test_kedas_user_sees_no_task(place: Place, user: Callable[[str], User]) -> None:
    migrate(place)
    with pytest.raises(pymysql.err.OperationalError) as refused:
        Direct(user(FOR_KEDA).url).run(f"SELECT data FROM {TASKS}")
    assert refused.value.args[0] == NO_RIGHT


# -- pods -------------------------------------------------------------------------------------------------------------


async def test_a_job_does_one_task_and_leaves(place: Place, start: Start) -> None:
    await place.publish({"task_id": "a"}, {"task_id": "b"})
    job = start(adapted(Deployed("scaledjob.yaml"), place, place.job("done")), "--once")
    assert await job.ended() == 0
    assert place.statuses() == {"success": 1}
    await eventually(lambda: place.waiting() == 1)


async def test_a_job_without_a_task_leaves(place: Place, start: Start) -> None:
    job = start(adapted(Deployed("scaledjob.yaml"), place, place.job("done"), idle_timeout=1), "--once")
    assert await job.ended() == 0
    assert job.says("idle for 1 s")


async def test_a_job_that_the_database_woke_takes_over_from_a_dead_worker(place: Place, start: Start) -> None:
    """The queue is empty all the time; the ratio of the manifest's `idle_timeout` to the lease is what counts here."""
    deployed = Deployed("scaledjob.yaml")
    lease = 3
    ratio = deployed.config["worker"]["idle_timeout"] / 60
    config = adapted(deployed, place, place.job("until", place.folder / "go"), lease=lease, idle_timeout=lease * ratio)
    config["broker"]["consumer_timeout"] = 2
    await place.publish({"task_id": "long"})
    first = start(config, "--once")
    await first.said("task handed off to the store")
    assert (owed(deployed, place), place.left()) == (1, 0)  # its pod is not idle
    place.journal.note_killed(first.die())
    (place.folder / "go").touch()
    assert (owed(deployed, place), place.left()) == (1, 0)  # nobody but the database can wake the next
    second = start(config, "--once")
    assert await second.ended(timeout=40) == 0
    assert place.statuses() == {"success": 1}
    assert (place.row("long")["attempt"], place.row("long")["crashes"]) == (2, 1)
    assert owed(deployed, place) == 0


async def test_a_pod_that_must_go_finishes_its_task(place: Place, start: Start) -> None:
    pod = start(adapted(Deployed("deployment.yaml"), place, place.job("until", place.folder / "go")))
    await place.publish({"task_id": "a"})
    await eventually(pod.handlers)
    pod.terminate()
    await pod.said("leaving")
    (place.folder / "go").touch()
    assert await pod.ended() == 0
    assert (place.status("a"), place.row("a")["attempt"], place.left()) == ("success", 1, 0)


# -- the tables -------------------------------------------------------------------------------------------------------


async def test_workers_need_no_right_to_create_tables(
    place: Place, start: Start, tmp_path: Path, user: Callable[[str], User]
) -> None:
    workers = Place(place.broker_url, user(FOR_WORKERS).url, place.queue, tmp_path)
    config = adapted(Deployed("deployment.yaml"), workers, workers.job("done"))
    config["store"]["migrate"] = False
    too_early = start(config)
    assert await too_early.ended() == 77
    assert too_early.says("run `gridsidecar migrate`")
    migrate(Place(place.broker_url, user(FOR_MIGRATING).url, place.queue, tmp_path))
    start(config)
    await place.publish({"task_id": "a"})
    await eventually(lambda: place.status("a") == "success")
