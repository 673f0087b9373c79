"""What Prometheus and kubelet are told by HTTP: of one process, of several, of a fleet without workers."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gridsidecar.metrics.families import WORKER
from tests.e2e.conftest import Start
from tests.support import cli
from tests.support.place import Place
from tests.support.proxy import proxied
from tests.support.sidecar import Sidecar
from tests.support.waiting import eventually

LISTEN = {"listen": "127.0.0.1:0"}


async def address(sidecar: Sidecar) -> tuple[str, int]:
    await sidecar.said("http server listens")
    return in_log(sidecar.text)


def in_log(text: str) -> tuple[str, int]:
    found = re.search(r"url=http://([\d.]+):(\d+)", text)
    assert found is not None
    return found[1], int(found[2])


def get(at: tuple[str, int], path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*at, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


async def asked(at: tuple[str, int], path: str, **headers: str) -> tuple[int, str]:
    return await asyncio.to_thread(get, at, path, **headers)


async def scraped(at: tuple[str, int]) -> Mapping[str, float]:
    """Each family's samples added up over their labels, and each sample by its outcome."""
    status, text = await asked(at, "/metrics")
    assert status == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for name in {sample.name, f"{sample.name} {sample.labels.get('outcome', '')}".strip()}:
                found[name] = found.get(name, 0) + sample.value
    return found


def config(place: Place, **sections: dict[str, Any]) -> dict[str, Any]:
    handlers = {"default": place.job("done"), "bad": place.job("exit", 65)}
    return place.config(handlers, http=LISTEN, **sections)


async def test_what_a_worker_did_is_counted(any_place: Place, start: Start) -> None:
    sidecar = start(config(any_place, worker={"concurrency": 4}))
    await sidecar.ready()
    at = await address(sidecar)
    tasks = [{"task_id": f"t{number}"} for number in range(9)] + [{"task_id": "b", "task_type": "bad"}]
    await any_place.publish(*tasks, {"task_id": "other", "task_type": "whatever a producer says"})
    await eventually(lambda: any_place.all_ended(11))
    await eventually(lambda: sidecar.text.count("task success") == 10)
    found = await scraped(at)
    assert found["gridsidecar_tasks_ended_total success"] == 10
    assert found["gridsidecar_tasks_ended_total failed"] == 1
    assert found["gridsidecar_attempts_total"] == found["gridsidecar_spawn_seconds_count"] == 11
    assert found["gridsidecar_attempt_duration_seconds_count"] == found["gridsidecar_queue_wait_seconds_count"] == 11
    assert found["gridsidecar_slots"] == 4
    text = (await asked(at, "/metrics"))[1]
    assert "whatever" not in text
    assert 'handler="bad"' in text
    shown = {family.name for family in text_string_to_metric_families(text)}
    seldom = {"gridsidecar_retries", "gridsidecar_not_ready"}
    assert shown | seldom >= {family.name.removesuffix("_total") for family in WORKER}


async def test_probes_need_no_token_and_take_any_host(any_place: Place, start: Start) -> None:
    sidecar = start(any_place.config({"default": any_place.job("done")}, http={**LISTEN, "token": "t" * 20}))
    await sidecar.ready()
    at = await address(sidecar)
    assert await asked(at, "/livez", Host="10.1.2.3:80") == (200, "alive\n")
    assert await asked(at, "/healthz", Host="evil.example") == (200, "alive\n")
    assert (await asked(at, "/metrics", Host="evil.example"))[0] == 200

    async def ready() -> bool:
        status, text = await asked(at, "/readyz", Host="evil.example")
        return status == 200 and json.loads(text) == {"ready": True, "not_ready": {}}

    await eventually(ready)
    assert (await asked(at, "/v1/workers"))[0] == 401


async def test_a_loop_that_dies_is_a_503(any_place: Place, start: Start) -> None:
    sidecar = start(config(any_place), failpoints="maintained:raise@9")
    at = await address(sidecar)
    await sidecar.said("a part of this process has died")
    status, text = await asked(at, "/livez")
    assert status == 503
    assert "only a restart brings it back" in text
    assert (await asked(at, "/readyz"))[0] == 503
    assert (await asked(at, "/metrics"))[0] == 200


async def test_draining_is_not_ready(any_place: Place, start: Start, tmp_path: Any) -> None:
    gate = tmp_path / "gate"
    handlers = {"default": any_place.job("until", gate)}
    sidecar = start(any_place.config(handlers, http=LISTEN, worker={"shutdown_grace": 60}))
    at = await address(sidecar)
    await any_place.publish({"task_id": "t"})
    await eventually(lambda: any_place.journal.started)
    sidecar.terminate()

    async def draining() -> bool:
        status, text = await asked(at, "/readyz")
        return status == 503 and "draining" in text

    await eventually(draining)
    assert (await asked(at, "/livez"))[0] == 200
    gate.touch()
    assert await sidecar.ended() == 0


@pytest.mark.timeout(180)
async def test_a_scrape_while_the_loop_is_busy(any_place: Place, start: Start) -> None:
    sidecar = start(config(any_place, worker={"concurrency": 8}))
    at = await address(sidecar)
    await any_place.publish(*({"task_id": f"t{number}"} for number in range(300)))
    slowest, counted = 0.0, 0.0
    while counted < 300:
        before = time.monotonic()
        found = await scraped(at)
        slowest = max(slowest, time.monotonic() - before)
        now = found.get("gridsidecar_tasks_ended_total", 0)
        assert now >= counted
        counted = now
    print(f"slowest scrape: {slowest:.3f} s")
    assert slowest < 15


async def test_what_seldom_happens_is_counted(place: Place, start: Start) -> None:
    async with proxied(place.broker_url) as (proxy, url):
        handlers = {"default": place.handler("/bin/sh", "-c", "setsid sleep 600 & exit 0")}
        sidecar = start(place.config(handlers, http=LISTEN, broker={"url": url}))
        await sidecar.ready()
        at = await address(sidecar)
        await place.publish_bodies(b"no task")
        await place.publish({"task_id": "t"})
        await eventually(lambda: place.status("t") == "success")

        async def counted(name: str) -> bool:
            return (await scraped(at))[f"gridsidecar_{name}"] >= 1

        await eventually(lambda: counted("dead_letters_total"))
        await eventually(lambda: counted("orphans_reaped_total"))
        assert not await counted("reconnects_total")
        proxy.cut()
        await eventually(lambda: counted("reconnects_total"))


# -- several processes ------------------------------------------------------------------------------------------------


@pytest.mark.timeout(180)
async def test_several_processes_are_counted_as_one_and_none_is_forgotten(any_place: Place, start: Start) -> None:
    sidecar = start(config(any_place, worker={"processes": 2, "concurrency": 4}))
    await sidecar.ready(timeout=60, processes=2)
    at = await address(sidecar)
    await any_place.publish(*({"task_id": f"t{number}"} for number in range(40)))
    await eventually(lambda: any_place.all_ended(40), timeout=60)

    async def counted(tasks: int) -> bool:
        return (await scraped(at)).get("gridsidecar_tasks_ended_total success") == tasks

    await eventually(lambda: counted(40), interval=0.2)
    assert (await scraped(at))["gridsidecar_slots"] == 4
    assert (await asked(at, "/readyz"))[0] == 200
    for process in sidecar.processes():
        os.kill(process, signal.SIGKILL)
    await eventually(lambda: sidecar.text.count("a process ended, it is replaced") == 2)
    assert await counted(40), "no counter falls"
    await eventually(lambda: sidecar.text.count("consuming") >= 4, timeout=60)
    await any_place.publish(*({"task_id": f"u{number}"} for number in range(10)))
    await eventually(lambda: counted(50), timeout=60, interval=0.2)
    assert (await asked(at, "/livez"))[0] == 200


async def test_several_processes_cannot_listen_where_somebody_does(embedded_place: Place, start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        worker = {"processes": 2, "concurrency": 2}
        sidecar = start(embedded_place.config({"default": embedded_place.job("done")}, http=listen, worker=worker))
        assert await sidecar.ended() == 78
        assert sidecar.says("cannot listen on")


# -- without a worker -------------------------------------------------------------------------------------------------


@contextmanager
def served(place: Place) -> Iterator[Path]:
    """`gridsidecar serve`; its log."""
    file, log = place.folder / "serve.yaml", place.folder / "serve.log"
    file.write_text(json.dumps(config(place)))
    with log.open("wb") as output:
        server = cli.start(place.folder, "serve", "-c", str(file), stdout=output, stderr=output)
    try:
        yield log
    finally:
        server.terminate()
        assert server.wait(20) == 0


async def test_the_fleet_is_shown_while_no_worker_runs(any_place: Place) -> None:
    await any_place.publish(*({"task_id": f"t{number}"} for number in range(3)))
    with served(any_place) as log:
        await eventually(lambda: "http server listens" in log.read_text())
        at = in_log(log.read_text())
        assert await asked(at, "/livez") == (200, "alive\n")
        assert (await asked(at, "/readyz"))[0] == 200
        text = (await asked(at, "/metrics"))[1]
    assert f'gridsidecar_queue_messages{{queue="{any_place.queue}",state="ready"}} 3.0' in text
    assert f'gridsidecar_workers{{queue="{any_place.queue}"}} 0.0' in text
    assert 'gridsidecar_reachable{server="store"} 1.0' in text
