"""The producers of examples/, each as its reader would run it; a real sidecar does what they send."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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


def test_each_is_short_and_named_in_the_index() -> None:
    index = (PRODUCERS / "README.md").read_text()
    programs = [*PRODUCERS.glob("*/producer.*"), *PRODUCERS.glob("*/main.go"), *PRODUCERS.glob("*/*.java")]
    assert len(programs) == 5
    for program in programs:
        assert f"({program.relative_to(PRODUCERS)})" in index
        assert len(program.read_text().splitlines()) <= 40
