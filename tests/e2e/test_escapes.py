"""Processes that escape from their handler: gone when it is over, and at the latest with the sidecar."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

import pytest

from tests.support import cli
from tests.support.place import Place
from tests.support.waiting import eventually

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
OWN_PROCESSES = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


class Sleeper:
    """A process that sleeps for a time unlike any other, by which it is known from outside, whoever it belongs to."""

    def __init__(self) -> None:
        self.seconds = f"{SystemRandom().randrange(10**6, 10**7)}.5"

    @property
    def pids(self) -> list[int]:
        return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if self._is(folder)]

    def _is(self, folder: Path) -> bool:
        try:
            return (folder / "cmdline").read_bytes() == f"sleep\0{self.seconds}\0".encode()
        except OSError:
            return False

    def end(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def escape(sleeper: Sleeper) -> str:
    """Shell: it gets away, with nothing in its environment; until it has a session of its own it could be held."""
    start = f"env -i setsid sleep {sleeper.seconds} >/dev/null 2>&1 </dev/null 3>&- &"
    return f"{start} until [ \"$(cut -d' ' -f6 /proc/$!/stat)\" = $! ]; do sleep 0.01; done; cat >/dev/null"


@pytest.fixture
def sleepers() -> Iterator[list[Sleeper]]:
    """Three of them."""
    made = [Sleeper() for _ in range(3)]
    yield made
    for sleeper in made:
        sleeper.end()


@pytest.mark.parametrize("arguments", [["exec"], ["check", "--level", "0"]], ids=["exec", "check"])
def test_who_runs_a_handler_leaves_nothing_behind(
    tmp_path: Path, sleepers: list[Sleeper], arguments: list[str]
) -> None:
    done = cli.gridsidecar(tmp_path, *arguments, "--", "/bin/sh", "-c", escape(sleepers[0]))
    assert done.returncode in (0, 1), done.stderr
    assert sleepers[0].pids == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that everybody may use; those of pytest are for their owner alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ssh-agent"), reason="needs root and ssh-agent")
@pytest.mark.parametrize("subcommand", ["exec", "run"])
def test_an_ssh_agent_is_ended(open_folder: Path, subcommand: str) -> None:
    """It forbids everybody but root to look at its environment."""
    agent = ["/bin/sh", "-c", f"eval $(ssh-agent -s) >/dev/null; echo $SSH_AGENT_PID >>{open_folder}/pid"]
    cli.write_config(open_folder, {"default": {"command": agent}})
    runs = [["exec", "--data", "1"]] if subcommand == "exec" else [["submit", "--data", "1"], ["run", "--burst"]]
    for arguments in runs:
        command = [*NOBODY, *cli.command(*arguments)]
        done = subprocess.run(
            command, cwd=open_folder, env=cli.environment(open_folder), capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr.decode()
    (pid,) = (open_folder / "pid").read_text().split()
    assert not Path(f"/proc/{pid}").exists()


@pytest.fixture
def as_pid_1(embedded_place: Place, sleepers: list[Sleeper]) -> Iterator[subprocess.Popen[bytes]]:
    """A sidecar that is the first process of its container; each of its tasks leaves a process behind."""
    place = embedded_place
    leave_one = f"{escape(sleepers[0])}; echo x >>{place.folder}/ran"
    config = place.config({"default": {"command": ["/bin/sh", "-c", leave_one]}})
    (place.folder / "config.yaml").write_text(json.dumps(config))
    try:
        subprocess.run([*OWN_PROCESSES, "true"], check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no right to make namespaces: {error}")
    with (place.folder / "log").open("wb") as log:
        started = subprocess.Popen(
            [*OWN_PROCESSES, sys.executable, "-m", "gridsidecar", "run"],
            cwd=place.folder,
            env=cli.environment(place.folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    yield started
    started.kill()
    started.wait()
    print((place.folder / "log").read_text())


async def test_as_pid_1_it_leaves_visitors_alone(
    embedded_place: Place, as_pid_1: subprocess.Popen[bytes], sleepers: list[Sleeper]
) -> None:
    place = embedded_place
    escaped, visiting, left = sleepers
    log = place.folder / "log"
    await eventually(lambda: "consuming" in log.read_text())
    (sidecar,) = Path(f"/proc/{as_pid_1.pid}/task/{as_pid_1.pid}/children").read_text().split()
    enter = ["nsenter", "--target", sidecar, "--pid", "--mount", "setsid", "--wait", "sh", "-c"]
    visitor = subprocess.Popen([*enter, f"sleep {visiting.seconds}; true"])
    subprocess.run([*enter, f"setsid sleep {left.seconds} >/dev/null 2>&1 & exit 0"], check=True)
    try:
        await eventually(lambda: visiting.pids and left.pids)
        children = Path(f"/proc/{sidecar}/task/{sidecar}/children")
        await eventually(lambda: str(left.pids[0]) in children.read_text().split())
        for number in range(3):
            await place.publish({"task_id": f"t{number}"})
            await eventually(lambda done=number + 1: place.all_ended(done))  # type: ignore[misc]
            await eventually(lambda: not escaped.pids)
        assert (place.folder / "ran").read_text() == "x\n" * 3
        assert visiting.pids
        assert left.pids
        os.kill(int(sidecar), signal.SIGTERM)
        assert as_pid_1.wait(cli.LIMIT) == 0
    finally:
        visitor.kill()
        visitor.wait()
