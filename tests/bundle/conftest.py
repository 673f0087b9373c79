"""One bundle for all tests of it, and a place that roots without names can reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.place import Place
from tests.support.roots import build_bundle, missing_tools


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := missing_tools():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("bundle") / "built"
    print(build_bundle(folder).stdout)
    return folder


@pytest.fixture
def place(amqp_url: str, queue: str, mysql_url: str, tmp_path: Path) -> Place:
    """By addresses: a bare root has no name for this machine."""
    broker, store = (url.replace("@localhost", "@127.0.0.1") for url in (amqp_url, mysql_url))
    return Place(broker, store, queue, tmp_path)
