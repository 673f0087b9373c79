"""Places and sidecars for the end-to-end tests; whatever a test leaves running is ended and shown."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.place import Place
from tests.support.sidecar import Sidecar

Start = Callable[..., Sidecar]
SHOWN = 6000  # characters of a log


@pytest.fixture
def place(amqp_url: str, queue: str, mysql_url: str, tmp_path: Path) -> Place:
    """RabbitMQ and a MySQL-family server."""
    return Place(amqp_url, mysql_url, queue, tmp_path)


@pytest.fixture
def embedded_place(sqlite_url: str, tmp_path: Path) -> Place:
    """One SQLite file for both."""
    return Place(sqlite_url, sqlite_url, "tasks", tmp_path)


@pytest.fixture(params=["servers", "embedded"])
def any_place(request: pytest.FixtureRequest) -> Place:
    """Each pair in turn."""
    found = request.getfixturevalue("place" if request.param == "servers" else "embedded_place")
    assert isinstance(found, Place)
    return found


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts a sidecar: `start(config, *flags, failpoints=…, variables={…})`."""
    sidecars: list[Sidecar] = []

    def start(config: Mapping[str, Any], *flags: str, **options: Any) -> Sidecar:
        sidecar = Sidecar(tmp_path / f"sidecar{len(sidecars)}", config, *flags, **options)
        sidecars.append(sidecar)
        return sidecar

    yield start
    for sidecar in sidecars:
        sidecar.die()
        print(f"-- {sidecar.log} (exit code {sidecar.exit_code}):\n{sidecar.text[-SHOWN:]}")
    _end_orphans(tmp_path)


def _end_orphans(folder: Path) -> None:
    """Handlers that outlived a killed sidecar on purpose; they are known by the journal in their environment."""
    mark = f"JOURNAL={folder}/".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
