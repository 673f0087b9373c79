"""What is forked shows what is started shows, and is a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridsidecar import cli as commands
from tests.support import cli, forked
from tests.support.waiting import eventually

EVERY = (
    ["run", "--burst"],
    ["serve"],
    ["demo", "--help"],
    ["submit", "--id", "new", "--type", "good", "--data", "{}"],
    ["status", "good", "bad", "none"],
    ["tasks", "list"],
    ["tasks", "show", "bad", "--json"],
    ["tasks", "cancel", "bad"],
    ["tasks", "retry", "bad"],
    ["operations", "list"],
    ["operations", "show", "none"],
    ["operations", "resume", "none"],
    ["operations", "stop", "none"],
    ["logs", "bad"],
    ["stats"],
    ["pause", "good"],
    ["resume", "good"],
    ["callbacks", "list"],
    ["callbacks", "replay", "none"],
    ["callbacks", "show", "none"],
    ["callbacks", "drop", "none"],
    ["queue-info"],
    ["purge-queue", "--yes"],
    ["dead", "list"],
    ["dead", "show", "none"],
    ["dead", "replay", "none"],
    ["dead", "drop", "none", "--yes"],
    ["health", "none"],
    ["exec", "--type", "bad"],
    ["doctor"],
    ["check", "--", "sh", "-c", "exit 3"],
    ["manifests", "deployment", "--image", "worker"],
    ["config", "validate"],
    ["config", "print"],
    ["config", "reference"],
    ["config", "schema"],
    ["migrate"],
    ["version"],
    ["--help"],
    ["no-such-command"],
)


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose tasks have ended."""
    folder = tmp_path_factory.mktemp("used")
    good, bad = ({"command": ["sh", "-c", f"cat >/dev/null; exit {code}"]} for code in (0, 3))
    url = "sqlite:///q.db"
    cli.write_config(
        folder, {"good": good, "bad": bad}, broker={"url": url}, store={"url": url}, retry={"max_retries": 0}
    )
    for name in ("good", "bad"):
        assert cli.gridsidecar(folder, "submit", "--id", name, "--type", name).returncode == 0
    cli.work(folder)
    return folder


def every_command(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, below in group.commands.items():
        yield from every_command(below, *path, name) if hasattr(below, "commands") else [(*path, name)]


def test_every_command_is_compared() -> None:
    paths = {" ".join(path) for path in every_command(commands.command("en"))}
    named = {path for path in paths for words in EVERY if " ".join(words).startswith(path)}
    assert paths
    assert paths - named == set()


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_it_says_the_same(words: list[str], used: Path, tmp_path: Path) -> None:
    told = []
    for anew in (False, True):
        folder = Path(shutil.copytree(used, tmp_path / "folder"))
        done = cli.gridsidecar(folder, *words, anew=anew)
        told.append((done.returncode, *(plain(text) for text in (done.stdout, done.stderr))))
        shutil.rmtree(folder)
    assert told[0] == told[1]


def plain(text: str) -> str:
    """Without moments and what is made up anew for each process."""
    return re.sub(r"\b[0-9a-f]{6,}\b|\d+(\.\d+)?", "N", text)


async def test_a_process_looks_as_if_it_had_been_started(used: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(used, tmp_path / "folder"))
    seen = []
    for anew in (False, True):
        with (folder / "log").open("w") as log:
            process = cli.start(folder, "run", anew=anew, stdout=log, stderr=log)
        await eventually(lambda: "consuming" in (folder / "log").read_text())
        seen.append(looks(process.pid))
        assert cli.end(process) == 0
    assert seen[0] == seen[1]
    assert seen[0]["parent"] == str(os.getpid())


def looks(pid: int) -> dict[str, Any]:
    """What the system tells of a process."""
    proc = Path(f"/proc/{pid}")
    parent, group, session = (proc / "stat").read_text().rpartition(")")[2].split()[1:4]
    status = [line for line in (proc / "status").read_text().splitlines() if re.match("Umask|Sig|Threads|Cap", line)]
    return {
        "command": (proc / "cmdline").read_text().rstrip("\0").split("\0"),
        "folder": os.readlink(proc / "cwd"),
        "parent": parent,
        "leads": (group == str(pid), session == str(pid)),
        "status": [line for line in status if not line.startswith("SigQ")],
        "limits": (proc / "limits").read_text(),
        "open": sorted(plain(os.readlink(fd)) for fd in (proc / "fd").iterdir()),
    }


@pytest.mark.parametrize("anew", [False, True])
def test_its_end_is_its_own(used: Path, anew: bool) -> None:
    config = used / "config.yaml"
    pid = cli.start(used, "config", "print", anew=anew, stdout=subprocess.PIPE)
    assert "command" in pid.communicate(timeout=60)[0]
    assert pid.returncode == 0
    stuck = cli.start(used, "run", "-c", str(config), anew=anew)
    stuck.kill()
    assert stuck.wait(60) == -signal.SIGKILL
    stuck.communicate()


def test_what_it_is_given_reaches_what_it_starts(tmp_path: Path) -> None:
    shows = [
        "sh",
        "-c",
        "cat >/dev/null; env | grep -v GRIDSIDECAR_ | sort >seen; umask >>seen; pwd >>seen; date +%H >>seen",
    ]
    own = os.umask(0o027)
    try:
        for anew in (False, True):
            given = {"OWN": "中 \udcff", "TZ": "Asia/Shanghai", "EMPTY": ""}
            done = cli.gridsidecar(tmp_path, "exec", "--", *shows, env=given, anew=anew)
            assert done.returncode == 0, done.stderr
            (tmp_path / "seen").rename(tmp_path / str(anew))
    finally:
        os.umask(own)
    seen = (tmp_path / "False").read_bytes()
    assert seen == (tmp_path / "True").read_bytes()
    assert b"\n0027\n" in seen


def test_what_only_a_start_can_be_told_gets_one(tmp_path: Path) -> None:
    plain_env = cli.environment(tmp_path)
    version = cli.command("version")
    assert forked.fits(version, {"env": plain_env, "cwd": tmp_path})
    told_at_start = {"PYTHONUTF8": "0", "LANG": "C", "LC_ALL": "zh_CN.GBK", "LD_PRELOAD": "x", "PYTHONPATH": ""}
    for name, value in told_at_start.items():
        assert not forked.fits(version, {"env": plain_env | {name: value}}), name
    assert not forked.fits(version, {"env": plain_env, "preexec_fn": os.getpid})
    assert not forked.fits(version, {"env": plain_env, "pass_fds": [5]})
    assert not forked.fits(version, {})
    assert not forked.fits([sys.executable, "-c", "pass"], {"env": plain_env})
