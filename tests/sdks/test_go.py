"""The Go SDK."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sdks.contract import Contract, Program
from tests.sdks.many import ManyContract
from tests.support.cli import gridsidecar

pytestmark = pytest.mark.timeout(900)  # the first build of a machine takes a while
SDK = Path(__file__).parents[2] / "sdks" / "go"
LIMIT = 800  # seconds: the first build of a machine takes a while


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    built = tmp_path_factory.mktemp("go") / "conformance"
    go("build", "-o", str(built), "./conformance")
    return [str(built)]


def go(*arguments: str, folder: Path = SDK) -> str:
    """Its stdout; it may not fetch anything."""
    environment = os.environ | {"GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    done = subprocess.run(
        ["go", *arguments], cwd=folder, capture_output=True, text=True, env=environment, timeout=LIMIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestConformance(Contract):
    pass


DEAF = """package main

import (
	"context"
	"time"

	gridsidecar "github.com/gridsidecar/gridsidecar/sdks/go"
)

func main() {
	gridsidecar.Run(func(context.Context, *gridsidecar.Task) (any, error) {
		time.Sleep(1500 * time.Millisecond)
		return 1, nil
	})
}
"""
MODULE = """module deaf

go 1.19

require github.com/gridsidecar/gridsidecar/sdks/go v0.2.0

replace github.com/gridsidecar/gridsidecar/sdks/go => SDK
"""


def test_a_handler_that_never_looks_at_its_context_passes(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text(DEAF)
    (tmp_path / "go.mod").write_text(MODULE.replace("SDK", SDK.as_posix()))
    go("vet", ".", folder=tmp_path)
    go("build", "-o", "deaf", ".", folder=tmp_path)
    done = gridsidecar(tmp_path, "check", "--level", "2", "--strict", "--mode", "persistent", "--", "./deaf")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as SIGTERM ends it" in done.stdout


def test_what_its_page_installs_survives_a_move(tmp_path: Path) -> None:
    clone, project, moved = tmp_path / "clone", tmp_path / "project", tmp_path / "moved"
    shutil.copytree(SDK, clone)
    project.mkdir()
    (project / "main.go").write_text(DEAF)
    (project / "go.mod").write_text(MODULE.replace("SDK", clone.as_posix()))
    assert "\ngo mod vendor " in (SDK / "README.md").read_text()
    go("mod", "vendor", folder=project)
    shutil.rmtree(clone)
    project.rename(moved)
    go("build", "-mod=vendor", "-o", "deaf", ".", folder=moved)


class TestManyAtOnce(ManyContract):
    prints_to_tasks = False


def test_its_own_tests() -> None:
    go("vet", "./...")
    assert "ok" in go("test", "-count=1", "./...")


def test_its_form() -> None:
    done = subprocess.run(["gofmt", "-l", "."], cwd=SDK, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout) == (0, "")
