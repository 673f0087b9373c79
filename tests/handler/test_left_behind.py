"""What a handler leaves behind, holds on to, or tells after its end: it is killed, and nobody hears it."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import reaper
from gridsidecar.rules.task import ErrorType, Progress, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import BEGUN, Run, Running, children, claim, dead, handler, log, state
from tests.support.waiting import eventually


@pytest.mark.alone
def test_a_leaked_stdout_costs_two_seconds_and_its_holder_dies(on_loop: OnLoop) -> None:
    running = Running("leak-stdout")
    ended = on_loop(running.result())
    assert ended.outcome == Succeeded(None)
    assert 1.9 < running.seconds < 4
    on_loop(eventually(lambda: dead(int(log(ended).split()[-1]))))


@pytest.mark.alone
def test_a_quiet_child_left_in_the_group_dies_at_once(on_loop: OnLoop) -> None:
    running = Running("leave-quiet-child", channel="stdout")  # else it holds the events pipe, unknowingly
    ended = on_loop(running.result())
    assert running.seconds < 1.5
    on_loop(eventually(lambda: dead(int(log(ended)))))


def test_a_grandchild_may_still_speak_while_output_is_drained(run: Run) -> None:
    assert run("late-writer").outcome == Succeeded("from a grandchild")


@pytest.fixture
def adopting() -> None:
    assert reaper.become_subreaper()


@pytest.mark.usefixtures("adopting")
@pytest.mark.parametrize("stdout", ["held", "closed"])
def test_a_daemon_that_escaped_is_killed_and_reaped(on_loop: OnLoop, tmp_path: Path, stdout: str) -> None:
    running = Running("daemon", str(tmp_path / "pid"), stdout)
    ended = on_loop(running.result())
    assert ended.outcome == Succeeded(None)
    assert running.seconds < 60, "it would have slept on for a quarter of an hour"
    pid = int((tmp_path / "pid").read_text())
    on_loop(eventually(lambda: state(pid) is None))


@pytest.mark.usefixtures("adopting")
def test_a_daemon_of_a_running_attempt_is_left_alone(on_loop: OnLoop, tmp_path: Path) -> None:
    async def both() -> None:
        first = asyncio.create_task(Running("daemon", str(tmp_path / "pid"), "held").result())
        await eventually(lambda: (tmp_path / "pid").exists())
        pid = int((tmp_path / "pid").read_text())
        await eventually(lambda: pid in children())
        await Running("exit", "0").result()
        assert not dead(pid)
        await first
        await eventually(lambda: state(pid) is None)

    on_loop(both())


@pytest.mark.usefixtures("adopting")
@pytest.mark.parametrize("how", ["emptied", "overwritten"])
def test_an_environment_without_our_mark_hides_nobody(on_loop: OnLoop, tmp_path: Path, how: str) -> None:
    """Each daemon lives as long as its own attempt."""
    first, second, over = tmp_path / "first", tmp_path / "second", tmp_path / "over"

    async def both() -> None:
        longer = asyncio.create_task(Running("hidden", how, str(first), str(over)).result())
        await eventually(first.exists)
        pid = int(first.read_text())
        await eventually(lambda: pid in children())
        assert "GRIDSIDECAR_RUN" not in Path(f"/proc/{pid}/environ").read_text()
        await Running("hidden", how, str(second)).result()
        await eventually(lambda: state(int(second.read_text())) is None)
        assert not dead(pid)
        over.touch()
        await longer
        await eventually(lambda: state(pid) is None)

    on_loop(both())


def test_a_child_that_was_ours_before_is_left_alone() -> None:
    """As one that a shell started before it became us."""
    script = (
        "import asyncio, os, subprocess, sys\n"
        "from gridsidecar.handler import reaper\n"
        "older = subprocess.Popen(['sleep', '100'], start_new_session=True)\n"
        "reaper.become_subreaper()\n"
        "asyncio.run(reaper.finish())\n"
        "print(older.poll())\n"
        "older.kill()\n"
        "older.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("None\n", "")


@pytest.mark.usefixtures("adopting")
def test_a_process_group_of_its_own_is_no_escape(on_loop: OnLoop, tmp_path: Path) -> None:
    running = Running("own-group", str(tmp_path / "pid"), timeout=BEGUN, kill_grace=0.3)
    ended = on_loop(running.result())
    assert running.progress == [Progress(1, None)], "it was to lead its session"
    assert ended.outcome.error_type == ErrorType.TIMEOUT
    assert ended.report.signal == 9
    pid = int((tmp_path / "pid").read_text())
    on_loop(eventually(lambda: state(pid) is None))


@pytest.mark.usefixtures("adopting")
def test_words_from_a_daemon_after_the_end_reach_nobody(on_loop: OnLoop, tmp_path: Path) -> None:
    go, heard = tmp_path / "go", tmp_path / "heard"

    async def attempts() -> tuple[Any, Any]:
        before = set(children())
        first = await Running("late-words", str(go), str(heard)).result()
        (daemon,) = set(children()) - before
        second = asyncio.create_task(Running("chatty").result())
        go.touch()
        await eventually(heard.exists)
        await eventually(lambda: dead(daemon))
        return first, await second

    first, second = on_loop(attempts())
    assert heard.read_text() == "refused,refused,refused,refused"
    assert first.outcome == Succeeded("own")
    assert second.outcome == Succeeded(None)
    assert "late" not in log(second)


@pytest.mark.usefixtures("adopting")
def test_zombies_are_reaped_and_other_peoples_children_are_not(on_loop: OnLoop) -> None:
    other = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
    orphan = subprocess.Popen(
        ["/bin/sh", "-c", "setsid sh -c 'echo $$; exec sleep 0.1' & exit 0"], stdout=subprocess.PIPE
    )
    assert orphan.stdout is not None
    pid = int(orphan.stdout.readline())
    orphan.communicate()

    async def swept() -> None:
        await eventually(lambda: state(pid) == "Z" and state(other.pid) == "Z")
        await Running("exit", "0").result()
        await eventually(lambda: state(pid) is None)

    on_loop(swept())
    assert other.wait() == 7


def test_nothing_is_left_after_200_runs(on_loop: OnLoop) -> None:
    made = handler(["cat"])

    async def many(count: int) -> None:
        running = [Running("exit", "0") for _ in range(4)]

        async def lane(one: Running) -> None:
            for _ in range(count // 4):
                ended = await made.run(claim(data="x" * 1000), one.progress.append, one.stop)
                assert ended.outcome == Succeeded(None)

        await asyncio.gather(*(lane(one) for one in running))
        await asyncio.sleep(0)

    on_loop(many(8))
    gc.collect()  # what earlier loops held
    before = sorted(os.listdir("/proc/self/fd"))
    held = set(children())
    on_loop(many(200))
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert set(children()) <= held
