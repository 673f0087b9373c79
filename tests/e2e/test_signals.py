"""What signals do to a sidecar, and what they mean to its handlers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.support import cli
from tests.support.place import Place
from tests.support.waiting import eventually

LEAVE = [signal.SIGHUP, signal.SIGQUIT, signal.SIGPWR, signal.SIGXCPU]
NOTHING = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, 16, 34, 64]
LIBC = {32, 33}  # its own; nobody else can handle them


@pytest.mark.parametrize("closed", ["0<&- 1>&- 2>&-", "0<&- 2>&-"])
async def test_it_leaves_with_0_though_it_was_started_without_stdin_and_stderr(
    embedded_place: Place, start: Start, closed: str
) -> None:
    """What is opened first must not become stdin or stderr."""
    place = embedded_place
    shell = ("sh", "-c", f'exec "$@" {closed}', "sh")
    sidecar = start(place.config({"default": place.job("done")}), prefix=shell)
    await place.publish({"task_id": "a"})
    await eventually(lambda: place.status("a") == "success")
    assert [os.readlink(f"/proc/{sidecar.pid}/fd/{number}") for number in (0, 2)] == ["/dev/null"] * 2
    sidecar.terminate()
    assert await sidecar.ended() == 0


@pytest.mark.parametrize("number", LEAVE)
async def test_it_leaves_as_after_sigterm(embedded_place: Place, start: Start, number: signal.Signals) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}))
    await place.publish({"task_id": "a"}, {"task_id": "b"})
    await eventually(lambda: place.journal.started)
    sidecar.signal(number)
    await sidecar.said(f'leaving  reason="{number.name} received"')
    gate.touch()
    assert await sidecar.ended() == 0
    assert place.statuses() == {"success": 1}
    assert place.left() == 1


async def test_signals_for_nothing_disturb_no_task(embedded_place: Place, start: Start) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    sidecar = start(place.config({"default": place.job("until", gate)}))
    await place.publish({"task_id": "a"})
    await eventually(lambda: place.journal.started)
    for number in NOTHING:
        os.kill(sidecar.pid, number)
    gate.touch()
    await place.publish({"task_id": "b"})
    await eventually(lambda: place.all_ended(2))
    assert (place.statuses(), place.row("a")["attempt"]) == ({"success": 2}, 1)
    assert not sidecar.says("leaving")
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_nor_do_they_before_it_listens(embedded_place: Place, start: Start) -> None:
    sidecar = start(embedded_place.config({"default": embedded_place.job("done")}), anew=True)
    await eventually(lambda: catches(sidecar.pid, NOTHING[-1]), interval=0.001)
    assert "uvloop" not in Path(f"/proc/{sidecar.pid}/maps").read_text(), "the daemon listens already: nothing is shown"
    for number in NOTHING:
        os.kill(sidecar.pid, number)
    await sidecar.ready()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
async def test_told_to_leave_before_it_listens(embedded_place: Place, start: Start, number: signal.Signals) -> None:
    sidecar = start(embedded_place.config({"default": embedded_place.job("done")}), anew=True)
    await eventually(lambda: catches(sidecar.pid, number), interval=0.001)
    sidecar.signal(number)
    assert await sidecar.ended() == 0


def catches(pid: int, number: int) -> bool:
    return number in signals_of(Path(f"/proc/{pid}/status").read_text())["SigCgt"]


def signals_of(status: str) -> dict[str, set[int]]:
    """The sets of signals in the lines of a status file."""
    words = [line.split() for line in status.splitlines() if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]
    return {name.rstrip(":"): {bit + 1 for bit in range(64) if int(mask, 16) >> bit & 1} for name, mask in words}


# -- what others get of that ------------------------------------------------------------------------------------------


def run_under(folder: Path, wrapper: list[str], settings: Mapping[str, object]) -> dict[str, set[int]]:
    """The signals of a handler whose sidecar was started by way of `wrapper`."""
    seen = folder / "seen"
    command = ["/bin/sh", "-c", f"grep ^Sig /proc/self/status >{seen}"]
    cli.write_config(folder, {"default": {"command": command, **settings}})
    cli.gridsidecar(folder, "submit", "--data", "1")
    run = [*wrapper, *cli.command("run", "--burst", "--burst-check-interval", "0.1")]
    subprocess.run(run, cwd=folder, env=cli.environment(folder), check=True, timeout=cli.LIMIT, capture_output=True)
    return signals_of(seen.read_text())


BLOCKED = (
    "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1]);"
    " os.execvp(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.parametrize("way", ["spawned", "forked"])
@pytest.mark.parametrize("wrapper", [["env"], ["python3", "-c", BLOCKED], ["nohup"]], ids=["plain", "blocked", "nohup"])
def test_a_handler_has_the_default_of_every_signal(tmp_path: Path, way: str, wrapper: list[str]) -> None:
    (tmp_path / "there").mkdir()
    seen = run_under(tmp_path, wrapper, {"cwd": str(tmp_path / "there")} if way == "forked" else {})
    assert seen["SigIgn"] - LIBC == ({signal.SIGHUP} if wrapper == ["nohup"] else set())
    assert seen["SigBlk"] == set()


async def test_under_nohup_a_hangup_is_ignored(embedded_place: Place, tmp_path: Path) -> None:
    place = embedded_place
    gate = place.folder / "gate"
    (tmp_path / "config.yaml").write_text(json.dumps(place.config({"default": place.job("until", gate)})))
    await place.publish({"task_id": "t"})
    with (tmp_path / "log").open("wb") as log:
        sidecar = subprocess.Popen(
            ["nohup", *cli.command("run")],
            cwd=tmp_path,
            env=cli.environment(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        await eventually(lambda: place.journal.started)
        sidecar.send_signal(signal.SIGHUP)
        os.kill(place.journal.runs()[0].pid, signal.SIGHUP)
        gate.touch()
        await eventually(lambda: place.all_ended(1))
        assert "leaving" not in (tmp_path / "log").read_text()
        sidecar.terminate()
        assert await asyncio.to_thread(sidecar.wait, cli.LIMIT) == 0
    finally:
        sidecar.kill()
        sidecar.wait()
    assert (place.status("t"), place.row("t")["attempt"]) == ("success", 1)


# -- other commands that run handlers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("subcommand", ["exec", "check"])
async def test_who_runs_a_handler_leaves_none_behind(tmp_path: Path, subcommand: str, number: signal.Signals) -> None:
    pid = tmp_path / "pid"
    process = cli.start(
        tmp_path, subcommand, "--", "/bin/sh", "-c", f"echo $$ >{pid}.new; mv {pid}.new {pid}; sleep 99"
    )
    await eventually(pid.exists)
    process.send_signal(signal.SIGUSR1)
    assert cli.end(process, number) == 130
    assert not Path(f"/proc/{int(pid.read_text())}").exists()
