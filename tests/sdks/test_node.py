"""The Node SDK."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.sdks.contract import Contract, Program
from tests.support.cli import gridsidecar

SDK = Path(__file__).parents[2] / "sdks" / "node"


@pytest.fixture(scope="session")
def program() -> Program:
    return ["node", str(SDK / "conformance.js")]


class TestConformance(Contract):
    pass


DEAF = """
import { run } from "SDK/index.js";
await run(async () => { await new Promise((done) => setTimeout(done, 1500)); return 1; });
"""


def test_a_handler_that_never_asks_for_the_signal_passes(tmp_path: Path) -> None:
    (tmp_path / "handler.mjs").write_text(DEAF.replace("SDK", SDK.as_posix()))
    done = gridsidecar(
        tmp_path, "check", "--level", "2", "--strict", "--mode", "persistent", "--", "node", "handler.mjs"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as SIGTERM ends it" in done.stdout


@pytest.mark.timeout(300)
def test_its_own_tests() -> None:
    done = subprocess.run(["node", "--test"], cwd=SDK, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
