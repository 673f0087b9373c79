"""The HTTP API of a worker and of `gridsidecar serve`, as processes: tasks from submit to end, and the servers' own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import Start
from tests.support import cli
from tests.support.place import Place
from tests.support.waiting import eventually

TOKEN = "admin-0123456789abcdef"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def listens(text: str) -> str:
    """The address in a log."""
    return next(word.removeprefix("url=") for word in text.split() if word.startswith("url=http"))


@contextmanager
def served(place: Place, folder: Path, **http: Any) -> Iterator[str]:
    """The address of a `gridsidecar serve`."""
    config = {**place.config({}), "http": {"listen": "127.0.0.1:0", **http}}
    del config["handlers"], config["worker"]
    folder.mkdir()
    (folder / "config.yaml").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        process = cli.start(folder, "serve", stdout=log, stderr=log)
    try:
        while "serving" not in (text := (folder / "log").read_text()):
            assert process.poll() is None, text
            time.sleep(0.02)
        yield listens(text)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, (folder / "log").read_text()


async def test_a_task_by_way_of_a_worker_and_of_a_server_beside_it(
    any_place: Place, start: Start, tmp_path: Path
) -> None:
    config = any_place.config({"default": any_place.job("for", 0.01)}, http={"listen": "127.0.0.1:0", "token": TOKEN})
    worker = start(config)
    await worker.ready()
    with served(any_place, tmp_path / "serve") as url:
        async with (
            httpx.AsyncClient(base_url=listens(worker.text), headers=HEADERS) as ours,
            httpx.AsyncClient(base_url=url) as other,
        ):
            assert (await ours.post("/v1/tasks", json={"task_id": "a"})).status_code == 202
            assert (await other.post("/v1/tasks", json={"task_id": "b"})).status_code == 202
            await eventually(lambda: any_place.all_ended(2))
            for client in (ours, other):
                for task_id in ("a", "b"):
                    task = (await client.get(f"/v1/tasks/{task_id}")).json()
                    assert (task["status"], len(task["attempts"])) == ("success", 1)
            assert (await other.get(f"{listens(worker.text)}/v1/workers")).status_code == 401


async def test_many_are_retried_by_a_server_that_dies(any_place: Place, start: Start, tmp_path: Path) -> None:
    """Killed as soon as it has answered: the worker goes on with the operation."""
    worker = start(any_place.config({"default": any_place.job("exit", 3)}, retry={"delay": 1}))
    await worker.ready()
    await any_place.publish(*({"task_id": f"t{number}", "max_retry_count": 0} for number in range(40)))
    await eventually(lambda: any_place.statuses().get("failed") == 40)
    config = {**any_place.config({}), "http": {"listen": "127.0.0.1:0"}}
    del config["handlers"], config["worker"]
    (tmp_path / "serve.yaml").write_text(json.dumps(config))
    with (tmp_path / "log").open("w") as log:
        server = cli.start(tmp_path, "serve", "-c", "serve.yaml", stdout=log, stderr=log)
    await eventually(lambda: "serving" in (tmp_path / "log").read_text())
    async with httpx.AsyncClient(base_url=listens((tmp_path / "log").read_text())) as client:
        asked = {"filter": {"status": "failed"}, "expected_count": 40}
        assert (await client.post("/v1/tasks/retry", json=asked)).status_code == 202
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    await eventually(lambda: len(any_place.history()) == 80, timeout=90)


@pytest.mark.parametrize(
    ("listen", "code", "words"),
    [(None, 64, "--listen"), (":0", 78, "http.token"), ("203.0.113.7:80", 78, "http.token"), ("x", 78, "http.listen")],
)
def test_where_it_cannot_listen(
    embedded_place: Place, tmp_path: Path, listen: str | None, code: int, words: str
) -> None:
    config = {**embedded_place.config({}), "http": {"listen": listen}}
    del config["handlers"], config["worker"]
    (tmp_path / "serve.yaml").write_text(json.dumps(config))
    done = cli.gridsidecar(tmp_path, "serve", "-c", "serve.yaml")
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process, and those that it starts, may open some thousands."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if most < 4096:
        pytest.skip("this machine lets a process open few files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_streams_within_a_second(place: Place, start: Start, many_files: None) -> None:
    """Some are sent away, and tasks and probes do not mind the others."""
    config = place.config({"default": place.job("for", 0.01)}, http={"listen": "127.0.0.1:0"})
    worker = start(config)
    await worker.ready()
    await place.publish({"task_id": "watched", "defer_by": 3000})
    await eventually(lambda: bool(place.rows()))
    url = listens(worker.text)
    port = urlsplit(url).port

    async def asked() -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/tasks/watched/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60), writer

    opened = await asyncio.gather(*(asked() for _ in range(1050)))
    try:
        statuses = Counter(head.split(b" ")[1] for head, _ in opened)
        assert statuses == {b"200": 1000, b"503": 50}
        await place.publish(*({"task_id": f"t{number}"} for number in range(30)))
        await eventually(lambda: sum(place.status(f"t{number}") == "success" for number in range(30)) == 30, 60)
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/livez")).status_code == 200
    finally:
        for _, writer in opened:
            writer.close()
