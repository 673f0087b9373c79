"""Handlers that stay: what a crash, a hang and a stop cost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import Any

import pytest

from gridsidecar.handler import StopReason
from gridsidecar.rules.task import (
    Cancelled,
    Disowned,
    ErrorType,
    Failed,
    Interrupted,
    Succeeded,
)
from tests.handler.conftest import OnLoop
from tests.handler.running import BEGUN
from tests.handler.warm import alive, pid_of, pool, state, stop_soon
from tests.support.waiting import eventually

# -- crashes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "data", "error_type", "error"),
    [
        ("crash", {}, ErrorType.HANDLER_SIGNAL, "killed by SIGSEGV: about to crash"),
        ("leave", {"code": 3}, ErrorType.HANDLER_EXIT, "exit status 3"),
        ("leave", {"code": 0}, ErrorType.HANDLER_EXIT, "it ended (exit status 0) before it sent a result"),
    ],
)
def test_a_crash_costs_that_attempt_only(
    on_loop: OnLoop, do: str, data: dict[str, Any], error_type: str, error: str
) -> None:
    async def scene() -> None:
        async with pool() as warm:
            pid = await warm.pid()
            ended = await warm.run(do, **data)
            assert ended.outcome == Failed(error=error, error_type=error_type)
            assert (ended.report.exit_code, ended.report.signal) == (data.get("code"), None if data else 11)
            assert await warm.pid() != pid

    on_loop(scene())


def test_exit_codes_keep_their_meaning(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            assert (await warm.run("leave", code=75)).outcome.retryable is True  # type: ignore[union-attr]
            assert (await warm.run("leave", code=65)).outcome.retryable is False  # type: ignore[union-attr]

    on_loop(scene())


def test_a_result_right_before_a_crash_counts(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            for _ in range(20):
                assert pid_of(await warm.run("answer-and-leave", code=9))

    on_loop(scene())


def test_a_crash_between_tasks_costs_none(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            pid = pid_of(await warm.run("die-soon", s=0.05))
            await eventually(lambda: not alive(pid))
            assert await warm.pid() != pid

    on_loop(scene())


def test_a_task_that_its_process_never_read_goes_to_another(on_loop: OnLoop) -> None:
    """It dies when the task is already in its pipe."""

    async def scene() -> None:
        async with pool() as warm:
            for text in ("short", "x" * 300_000):
                pid = await warm.pid()
                os.kill(pid, signal.SIGSTOP)
                await eventually(lambda stopped=pid: state(stopped) == "T")  # type: ignore[misc]
                job = asyncio.create_task(warm.run("echo", text=text))
                await asyncio.sleep(0.1)
                os.kill(pid, signal.SIGKILL)
                ended = await job
                assert ended.outcome.result["echo"]["text"] == text  # type: ignore[union-attr]
                assert pid_of(ended) != pid

    on_loop(scene())


def test_crashes_in_a_row_are_slowed_down(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            await warm.pid()
            began = time.monotonic()
            for _ in range(6):
                await warm.run("leave", code=1)
            assert time.monotonic() - began > 0.075 * (1 + 2 + 4)  # 0.1, 0.2, 0.4 s, each less a quarter at most

    on_loop(scene())


# -- time ends, and other reasons to stop ------------------------------------------------------------------------------


def test_a_hang_ends_with_its_process(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(kill_grace=0.3) as warm:
            pid = await warm.pid()
            ended = await warm.run("hang", timeout=BEGUN)
            assert ended.outcome == Failed(error="timed out after 1.5 s", error_type=ErrorType.TIMEOUT)
            assert ended.report.signal == 9
            assert not alive(pid)
            assert await warm.pid() != pid

    on_loop(scene())


DEAF = ["/bin/sh", "-c", """echo '{"gs":1,"type":"ready"}'; exec sleep 60"""]


@pytest.mark.parametrize(
    ("settings", "error", "error_type"),
    [
        ({"timeout": 0.3}, "timed out after 0.3 s", ErrorType.TIMEOUT),
        ({"timeout": 0, "stall_timeout": 0.3}, "no message and no output for 0.3 s", ErrorType.STALLED),
    ],
)
def test_a_process_that_does_not_read_its_task_runs_out_of_time(
    on_loop: OnLoop, settings: dict[str, Any], error: str, error_type: ErrorType
) -> None:
    """Nobody else gets the task, or the same would happen there, for ever."""

    async def scene() -> None:
        async with pool(command=DEAF, kill_grace=1, **settings) as warm:
            assert (await warm.run()).outcome == Failed(error=error, error_type=error_type)

    on_loop(scene())


def test_one_that_stops_reading_after_its_first_task_runs_out_of_time(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(kill_grace=1) as warm:
            os.kill(await warm.pid(), signal.SIGSTOP)
            ended = await warm.run(timeout=0.3)
            assert ended.outcome == Failed(error="timed out after 0.3 s", error_type=ErrorType.TIMEOUT)
            assert ended.report.duration_s > 0.3

    on_loop(scene())


def test_a_late_result_counts_and_the_process_goes(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            ended = await warm.run("late", timeout=BEGUN)
            assert ended.report.notes == ("late result", "ended by timeout")
            assert await warm.pid() != pid_of(ended)

    on_loop(scene())


def test_silence_is_a_stall(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(stall_timeout=0.3) as warm:
            await warm.pid()
            ended = await warm.run("rest", s=60)
            assert ended.outcome.error_type == ErrorType.STALLED  # type: ignore[union-attr]

    on_loop(scene())


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (StopReason.CANCEL, Cancelled()),
        (StopReason.SHUTDOWN, Interrupted()),
        (StopReason.DISOWNED, Disowned()),
    ],
)
@pytest.mark.parametrize("start", ["ready", "ready-cancel"])
def test_a_task_is_stopped(on_loop: OnLoop, start: str, reason: StopReason, outcome: Any) -> None:
    """By signal, or by message, where the process answers with an error and stays."""

    async def scene() -> None:
        async with pool(start) as warm:
            pid = await warm.pid()
            do = "rest" if start == "ready" else "until-cancelled"
            assert (await warm.run(do, s=60, stop=stop_soon(reason))).outcome == outcome
            assert (await warm.pid() == pid) == (start == "ready-cancel")

    on_loop(scene())


def test_the_message_that_cancels(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool("ready-cancel", kill_grace=7) as warm:
            ended = await warm.run("until-cancelled", then="result", timeout=0.3, attempt=4, task_id="t/1")
            assert isinstance(ended.outcome, Succeeded)
            assert ended.outcome.result["told"] == {
                "gs": 1,
                "type": "cancel",
                "task_id": "t/1",
                "attempt": 4,
                "reason": "timeout",
                "grace_s": 7,
            }
            assert ended.report.notes == ("late result", "ended by timeout")
            assert await warm.pid() == pid_of(ended)

    on_loop(scene())


def test_who_ignores_that_message_is_killed(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool("ready-cancel", kill_grace=0.2) as warm:
            pid = await warm.pid()
            ended = await warm.run("until-cancelled", then="nothing", timeout=0.2)
            assert ended.outcome == Failed(error="timed out after 0.2 s", error_type=ErrorType.TIMEOUT)
            assert ended.report.signal == 9
            assert await warm.pid() != pid

    on_loop(scene())


def test_hurry_skips_the_grace(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(kill_grace=60) as warm:
            await warm.pid()
            stop = stop_soon(StopReason.SHUTDOWN, 0.2)
            asyncio.get_running_loop().call_later(0.4, stop.hurry)
            assert (await warm.run("hang", stop=stop)).outcome == Interrupted()

    on_loop(scene())


def test_a_run_that_is_abandoned_takes_its_process_with_it(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(kill_grace=60) as warm:
            pid = await warm.pid()
            job = asyncio.create_task(warm.run("hang"))
            await asyncio.sleep(0.1)
            job.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await job
            assert await warm.pid() != pid
            assert not alive(pid)

    on_loop(scene())
