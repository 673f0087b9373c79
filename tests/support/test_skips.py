"""In CI a skipped test is a failure, by name; elsewhere it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SKIPPED_IN_CI

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize(("ci", "exit_code", "named"), [("true", SKIPPED_IN_CI, True), ("", 0, False)])
def test_a_skip_fails_the_run_in_ci_only(tmp_path: Path, ci: str, exit_code: int, named: bool, processes: str) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_tool(): pytest.skip('no such tool')\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "/dev/null"]
    command += ["--numprocesses", processes]
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert answer.returncode == exit_code, answer.stdout + answer.stderr
    assert ("test_it.py::test_tool: Skipped: no such tool" in answer.stdout) is named
