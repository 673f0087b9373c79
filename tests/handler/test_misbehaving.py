"""Children that hang, flood, leak, escape and ignore: they cost their own attempt and nothing else."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import StopReason, reaper
from gridsidecar.task import Cancelled, Disowned, ErrorType, Failed, Interrupted, Progress, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import Run, Running, claim, handler, log
from tests.support.waiting import eventually

MEBIBYTE = 1024 * 1024


def state(pid: int) -> str | None:
    """The process state's letter; None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def dead(pid: int) -> bool:
    return state(pid) in (None, "Z")


async def stopped(running: Running, reason: StopReason, *, hurry: bool = False) -> Any:
    """Run it, and ask for its end once it has reported progress."""
    attempt = asyncio.create_task(running.result())
    await eventually(lambda: running.progress)
    running.stop.request(reason)
    if hurry:
        running.stop.hurry()
    return await attempt


# -- time is up -------------------------------------------------------------------------------------------------------


def test_a_handler_that_hangs_is_ended(run: Run) -> None:
    ended = run("hang", timeout=0.2)
    assert ended.outcome == Failed(error="timed out after 0.2 s", error_type=ErrorType.TIMEOUT)
    assert ended.report.signal == 15


def test_the_tasks_own_timeout_comes_first(run: Run) -> None:
    assert run("hang", task={"timeout": 0.2}, timeout=20).outcome.error == "timed out after 0.2 s"
    assert run("hang", task={"timeout": 0.2}, timeout=0).outcome.error_type == ErrorType.TIMEOUT
    assert run("chatty", task={"timeout": 0}, timeout=0.2).outcome == Succeeded(None)


@pytest.mark.alone
def test_a_handler_that_ignores_sigterm_is_killed_after_its_grace(on_loop: OnLoop) -> None:
    running = Running("ignore-term", timeout=0.3, kill_grace=0.3)
    ended = on_loop(running.result())
    assert ended.outcome.error_type == ErrorType.TIMEOUT
    assert ended.report.signal == 9
    assert 0.55 < running.seconds < 2


def test_a_handler_that_leaves_in_peace_at_its_timeout_has_still_failed(run: Run) -> None:
    ended = run("exit-0-on-term", timeout=0.3)
    assert ended.outcome.error_type == ErrorType.TIMEOUT
    assert ended.report.exit_code == 0


def test_a_late_result_counts(run: Run) -> None:
    ended = run("result-on-term", timeout=0.3)
    assert ended.outcome == Succeeded("late")
    assert "late result" in ended.report.notes


def test_a_result_whose_process_does_not_leave_counts(run: Run) -> None:
    ended = run("result-then-hang", timeout=0.3)
    assert ended.outcome == Succeeded(1)
    assert ended.report.notes == ("ended by timeout after its result",)


def test_a_worker_behind_a_shell_has_its_grace(run: Run) -> None:
    ended = run("worker-behind-shell", timeout=0.3, kill_grace=10)
    assert ended.outcome == Succeeded("tidy")
    assert ended.report.signal == 15


def test_silence_is_a_stall(on_loop: OnLoop) -> None:
    running = Running("say-then-hang", stall_timeout=0.3)
    ended = on_loop(running.result())
    assert ended.outcome == Failed(error="no message and no output for 0.3 s", error_type=ErrorType.STALLED)
    assert running.progress == [Progress(1, None)]


def test_output_of_any_kind_is_no_stall(run: Run) -> None:
    assert run("chatty", stall_timeout=0.4).outcome == Succeeded(None)


# -- asked to end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reason", "outcome"),
    [
        ("say-then-hang", StopReason.CANCEL, Cancelled()),
        ("say-then-hang", StopReason.SHUTDOWN, Interrupted()),
        ("say-then-hang", StopReason.DISOWNED, Disowned()),
        ("result-on-term", StopReason.CANCEL, Succeeded("late")),
        ("result-on-term", StopReason.SHUTDOWN, Succeeded("late")),
        ("result-on-term", StopReason.DISOWNED, Disowned()),
        ("error-on-term", StopReason.CANCEL, Cancelled()),
        ("exit-0-on-term", StopReason.CANCEL, Cancelled()),
        ("exit-0-on-term", StopReason.SHUTDOWN, Interrupted()),
    ],
)
def test_stop_reasons(on_loop: OnLoop, mode: str, reason: StopReason, outcome: Any) -> None:
    assert on_loop(stopped(Running(mode), reason)).outcome == outcome


def test_an_error_reported_at_shutdown_is_an_error(on_loop: OnLoop) -> None:
    ended = on_loop(stopped(Running("error-on-term"), StopReason.SHUTDOWN))
    assert ended.outcome == Failed(error="terminated", error_type=ErrorType.HANDLER_ERROR)


def test_hurry_skips_the_grace(on_loop: OnLoop) -> None:
    running = Running("ignore-term", kill_grace=60)
    ended = on_loop(stopped(running, StopReason.SHUTDOWN, hurry=True))
    assert ended.outcome == Interrupted()
    assert ended.report.signal == 9
    assert running.seconds < 10


def test_stopped_before_it_began(on_loop: OnLoop, tmp_path: Path) -> None:
    running = Running("hang")
    running.stop.request(StopReason.SHUTDOWN)
    ended = on_loop(running.result())
    assert ended.outcome == Interrupted()
    assert ended.report.duration_s == 0


def test_a_cancelled_coroutine_leaves_no_process(on_loop: OnLoop) -> None:
    running = Running("say-then-hang")

    async def cancelled() -> None:
        before = set(children())
        attempt = asyncio.create_task(running.result())
        await eventually(lambda: running.progress)
        assert set(children()) - before
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await eventually(lambda: not set(children()) - before)

    on_loop(cancelled())


def test_an_error_of_ours_in_the_middle_ends_the_child(on_loop: OnLoop) -> None:
    running = Running("say-then-hang")

    def broken(progress: Progress) -> None:
        raise LookupError(progress)

    async def attempt() -> None:
        before = set(children())
        with pytest.raises(LookupError):
            await running.handler.run(running.claim, broken, running.stop)
        await eventually(lambda: not set(children()) - before)

    on_loop(attempt())


# -- too much of everything -------------------------------------------------------------------------------------------


def peak_growth() -> Any:
    """Start measuring; the function returned gives the bytes that resident memory has peaked above now."""

    def figure(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    Path("/proc/self/clear_refs").write_text("5")
    start = figure("VmRSS")
    return lambda: figure("VmHWM") - start


@pytest.mark.parametrize("kind", ["short", "json", "unbroken", "events"])
def test_a_flood_needs_no_memory(run: Run, kind: str) -> None:
    growth = peak_growth()
    ended = run("flood", "100" if kind != "events" else "5", kind, timeout=60)
    assert growth() < 16 * MEBIBYTE
    assert ended.outcome == Succeeded("after the flood")
    if kind != "events":
        assert len(log(ended)) == 128 * 1024
        assert ended.report.log_dropped_bytes > 99 * MEBIBYTE


def test_one_line_of_50_mebibytes_needs_no_memory(run: Run) -> None:
    for channel in ("events", "stdout"):
        growth = peak_growth()
        ended = run("long-line", channel, "50", "then-result")
        assert growth() < 16 * MEBIBYTE
        assert ended.outcome == Succeeded("true")
        assert ended.report.ignored_events == 1


@pytest.mark.parametrize("channel", ["events", "stdout"])
def test_the_end_of_an_oversize_line_is_no_message_and_its_loss_no_success(run: Run, channel: str) -> None:
    ended = run("long-line", channel, "5", "then-nothing")
    assert isinstance(ended.outcome, Failed)
    assert "more than 4 MiB" in ended.outcome.error
    assert "forged" not in log(ended)


def test_input_that_nobody_reads(run: Run) -> None:
    assert run("deaf", task={"data": "x" * MEBIBYTE}).outcome == Succeeded("deaf")
    assert run("exit", "0", task={"data": "x" * MEBIBYTE}).outcome == Succeeded(None)


def test_input_larger_than_a_pipe(run: Run) -> None:
    ended = run("slow-reader", input="data", task={"data": "x" * 3 * MEBIBYTE})
    assert ended.outcome == Succeeded(3 * MEBIBYTE + 3)


def test_bytes_that_are_no_text(run: Run) -> None:
    ended = run("binary")
    assert ended.outcome == Succeeded(None)
    assert ended.report.ignored_events == 2
    assert "\ufffd" in ended.report.stderr_tail


def test_stdout_closed_early(run: Run) -> None:
    assert run("close-stdout").outcome == Succeeded("still here")


# -- left behind ------------------------------------------------------------------------------------------------------


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
    assert running.seconds < 4
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


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


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


# -- limits -----------------------------------------------------------------------------------------------------------


def test_limits_are_applied(run: Run) -> None:
    ended = run("limits", limits={"open_files": 77, "cpu_seconds": 5, "memory_mb": 900})
    files, memory, seconds, score = log(ended).split()
    assert (files, memory, seconds) == ("77", str(900 * 1024), "5")
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(score) == min(1000, own + 500)


def test_the_memory_limit_bites(run: Run) -> None:
    assert run("memory", limits={"memory_mb": 256}).outcome == Succeeded("refused")
    assert run("memory").outcome == Succeeded(512 * MEBIBYTE)


def test_the_cpu_limit_bites(run: Run) -> None:
    ended = run("burn", limits={"cpu_seconds": 1})
    assert ended.outcome.error_type == ErrorType.HANDLER_SIGNAL
    assert "limits.cpu_seconds" in ended.outcome.error


def test_peak_memory_is_the_childs_own(run: Run) -> None:
    peak = run("used-memory").report.peak_rss_bytes
    assert peak is not None
    assert peak > 300 * MEBIBYTE
    assert run("exit", "0").report.peak_rss_bytes is None  # the kernel only knows ours
