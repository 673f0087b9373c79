"""RabbitMQ's management API, which KEDA asks and the producer of the compose example sends through."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.e2e.conftest import Start
from tests.support.cli import ROOT, gridsidecar
from tests.support.manifests import COMPOSE, Deployed, compose, interpolated
from tests.support.place import Place
from tests.support.servers import free_port
from tests.support.services import private_rabbitmq
from tests.support.waiting import eventually


class ServerError(OSError):
    """The API listens before what it asks has started."""


class Management:
    """The API as somebody who is logged in sees it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, content: Any = None) -> Any:
        parts = urlsplit(self.url)
        login = base64.b64encode(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()).decode()
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            body = None if content is None else json.dumps(content)
            connection.request(method, f"/api/{path}", body, {"Authorization": f"Basic {login}"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 500:
            raise ServerError(f"{answer.status}: {text!r}")
        assert answer.status < 300, f"{answer.status}: {text!r}"
        return json.loads(text) if text else None

    def user(self, name: str, tags: str, rights: str) -> Management:
        """A new user with these tags and these rights (patterns of names) in the default virtual host."""
        self.call("PUT", f"users/{name}", {"password": "p-w", "tags": tags})
        self.call("PUT", f"permissions/%2F/{name}", {"configure": rights, "write": rights, "read": rights})
        return Management(f"http://{name}:p-w@127.0.0.1:{urlsplit(self.url).port}/")


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[tuple[str, Management]]:
    """A RabbitMQ with its management plugin: the AMQP URL and the API."""
    port = free_port()
    conf = [f"management.tcp.port = {port}", "management.tcp.ip = 127.0.0.1", "collect_statistics_interval = 1000"]
    with private_rabbitmq(conf, ["rabbitmq_management"]) as server:
        yield server.url, Management(f"http://guest:guest@127.0.0.1:{port}/")


async def answering(management: Management) -> None:
    def overview() -> bool:
        try:
            return bool(management.call("GET", "overview"))
        except OSError:
            return False

    await eventually(overview)


async def test_http_counts_a_busy_worker_and_amqp_does_not(
    rabbitmq: tuple[str, Management], mysql_url: str, start: Start, tmp_path: Path
) -> None:
    url, management = rabbitmq
    await answering(management)
    keda = management.user("keda", tags="management", rights="^$")  # as docs/kubernetes.md makes it
    place = Place(url, mysql_url, "busy", tmp_path)
    start(place.config({"default": place.job("until", tmp_path / "go")}, worker={"concurrency": 2}))
    await place.publish(*({"task_id": f"t{number}"} for number in range(2)))
    await eventually(lambda: len(place.journal.words("start")) == 2)

    def seen_by_http(state: str = "messages") -> Any:
        return keda.call("GET", f"queues/%2F/{place.queue}").get(state)  # absent in a new queue's first second

    await eventually(lambda: seen_by_http() == 2)
    await eventually(lambda: seen_by_http("messages_unacknowledged") == 2)  # the figures may be older than the start
    broker = {"url": url, "queue": place.queue, "management_url": management.url}
    (tmp_path / "info.yaml").write_text(json.dumps({"broker": broker}))
    done = gridsidecar(tmp_path, "queue-info", "-c", "info.yaml", "--json")
    assert (json.loads(done.stdout)["unsettled"], done.stderr) == (2, "")
    assert ["in", "hand", "2"] in [
        line.split() for line in gridsidecar(tmp_path, "queue-info", "-c", "info.yaml").stdout.splitlines()
    ]
    broker["management_url"] = f"http://guest:no@127.0.0.1:{urlsplit(management.url).port}"
    (tmp_path / "info.yaml").write_text(json.dumps({"broker": broker}))
    done = gridsidecar(tmp_path, "queue-info", "-c", "info.yaml", "--json")
    assert json.loads(done.stdout)["unsettled"] is None
    assert "refused the login (401)" in done.stderr
    assert place.waiting() == 0  # what `protocol: amqp` sees
    assert Deployed("deployment.yaml").trigger("rabbitmq")["protocol"] == "http"
    (tmp_path / "go").touch()
    await eventually(lambda: place.all_ended(2))
    await eventually(lambda: seen_by_http() == 0)


async def test_the_compose_example_works(rabbitmq: tuple[str, Management], mysql_url: str, tmp_path: Path) -> None:
    url, management = rabbitmq
    await answering(management)
    app = Path(shutil.copytree(COMPOSE, tmp_path / "app"))
    place = Place(url, mysql_url, "task_queue", tmp_path)
    services = compose()["services"]
    sidecar = _Service(services["sidecar"], app, {"amqp://": url, "mysql://": mysql_url})
    producer = _Service(services["producer"], app, {"http://": management.url})
    assert sidecar.entrypoint == []  # the image's own
    process = sidecar.start([sys.executable, "-m", "gridsidecar", *services["sidecar"]["command"]])
    try:
        _, *arguments = producer.entrypoint
        sent = producer.start([sys.executable, *arguments]).communicate(timeout=30)[0].split()
        assert len(sent) == 4
        await eventually(lambda: place.all_ended(4))
        rows = place.rows()
        assert place.statuses() == {"success": 4}
        assert set(rows) == set(sent)
        for task_id, row in rows.items():
            assert json.loads(row["result"])["attempts"] == (2 if task_id.startswith("flaky") else 1)
            if task_id.startswith("later"):
                assert row["started_at"] - row["created_at"] > timedelta(seconds=4)
        shown = gridsidecar(app, "status", sent[0], env=sidecar.environment)  # as `exec sidecar gridsidecar status`
        assert (shown.returncode, "success" in shown.stdout) == (0, True)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        print(output)
    assert process.returncode == 0


class _Service:
    """A service of the compose file, on this machine: its variables name the servers of the test."""

    def __init__(self, service: dict[str, Any], app: Path, servers: dict[str, str]) -> None:
        self._app = app
        self.entrypoint: list[str] = service.get("entrypoint", [])
        self.environment = {
            name: next(server for scheme, server in servers.items() if interpolated(value, {}).startswith(scheme))
            for name, value in service["environment"].items()
        }

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        return subprocess.Popen(
            command,
            cwd=self._app,
            env=plain | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
