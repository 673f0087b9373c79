"""What `gridsidecar manifests` prints, at work: its containers in roots that have nothing but a static busybox."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cli import gridsidecar
from tests.support.place import Place
from tests.support.pods import Pod
from tests.support.roots import bare_root
from tests.support.servers import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(400)

APP, SIDECAR = "example.org/app:1", "example.org/gridsidecar:1"
HANDLER = """#!/bin/sh
read -r task
sleep 1
echo '{"gs":1,"type":"result","result":{"folder":"'$PWD'","python":"'$(command -v python3)'"}}' >>"$GRIDSIDECAR_EVENTS"
"""
SERVER = """#!/bin/sh
read -r task
printf 'Content-Type: application/x-ndjson\\r\\n\\r\\n'
echo '{"gs":1,"type":"progress","progress":50}'
sleep 1
echo '{"gs":1,"type":"result","result":{"user":"'$(busybox id -u)'"}}'
"""


@pytest.fixture
def images(tmp_path: Path, bundle: Path) -> dict[str, tuple[Path, list[str]]]:
    """The bundle's, which has nothing else, and an app's, which has nothing of ours."""
    own, app = bare_root(tmp_path / "own"), bare_root(tmp_path / "app")
    shutil.rmtree(own / "bin")
    shutil.copytree(bundle, own / "opt/gridsidecar", symlinks=True)
    for name, text in (("handler.sh", HANDLER), ("cgi-bin/tasks", SERVER)):
        (app / "srv" / name).parent.mkdir(parents=True, exist_ok=True)
        (app / "srv" / name).write_text(text)
        (app / "srv" / name).chmod(0o755)
    for name in ("sleep", "env"):
        (app / "bin" / name).symlink_to("busybox")
    return {SIDECAR: (own, []), APP: (app, [])}


@pytest.fixture
def start(
    tmp_path: Path, place: Place, images: dict[str, tuple[Path, list[str]]]
) -> Iterator[Callable[..., tuple[Pod, dict[str, Any]]]]:
    """Prints the manifest of a handler and starts one pod of it: the pod, and the sidecar's container."""
    pods: list[Pod] = []

    def start(
        kind: str, handler: dict[str, Any], *arguments: str, app: tuple[str, ...] = ()
    ) -> tuple[Pod, dict[str, Any]]:
        servers = {"broker": {"url": "${AMQP_URL}", "queue": place.queue}, "store": {"url": "${MYSQL_URL}"}}
        worker = {"heartbeat_file": "/tmp/health", "shutdown_grace": 20}
        config = yaml.safe_dump({**servers, "worker": worker, "handlers": {"default": {"timeout": 9, **handler}}})
        (tmp_path / "config.yaml").write_text(config)
        done = gridsidecar(tmp_path, "manifests", kind, "--image", APP, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        objects = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
        owner = objects["Deployment"]["spec"] if kind == "deployment" else objects["ScaledJob"]["spec"]["jobTargetRef"]
        spec = owner["template"]["spec"]
        images[APP] = (images[APP][0], list(app))
        values = {"AMQP_URL": place.broker_url, "MYSQL_URL": place.store_url}
        pods.append(Pod(spec, images, tmp_path / "pod", values, objects["ConfigMap"]["data"]["config.yaml"]))
        pods[-1].start()
        return pods[-1], spec["containers"][0]

    yield start
    for pod in pods:
        pod.kill()


def begun(place: Place) -> bool:
    return bool({"running", "success"} & place.statuses().keys())


async def test_an_unchanged_image_is_a_worker(place: Place, start: Callable[..., tuple[Pod, dict[str, Any]]]) -> None:
    pod, container = start("deployment", {"command": ["/srv/handler.sh"]}, "--inject", SIDECAR)
    await eventually(lambda: pod.probe(container, "readinessProbe"), 60)
    assert pod.probe(container, "livenessProbe")
    await place.publish({"task_id": "a"})
    await eventually(lambda: begun(place), 60)
    assert pod.terminate("gridsidecar") == 0  # it ends what it has
    assert place.statuses() == {"success": 1}, pod.log("gridsidecar")
    assert yaml.safe_load(place.rows()["a"]["result"])["python"] == ""


def served() -> tuple[dict[str, Any], tuple[str, ...]]:
    """A handler that is a server, and the command of the app that serves it."""
    port = free_port()
    serve = ("/bin/busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/srv")
    return {"mode": "http", "url": f"http://127.0.0.1:{port}/cgi-bin/tasks"}, serve


async def test_a_job_beside_a_server_ends_while_the_server_stays(
    place: Place, start: Callable[..., tuple[Pod, dict[str, Any]]]
) -> None:
    handler, serve = served()
    await place.publish({"task_id": "a"}, {"task_id": "b"})
    pod, _ = start("job", handler, "--container", SIDECAR, app=serve)
    await eventually(lambda: not pod.runs("gridsidecar"), 60)
    assert place.statuses().get("success") == 1, pod.log("gridsidecar")
    assert pod.runs("app")


async def test_the_server_outlives_the_last_task(
    place: Place, start: Callable[..., tuple[Pod, dict[str, Any]]]
) -> None:
    handler, serve = served()
    pod, container = start("deployment", handler, "--container", SIDECAR, app=serve)
    await eventually(lambda: pod.probe(container, "readinessProbe"), 60)
    await place.publish({"task_id": "a"})
    await eventually(lambda: begun(place), 60)
    assert pod.terminate("gridsidecar") == 0
    assert pod.runs("app")
    assert place.statuses() == {"success": 1}, pod.log("gridsidecar")
    assert yaml.safe_load(place.rows()["a"]["result"]) == {"user": "10001"}
