"""The command line as a whole: help, versions, usage errors, closed pipes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gridsidecar import __version__
from tests.support.cli import command, environment, gridsidecar

COMMANDS = (
    "run",
    "demo",
    "submit",
    "status",
    "tasks",
    "logs",
    "stats",
    "callbacks",
    "queue-info",
    "purge-queue",
    "dead",
    "exec",
    "config",
    "migrate",
    "version",
)


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version(tmp_path: Path, arguments: list[str]) -> None:
    done = gridsidecar(tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gridsidecar {__version__}\n", "")


def test_help_names_every_command(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "--help")
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in COMMANDS)


def test_a_start_looks_for_no_garbage_in_what_it_loads() -> None:
    program = (
        "import atexit, gc, sys; from gridsidecar.__main__ import main\n"
        "before = gc.get_stats()[0]['collections']\n"
        "atexit.register(lambda: print(gc.get_stats()[0]['collections'] - before))\n"
        "sys.argv[1:] = ['version']; main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert int(ended.stdout.split()[-1]) <= 3


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(tmp_path: Path, name: str) -> None:
    done = gridsidecar(tmp_path, name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: gridsidecar {name}" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["--no-such-flag"], ["status"], ["run", "-p", "many"]])
def test_usage_errors_exit_64(tmp_path: Path, arguments: list[str]) -> None:
    done = gridsidecar(tmp_path, *arguments)
    assert done.returncode == 64
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["manifests", "deploy"], "Invalid value for 'KIND': 'deploy' is not one of 'deployment', 'job',"),
        (["tasks", "list", "--status", "fail"], "'fail' is not one of 'pending'"),
        (["tasks", "list", "--limit", "many"], "Invalid value for '--limit': must be a whole number"),
        (["tasks", "list", "--limit", "0"], "Invalid value for '--limit': must be at least 1"),
        (["manifests", "job", "--replicas", "10001"], "Invalid value for '--replicas': must be at most 10000"),
        (["stats", "--lang", "fr"], "'fr' is not one of 'en', 'zh'"),
    ],
)
def test_usage_errors_are_in_our_words(tmp_path: Path, arguments: list[str], problem: str) -> None:
    done = gridsidecar(tmp_path, *arguments)
    assert done.returncode == 64
    assert problem in done.stderr
    assert not any(word in done.stderr for word in ("Value error", "Input should", "unable to parse"))
    done = gridsidecar(tmp_path, *arguments, *([] if "--lang" in arguments else ["--lang", "zh"]))
    assert not any(word in done.stderr for word in ("Value error", "Input should", "unable to parse"))


@pytest.mark.parametrize("limit", [8, 16, 63])
@pytest.mark.parametrize("arguments", [["run", "--", "true"], ["doctor"], ["status", "t1"]])
def test_too_few_files_end_the_start(tmp_path: Path, limit: int, arguments: list[str]) -> None:
    """Not what happens to be opened last, and not in the middle of it."""
    done = subprocess.run(
        ["bash", "-c", f'ulimit -n {limit}; exec "$@"', "bash", *command(*arguments)],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (78, ""), done.stderr
    said = f"gridsidecar: this process may have only {limit} files open, and needs at least 64; raise its limit: "
    assert done.stderr.startswith(said)
    assert "ulimit -n 1024" in done.stderr
    assert done.stderr.count("\n") == 1


def test_enough_files_do_for_a_task(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        f"broker: {{url: 'sqlite:///{tmp_path}/q.db', queue: tasks}}\nstore: {{url: 'sqlite:///{tmp_path}/s.db'}}\n"
        "handlers: {default: {command: ['true']}}\nhttp: {listen: '127.0.0.1:0'}\n"
    )
    assert gridsidecar(tmp_path, "submit", "--id", "t1").returncode == 0
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *command("run", "--once")],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "done=1" in done.stderr


def test_an_error_is_one_sentence(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "submit", "--id", "a", "-u", f"sqlite:///{tmp_path}/no/such/folder/q.db")
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr.startswith("gridsidecar: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["config", "schema"], ["submit", "--type", "t", "--data", "1", "-u", "sqlite:///q.db"]]
)
def test_a_closed_pipe_is_quiet(tmp_path: Path, arguments: list[str]) -> None:
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(tmp_path),
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(30), said) == (141, b"")
