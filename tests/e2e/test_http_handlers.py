"""Handlers that are servers, behind the whole sidecar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.support.http_storm import Server, storm
from tests.support.place import Place
from tests.support.waiting import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_task_from_the_queue_to_its_result(
    any_place: Place, start: Start, server: Server, processes: int
) -> None:
    place = any_place
    server.start()
    worker = {"concurrency": 4, "processes": processes}
    sidecar = start(place.config({"default": server.handler()}, worker=worker))
    await place.publish(*({"task_id": f"t{n}", "data": {"do": "echo", "n": n}} for n in range(40)))
    await eventually(lambda: place.all_ended(40))
    assert place.statuses() == {"success": 40}
    assert Counter(server.said("start")) == {f"t{n}": 1 for n in range(40)}
    assert sidecar.handlers() == []
    await eventually(lambda: place.left() == 0)
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_what_is_not_there_yet_costs_no_task_anything(place: Place, start: Start, server: Server) -> None:
    sidecar = start(place.config({"default": server.handler()}))
    await sidecar.ready()
    await place.publish({"task_id": "t", "data": {"do": "echo"}, "max_retry_count": 0})
    await sidecar.said("could not be reached: Connection refused")
    server.start()
    await eventually(lambda: place.status("t") == "success", timeout=60)
    assert (place.row("t")["attempt"], place.row("t")["retry_count"]) == (1, 0)


async def test_a_cancel_and_a_shutdown_close_the_connection(place: Place, start: Start, server: Server) -> None:
    server.start()
    config = place.config({"default": server.handler()}, worker={"concurrency": 2, "shutdown_grace": 0})
    sidecar = start(config)
    await place.publish(*({"task_id": name, "data": {"do": "rest", "s": 60}} for name in ("a", "b")))
    await eventually(lambda: len(server.said("start")) == 2)
    await place.cancel("a")
    await eventually(lambda: server.said("closed") == ["a"])
    await eventually(lambda: place.status("a") == "cancelled")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    await eventually(lambda: server.said("closed") == ["a", "b"])
    assert (place.status("b"), place.row("b")["retry_count"]) == ("pending", 0)


async def test_a_task_that_ends_the_server_fails_and_its_neighbours_do_not(
    place: Place, start: Start, server: Server
) -> None:
    """Each time somebody starts it again. Those that began together do not run together again."""
    server.start()
    policy = {"max_retries": 1, "delay": 0}
    start(place.config({"default": server.handler(retry=policy)}, worker={"concurrency": 2}))
    bad = {"task_id": "bad", "data": {"do": "crash", "s": 0.2}}
    good = [{"task_id": f"t{n}", "data": {"do": "echo", "s": 0.5}} for n in range(3)]
    await place.publish(good[0], bad, *good[1:])
    while not place.all_ended(4):
        await eventually(lambda: server.gone or place.all_ended(4))
        if server.gone:
            server.start()
    rows = place.rows()
    assert {name: row["status"] for name, row in rows.items()} == {
        "bad": "failed",
        **{f"t{n}": "success" for n in range(3)},
    }
    assert rows["bad"]["error_type"] == "RetryExhausted"
    assert max(row["crashes"] for row in rows.values()) <= 1
    assert all(row["retry_count"] == 0 for name, row in rows.items() if name != "bad")


@pytest.mark.timeout(240)
async def test_restarts_of_either_side_lose_and_double_nothing(place: Place, start: Start, server: Server) -> None:
    await storm(place, start, server, tasks=400, kills=3)
