"""The Go SDK."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.sdks.contract import Contract, Program
from tests.sdks.many import ManyContract

pytestmark = pytest.mark.timeout(900)  # the first build of a machine takes a while
SDK = Path(__file__).parents[2] / "sdks" / "go"
LIMIT = 800  # seconds: the first build of a machine takes a while


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    built = tmp_path_factory.mktemp("go") / "conformance"
    go("build", "-o", str(built), "./conformance")
    return [str(built)]


def go(*arguments: str) -> str:
    """Its stdout; it may not fetch anything."""
    environment = os.environ | {"GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(["go", *arguments], cwd=SDK, capture_output=True, text=True, env=environment, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestConformance(Contract):
    pass


class TestManyAtOnce(ManyContract):
    prints_to_tasks = False


def test_its_own_tests() -> None:
    go("vet", "./...")
    assert "ok" in go("test", "-count=1", "./...")


def test_its_form() -> None:
    done = subprocess.run(["gofmt", "-l", "."], cwd=SDK, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, "")
