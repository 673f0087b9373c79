"""What `gridsidecar health` makes of a heartbeat, and that it stays cheap."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridsidecar.runtime import probe
from tests.support.probing import ROOT, probed

HEAVY = {"typer", "click", "rich", "pydantic", "msgspec", "asyncio", "json", "yaml", "logging", "gridsidecar.cli"}


def text(broken: list[str] | None = None, not_ready: list[str] | None = None, at: float = 100.0) -> str:
    return probe.write(at, broken or [], not_ready or [])


@pytest.mark.parametrize(
    ("heartbeat", "alive", "ready"),
    [
        (text(), (0, "alive"), (0, "ready")),
        (text(not_ready=["store: away"]), (0, "alive"), (1, "store: away")),
        (text(["lease: died"]), (1, "lease: died"), (1, "lease: died")),
        (text(["lease: died"], ["store: away"]), (1, "lease: died"), (1, "lease: died; store: away")),
        (text(not_ready=["store: two\nlines\tand a tab"]), (0, "alive"), (1, "store: two lines and a tab")),
    ],
)
def test_what_it_says(heartbeat: str, alive: tuple[int, str], ready: tuple[int, str]) -> None:
    assert probe.judge(heartbeat, 105.0, ready=False) == alive
    assert probe.judge(heartbeat, 105.0, ready=True) == ready


@pytest.mark.parametrize(("now", "code"), [(100.0, 0), (129.0, 0), (131.0, 1), (99.5, 0), (7.0, 1)])
def test_a_heartbeat_grows_old_and_none_comes_from_the_future(now: float, code: int) -> None:
    assert probe.judge(text(), now, ready=False)[0] == code


@pytest.mark.parametrize("broken", ["", "\n", "hello", "\0\1", "nan\n", "1e400\n"])
def test_a_file_that_is_no_heartbeat(broken: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(broken)
    assert probe.check(str(file), ready=False)[0] == 1


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    code, sentence = probed(tmp_path / "none")
    assert code == 1
    assert "No such file" in sentence
    assert "worker.heartbeat_file" in sentence
    assert probed(tmp_path)[0] == 1


def test_the_default_is_the_file_that_the_examples_name() -> None:
    for name in ("config.example.yaml", "deploy/deployment.yaml", "docs/kubernetes.md"):
        assert probe.DEFAULT_FILE in (ROOT / name).read_text(), name


def test_a_command_line_that_is_none(tmp_path: Path) -> None:
    assert probe.main(["--redy"]) == 64
    assert probe.main(["a", "b"]) == 64


def test_help_is_that_of_all_commands() -> None:
    command = [sys.executable, "-m", "gridsidecar", "health", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--ready" in done.stdout


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(text(at=time.monotonic()))
    program = (
        f"import sys; sys.argv = ['gridsidecar', 'health', {str(file)!r}]\n"
        "from gridsidecar.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not HEAVY & set(done.stdout.split())
