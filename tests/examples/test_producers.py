"""The producers of examples/, each as its reader would run it; a real sidecar does what they send."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import Start, place, start  # noqa: F401
from tests.support.place import Place
from tests.support.waiting import eventually

PRODUCERS = Path(__file__).parents[2] / "examples" / "producers"
LIMIT = 600  # seconds: the first build of a machine takes a while
Prepared = tuple[list[str], dict[str, str]]  # the command, and variables for it


def python(folder: Path) -> Prepared:
    return [sys.executable, "producer.py"], {}


def node(folder: Path) -> Prepared:
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=LIMIT)
    return ["node", "producer.js"], {}


def go(folder: Path) -> Prepared:
    """With the library of Debian's package, so without modules."""
    return ["go", "run", "main.go"], {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}


def java(folder: Path) -> Prepared:
    return ["java", "-cp", "/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar", "Producer.java"], {}


def php(folder: Path) -> Prepared:
    return ["php", "producer.php"], {}


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("prepare", [python, node, go, java, php], ids=lambda each: each.__name__)
async def test_it_sends_a_task(
    place: Place,  # noqa: F811
    start: Start,  # noqa: F811
    tmp_path: Path,
    prepare: Callable[[Path], Prepared],
) -> None:
    folder = tmp_path / "producer"
    shutil.copytree(PRODUCERS / prepare.__name__, folder)
    words, extra = prepare(folder)
    variables = {"GRID_ASYNC_TASK_AMQP_URL": place.broker_url, "GRID_ASYNC_TASK_QUEUE": place.queue}

    def send() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=folder, env={**os.environ, **variables, **extra}, capture_output=True, text=True, timeout=LIMIT
        )

    too_early = send()
    assert (too_early.returncode != 0, too_early.stdout) == (True, "")  # there is no queue yet
    sidecar = start(place.config({"default": place.handler("cat")}))
    await sidecar.ready()
    sent = send()
    assert sent.returncode == 0, sent.stderr
    task_id = sent.stdout.strip()
    assert task_id.startswith(f"{prepare.__name__}-")
    await eventually(lambda: place.status(task_id) == "success")
    row = place.row(task_id)
    assert "to be or not to be" in row["data"]
    assert (row["max_retry_count"], place.dead_letters()) == (3, [])


class Mute:
    """Passes everything on to a broker, until a client publishes: from then on nothing comes back."""

    PUBLISH = b"\x00\x3c\x00\x28"  # class and method of AMQP

    def __init__(self, url: str) -> None:
        self._broker = urlsplit(url)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(str(self._broker.port), str(self._server.getsockname()[1]))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                broker = socket.create_connection((self._broker.hostname, self._broker.port))
                muted = threading.Event()
                for one, other, ear in ((client, broker, True), (broker, client, False)):
                    threading.Thread(target=self._pass_on, args=(one, other, ear, muted), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, from_client: bool, muted: threading.Event) -> None:
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                if from_client and self.PUBLISH in data:
                    muted.set()
                if from_client or not muted.is_set():
                    target.sendall(data)

    def close(self) -> None:
        self._server.close()


def sdk(kind: str) -> list[str]:
    path = f"import sys; sys.path.insert(0, {str(SDK)!r}); import asyncio; from gridsidecar_sdk import *; "
    plain = "p = TaskProducer(); p.send_task({'data': 1})"
    return [sys.executable, "-c", path + {"plain": plain, "asyncio": ASYNCIO}[kind]]


SDK = PRODUCERS.parents[1] / "sdks" / "python"
ASYNCIO = "p = AsyncTaskProducer(); asyncio.run(p.enqueue({'data': 1}))"
WAITS = 120  # seconds


@pytest.mark.timeout(1500)
def test_no_producer_waits_without_an_end(place: Place, tmp_path: Path) -> None:  # noqa: F811
    with place.channel() as channel:
        channel.queue_declare(place.queue, durable=True)
    mute = Mute(place.broker_url)
    variables = {"GRID_ASYNC_TASK_AMQP_URL": mute.url, "GRID_ASYNC_TASK_QUEUE": place.queue}
    running = {}
    for name in ("plain", "asyncio"):
        running[name] = (sdk(name), tmp_path, {})
    for prepare in (python, node, go, java, php):
        folder = tmp_path / prepare.__name__
        shutil.copytree(PRODUCERS / prepare.__name__, folder)
        words, extra = prepare(folder)
        if prepare is go:  # its build takes more than its wait
            subprocess.run(
                ["go", "build", "main.go"], cwd=folder, check=True, timeout=LIMIT, env={**os.environ, **extra}
            )
            words = ["./main"]
        running[prepare.__name__] = (words, folder, extra)
    started = {
        name: subprocess.Popen(
            words, cwd=folder, env={**os.environ, **variables, **extra}, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name, (words, folder, extra) in running.items()
    }
    until = time.monotonic() + WAITS
    ends = {}
    try:
        for name, process in started.items():
            try:
                out, _ = process.communicate(timeout=max(0.1, until - time.monotonic()))
                ends[name] = (process.returncode != 0, out)
            except subprocess.TimeoutExpired:
                ends[name] = (False, b"it still waits")
    finally:
        mute.close()
        for process in started.values():
            process.kill()
            process.communicate()
    assert ends == dict.fromkeys(started, (True, b""))


def test_each_is_short_and_named_in_the_index() -> None:
    index = (PRODUCERS / "README.md").read_text()
    programs = [*PRODUCERS.glob("*/producer.*"), *PRODUCERS.glob("*/main.go"), *PRODUCERS.glob("*/*.java")]
    assert len(programs) == 5
    for program in programs:
        assert f"({program.relative_to(PRODUCERS)})" in index
        assert len(program.read_text().splitlines()) <= 40
