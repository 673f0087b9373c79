"""The Node SDK."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.sdks.contract import Contract, Program
from tests.sdks.many import ManyContract
from tests.support.cli import gridsidecar

SDK = Path(__file__).parents[2] / "sdks" / "node"
PAGE = (SDK / "README.md").read_text()


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
@pytest.mark.parametrize("way", ["--install-links", "npm pack"])
def test_what_its_page_installs_survives_a_move(tmp_path: Path, way: str) -> None:
    """Of the SDK's folder, and of the project's."""
    sdk, project, moved = tmp_path / "clone" / "node", tmp_path / "project", tmp_path / "moved"
    shutil.copytree(SDK, sdk)
    project.mkdir()
    npm = partial(subprocess.run, cwd=project, check=True, timeout=120, capture_output=True, text=True)
    npm(["npm", "init", "-y"])
    npm(["npm", "pkg", "set", "type=module"])
    assert (
        f"npm install {way} PATH/TO/gridsidecar/sdks/node" in PAGE or f"`{way} PATH/TO/gridsidecar/sdks/node`" in PAGE
    )
    if way == "npm pack":
        npm(["npm", "pack", str(sdk)])
        npm(["npm", "install", "--no-audit", "--no-fund", "./gridsidecar-sdk-0.2.0.tgz"])
    else:
        npm(["npm", "install", "--no-audit", "--no-fund", way, str(sdk)])
    shutil.rmtree(sdk.parent)
    project.rename(moved)
    script = "import { run, TaskClient } from 'gridsidecar-sdk'; console.log(typeof run, typeof TaskClient)"
    done = subprocess.run(["node", "--input-type=module", "-e", script], cwd=moved, capture_output=True, text=True)
    assert done.stdout == "function function\n", done.stderr


class TestManyAtOnce(ManyContract):
    pass


@pytest.mark.timeout(300)
def test_its_own_tests() -> None:
    done = subprocess.run(["node", "--test"], cwd=SDK, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
