"""The Python SDK."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdks.contract import Contract, Program
from tests.sdks.many import ManyContract
from tests.support.cli import gridsidecar

SDK = Path(__file__).parents[2] / "sdks" / "python"


@pytest.fixture(scope="session")
def program() -> Program:
    return [sys.executable, str(SDK / "conformance.py")]


class TestConformance(Contract):
    @pytest.mark.parametrize("mode", ["oneshot", "persistent"])
    def test_the_checker_finds_nothing_in_any_case(self, tmp_path: Path, program: Program, mode: str) -> None:
        done = gridsidecar(tmp_path, "check", "--level", "2", "--strict", "--cases", "--mode", mode, "--", *program)
        assert done.returncode == 0, done.stdout + done.stderr


class TestManyAtOnce(ManyContract):
    pass


@pytest.mark.timeout(300)
def test_its_own_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "-v"],
        cwd=SDK,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK" in done.stderr
    assert "Ran 0" not in done.stderr


def test_it_is_written_for_old_versions() -> None:
    for file in (SDK / "gridsidecar_sdk").glob("*.py"):
        ast.parse(file.read_text(), file.name, feature_version=(3, 9))
