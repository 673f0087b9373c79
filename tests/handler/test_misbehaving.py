"""Children that hang, flood, leak, escape and ignore: they cost their own attempt and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import StopReason
from gridsidecar.rules.task import Cancelled, Disowned, ErrorType, Failed, Interrupted, Progress, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import BEGUN, Run, Running, children, handler, log
from tests.support.waiting import eventually

MEBIBYTE = 1024 * 1024


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
    running = Running("ignore-term", timeout=BEGUN, kill_grace=0.3)
    ended = on_loop(running.result())
    assert ended.outcome.error_type == ErrorType.TIMEOUT
    assert ended.report.signal == 9
    assert BEGUN + 0.25 < running.seconds < BEGUN + 2


def test_a_handler_that_leaves_in_peace_at_its_timeout_has_still_failed(run: Run) -> None:
    ended = run("exit-0-on-term", timeout=BEGUN)
    assert ended.outcome.error_type == ErrorType.TIMEOUT
    assert ended.report.exit_code == 0


def test_a_late_result_counts(run: Run) -> None:
    ended = run("result-on-term", timeout=BEGUN)
    assert ended.outcome == Succeeded("late")
    assert "late result" in ended.report.notes


def test_a_result_whose_process_does_not_leave_counts(run: Run) -> None:
    ended = run("result-then-hang", timeout=BEGUN)
    assert ended.outcome == Succeeded(1)
    assert ended.report.notes == ("ended by timeout after its result",)


def test_a_worker_behind_a_shell_has_its_grace(run: Run) -> None:
    ended = run("worker-behind-shell", timeout=BEGUN, kill_grace=10)
    assert ended.outcome == Succeeded("tidy")
    assert ended.report.signal == 15


def test_silence_is_a_stall(on_loop: OnLoop) -> None:
    running = Running("say-then-hang", stall_timeout=BEGUN)
    ended = on_loop(running.result())
    assert ended.outcome == Failed(error="no message and no output for 1.5 s", error_type=ErrorType.STALLED)
    assert running.progress == [Progress(1, None)]


def test_output_of_any_kind_is_no_stall(run: Run) -> None:
    assert run("chatty", stall_timeout=BEGUN).outcome == Succeeded(None)


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


def test_hurry_does_not_wait_for_what_escaped_with_a_pipe(on_loop: OnLoop) -> None:
    running = Running("replaced")
    say = """echo '{"gs":1,"type":"progress","progress":1}'"""
    script = f"trap '' TERM; setsid sleep 12 & {say}; while :; do sleep 0.05; done"
    running.handler = handler(["/bin/sh", "-c", script], kill_grace=60)
    ended = on_loop(stopped(running, StopReason.SHUTDOWN, hurry=True))
    assert ended.outcome == Interrupted()
    assert running.seconds < 8


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


def test_every_descriptor_closed(run: Run) -> None:
    ended = run("close-everything")
    assert ended.outcome == Failed(error="exit status 4", error_type=ErrorType.HANDLER_EXIT)
    assert ended.report.exit_code == 4


def test_a_handler_that_stops_itself_is_ended(on_loop: OnLoop) -> None:
    running = Running("stop-itself", timeout=0.3, kill_grace=0.3)
    ended = on_loop(running.result())
    assert ended.outcome.error_type == ErrorType.TIMEOUT
    assert ended.report.signal == 9


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
    ended = run("burn", limits={"cpu_seconds": 1}, timeout=100)
    assert ended.outcome.error_type == ErrorType.HANDLER_SIGNAL
    assert "limits.cpu_seconds" in ended.outcome.error


def test_peak_memory_is_the_childs_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # what other tests of this process took is forgotten
    monkeypatch.setattr("gridsidecar.handler.process._seen_peak", 0)
    peak = run("used-memory").report.peak_rss_bytes
    assert peak is not None
    assert peak > 800 * MEBIBYTE
    assert run("exit", "0").report.peak_rss_bytes is None  # the kernel only knows ours
