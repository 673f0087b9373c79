"""An error that a handler reports because its time was up has one name in every mode, and keeps its words."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from gridsidecar.handler import StopReason
from gridsidecar.rules.task import Cancelled, ErrorType, Failed, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import BEGUN, Run, Running, handler
from tests.handler.warm import pid_of, pool, stop_soon

SAYS_SO = """
import json, os, signal, sys
def told(*_):
    with open(os.environ["GRIDSIDECAR_EVENTS"], "a") as events:
        error = {"type": "error", "error": "aborted", "error_type": "AbortError", "traceback": "tb"}
        events.write(json.dumps(error) + "\\n")
    os._exit(3)
signal.signal(signal.SIGTERM, told)
signal.pause()
"""


@pytest.mark.parametrize(
    ("limits", "error_type", "ours"),
    [
        ({"timeout": BEGUN}, ErrorType.TIMEOUT, "timed out after 1.5 s"),
        ({"stall_timeout": BEGUN}, ErrorType.STALLED, "no message and no output for 1.5 s"),
    ],
)
def test_oneshot(on_loop: OnLoop, limits: dict[str, Any], error_type: str, ours: str) -> None:
    running = Running("replaced")
    running.handler = handler([sys.executable, "-I", "-S", "-c", SAYS_SO], **{"timeout": 20, "kill_grace": 5} | limits)
    ended = on_loop(running.result())
    assert ended.outcome == Failed(
        error=f"{ours}; then it said: aborted (AbortError)", error_type=error_type, traceback="tb"
    )
    assert ended.report.notes == ("late error", f"ended by {'timeout' if 'timeout' in limits else 'stall'}")


def test_the_default_name_is_told_too(run: Run) -> None:
    outcome = run("error-on-term", timeout=BEGUN).outcome
    assert outcome.error_type == ErrorType.TIMEOUT
    assert outcome.error == "timed out after 1.5 s; then it said: terminated (HandlerError)"


@pytest.mark.parametrize(
    ("limits", "error_type", "ours"),
    [
        ({"timeout": 0.5}, ErrorType.TIMEOUT, "timed out after 0.5 s"),
        ({"stall_timeout": 0.5}, ErrorType.STALLED, "no message and no output for 0.5 s"),
    ],
)
def test_persistent(on_loop: OnLoop, limits: dict[str, Any], error_type: str, ours: str) -> None:
    async def scene() -> None:
        async with pool("ready-cancel", **limits) as warm:
            pid = await warm.pid()
            outcome = (await warm.run("until-cancelled")).outcome
            assert outcome == Failed(error=f"{ours}; then it said: gave up (HandlerError)", error_type=error_type)
            assert await warm.pid() == pid

    on_loop(scene())


def test_a_result_that_comes_during_the_grace_still_wins(on_loop: OnLoop, run: Run) -> None:
    async def scene() -> None:
        async with pool("ready-cancel") as warm:
            assert pid_of(await warm.run("until-cancelled", then="result", timeout=0.3))

    on_loop(scene())
    assert run("result-on-term", timeout=BEGUN).outcome == Succeeded("late")


def test_an_error_before_the_stop_keeps_its_name(on_loop: OnLoop) -> None:
    running = Running("replaced")
    script = """echo '{"type":"error","error":"bad","error_type":"Mine"}' >>"$GRIDSIDECAR_EVENTS"; exec sleep 1000"""
    running.handler = handler(["/bin/sh", "-c", script], timeout=BEGUN, kill_grace=5)
    assert on_loop(running.result()).outcome == Failed(error="bad", error_type="Mine")


def test_a_cancelled_task_stays_cancelled(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool("ready-cancel") as warm:
            assert (await warm.run("until-cancelled", stop=stop_soon(StopReason.CANCEL))).outcome == Cancelled()

    on_loop(scene())
