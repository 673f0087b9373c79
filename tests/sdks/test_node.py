"""The Node SDK."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.sdks.contract import Contract, Program
from tests.sdks.many import ManyContract

SDK = Path(__file__).parents[2] / "sdks" / "node"


@pytest.fixture(scope="session")
def program() -> Program:
    return ["node", str(SDK / "conformance.js")]


class TestConformance(Contract):
    pass


class TestManyAtOnce(ManyContract):
    pass


@pytest.mark.timeout(300)
def test_its_own_tests() -> None:
    done = subprocess.run(["node", "--test"], cwd=SDK, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
