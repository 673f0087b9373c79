"""Files that we create are for their owner alone, whatever the umask says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gridsidecar.broker.message_table import MessageTable
from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import StoreSettings
from gridsidecar.store import make_store
from gridsidecar.telemetry.file import LogFile

OWNER_ALONE = 0o600


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct, autouse=True)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.is_file()}


async def test_the_embedded_store(tmp_path: Path) -> None:
    store = make_store(StoreSettings(url=f"sqlite:///{tmp_path}/s.db"), "q")
    await store.open(migrate=True)
    try:
        assert modes(tmp_path) == dict.fromkeys(("s.db", "s.db-wal", "s.db-shm"), OWNER_ALONE)
    finally:
        await store.close()


def test_the_embedded_queue(tmp_path: Path) -> None:
    with closing(MessageTable(str(tmp_path / "q.db"), "q", "me")):
        assert modes(tmp_path) == dict.fromkeys(("q.db", "q.db-wal", "q.db-shm"), OWNER_ALONE)


def test_the_log_and_what_is_rotated(tmp_path: Path) -> None:
    with closing(LogFile(str(tmp_path), SystemClock(), largest=10)) as file:
        for _ in range(3):
            file.keep(b"a line\n")
    assert {"gridsidecar.log", "gridsidecar.log.1"} < set(modes(tmp_path))
    assert set(modes(tmp_path).values()) == {OWNER_ALONE}


def test_a_file_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    for name in ("q.db", "gridsidecar.log"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o660)
    with (
        closing(MessageTable(str(tmp_path / "q.db"), "q", "me")),
        closing(LogFile(str(tmp_path), SystemClock())) as file,
    ):
        file.keep(b"a line\n")
    assert {mode for name, mode in modes(tmp_path).items() if name in ("q.db", "gridsidecar.log")} == {0o660}
