"""The handlers of examples/, each as its reader would try it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.sdks.driver import converse, task
from tests.support.cli import gridsidecar

pytestmark = pytest.mark.timeout(900)  # the first build of a machine takes a while
EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT = {"text": "to be or not to be"}


def attempt(folder: str, data: Any, *command: str) -> tuple[str, Any]:
    """Its status; and its result, or its error's type. Without a command, what the folder's config.yaml says."""
    how = ("--", *command) if command else ("-c", "config.yaml")
    done = gridsidecar(EXAMPLES / folder, "exec", "--json", "--data", json.dumps(data), *how)
    assert done.stdout, done.stderr
    outcome = json.loads(done.stdout)
    return outcome["status"], outcome["result"] if outcome["status"] == "success" else outcome["error_type"]


@pytest.mark.parametrize(
    ("folder", "data", "wanted"),
    [
        ("bash-jq", TEXT, ("success", {"words": 6, "most": {"to": 2, "be": 2, "or": 1, "not": 1}})),
        ("bash-jq", {"text": 5}, ("failed", "BadInput")),
        ("perl", TEXT, ("success", {"words": 6, "longest": "not"})),
        ("perl", {}, ("failed", "BadInput")),
        ("php", TEXT, ("success", {"words": 6, "different": 4})),
        ("php", {}, ("failed", "BadInput")),
        ("adopted", TEXT, ("success", {"be": 2, "to": 2, "not": 1, "or": 1})),
    ],
)
def test_without_an_sdk(folder: str, data: Any, wanted: Any) -> None:
    assert attempt(folder, data) == wanted


def test_plain_shell(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("to be or\nnot to be\n")
    assert attempt("sh", {"file": str(file)}) == ("success", {"words": 6})
    assert attempt("sh", {"file": str(tmp_path / "none")}) == ("failed", "HandlerExit")


def test_node() -> None:
    handler = ("node", "node/oneshot.js")
    counts = {"words": 6, "counts": {"to": 2, "be": 2, "or": 1, "not": 1}}
    assert attempt(".", TEXT, *handler) == ("success", counts)
    assert attempt(".", {}, *handler) == ("failed", "BadInput")


def test_python() -> None:
    counts = {"words": 6, "counts": {"to": 2, "be": 2, "or": 1, "not": 1}}
    assert attempt("python", TEXT) == ("success", counts)
    assert attempt("python", {}) == ("failed", "BadInput")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    environment = os.environ | {"GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    command = ["go", "build", "-o", f"{folder}/", "./..."]
    done = subprocess.run(command, cwd=EXAMPLES / "go", env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    return folder


def test_go(built: Path) -> None:
    assert attempt(".", TEXT, str(built / "oneshot")) == ("success", {"words": 6, "lines": 1})


def results(command: Sequence[str], folder: Path, *data: Any) -> list[Any]:
    """What one process makes of these tasks, one after the other."""
    with converse(command, "persistent", folder) as handler:
        assert handler.event()["type"] == "ready"
        ends = []
        for number, each in enumerate(data):
            handler.send(task(each, f"t{number}"))
            ends.append(handler.until_end()[-1])
        assert handler.close() == 0
    return [end.get("result", end.get("error_type")) for end in ends]


def test_node_persistent(tmp_path: Path) -> None:
    command = ["node", str(EXAMPLES / "node" / "persistent.js")]
    tasks = [{"text": "der Hund und die Katze"}, {}, {"text": "the dog and the cat"}]
    assert results(command, tmp_path, *tasks) == [{"language": "de"}, "BadInput", {"language": "en"}]


def test_python_persistent(tmp_path: Path) -> None:
    sdk = EXAMPLES.parent / "sdks" / "python"
    command = ["env", f"PYTHONPATH={sdk}", sys.executable, str(EXAMPLES / "python" / "persistent.py")]
    tasks = [{"text": "der Hund und die Katze"}, {}, {"text": "the dog and the cat"}]
    assert results(command, tmp_path, *tasks) == [{"language": "de"}, "BadInput", {"language": "en"}]


def test_go_persistent(tmp_path: Path, built: Path) -> None:
    tasks = [{"limit": 100}, {"limit": 10}]
    wanted = [{"count": 25, "largest": 97}, {"count": 4, "largest": 7}]
    assert results([str(built / "persistent")], tmp_path, *tasks) == wanted


def test_the_index_names_every_folder() -> None:
    index = (EXAMPLES / "README.md").read_text()
    for folder in ("sh", "bash-jq", "perl", "php", "node", "python", "go", "adopted"):
        assert f"({folder})" in index
        assert (EXAMPLES / folder / "config.yaml").exists()
