"""Commands that are no handlers: their end is a value, whatever they do, and nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from gridsidecar.handler import CommandEnd, Stop, StopReason, run_command
from gridsidecar.handler.command import Command
from gridsidecar.handler.env_variables import hook_environment
from tests.handler.conftest import OnLoop
from tests.handler.running import BEGUN, dead
from tests.support.waiting import eventually

MEBIBYTE = 1024 * 1024

LONG = "exec sleep 1000"
DEAF = "trap '' TERM; while :; do sleep 0.02; done"


def shell(script: str, *arguments: str | Path) -> list[str]:
    return ["/bin/sh", "-c", script, "hook", *map(str, arguments)]


def command(argv: list[str]) -> Command:
    return Command("on_startup", tuple(argv), None, hook_environment("on_startup", os.environ), kind="hook")


async def ended(argv: list[str], stdin: bytes = b"", timeout: float = 20, stop: Stop | None = None) -> CommandEnd:
    return await run_command(command(argv), stdin, timeout, stop or Stop())


def test_exit_codes_signals_and_the_last_words(on_loop: OnLoop) -> None:
    assert on_loop(ended(shell("exit 0"))) == CommandEnd(exit_code=0)
    assert on_loop(ended(shell("echo first >&2; echo last >&2; exit 7"))) == CommandEnd(exit_code=7, stderr_line="last")
    assert on_loop(ended(shell("kill -9 $$"))) == CommandEnd(signal=9)


def test_it_gets_its_input_and_a_clean_environment(
    on_loop: OnLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_PASSWORD", "secret")
    large = b"x" * MEBIBYTE
    script = 'cat > "$1"; env > "$2"'
    assert on_loop(ended(shell(script, tmp_path / "input", tmp_path / "env"), large)).exit_code == 0
    assert (tmp_path / "input").read_bytes() == large
    seen = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert seen["PATH"] == os.environ["PATH"]
    assert (seen["GRIDSIDECAR"], seen["GRIDSIDECAR_HOOK"]) == ("1", "on_startup")
    assert "MYSQL_PASSWORD" not in seen
    assert "GRIDSIDECAR_EVENTS" not in seen


def test_input_that_nobody_reads_is_no_failure(on_loop: OnLoop) -> None:
    assert on_loop(ended(["true"], b"x" * MEBIBYTE)) == CommandEnd(exit_code=0)


def test_its_time_is_limited(on_loop: OnLoop) -> None:
    assert on_loop(ended(shell(LONG), timeout=0.2)) == CommandEnd(signal=15, timed_out=True)
    began = time.monotonic()
    assert on_loop(ended(shell(DEAF), timeout=BEGUN)) == CommandEnd(signal=9, timed_out=True)
    assert time.monotonic() - began > BEGUN + 1


@pytest.mark.alone
def test_a_stop_ends_it(on_loop: OnLoop, tmp_path: Path) -> None:
    async def stopped(script: str, *, hurry: bool = False) -> CommandEnd:
        stop, mark = Stop(), tmp_path / "started"
        mark.unlink(missing_ok=True)
        running = asyncio.create_task(ended(shell(f'trap "" TERM; : > "$1"; {script}', mark), stop=stop))
        await eventually(mark.exists)
        stop.request(StopReason.SHUTDOWN)
        if hurry:
            stop.hurry()
        return await running

    assert on_loop(stopped("trap - TERM; while :; do sleep 0.02; done")) == CommandEnd(signal=15, stopped=True)
    assert on_loop(stopped("while :; do sleep 0.02; done")) == CommandEnd(signal=9, stopped=True)
    began = time.monotonic()
    assert on_loop(stopped("while :; do sleep 0.02; done", hurry=True)) == CommandEnd(signal=9, stopped=True)
    assert time.monotonic() - began < 1


def test_a_stop_that_came_before_starts_nothing(on_loop: OnLoop, tmp_path: Path) -> None:
    stop = Stop()
    stop.request(StopReason.CANCEL)
    assert on_loop(ended(["touch", str(tmp_path / "mark")], stop=stop)) == CommandEnd(stopped=True)
    assert not (tmp_path / "mark").exists()


def test_what_cannot_start_says_why(on_loop: OnLoop, tmp_path: Path) -> None:
    missing = on_loop(ended([str(tmp_path / "missing")])).cannot_start
    assert missing == f"hook on_startup: {tmp_path}/missing does not exist; create it or correct `hooks.on_startup`"
    assert "is not in PATH" in on_loop(ended(["no-such-program"])).cannot_start
    (tmp_path / "text").write_text("true\n")
    assert "is not executable; run `chmod +x " in on_loop(ended([str(tmp_path / "text")])).cannot_start
    (tmp_path / "text").chmod(0o755)
    assert "has no `#!` first line" in on_loop(ended([str(tmp_path / "text")])).cannot_start


def test_a_hundred_megabytes_on_both_streams_are_read_and_forgotten(on_loop: OnLoop) -> None:
    before = resident()
    script = (
        "import os\nfor _ in range(100):\n for fd in (1, 2): os.write(fd, b'x' * 1048576)\nos.write(2, b'\\nend\\n')"
    )
    assert on_loop(ended([sys.executable, "-I", "-S", "-c", script])) == CommandEnd(exit_code=0, stderr_line="end")
    assert resident() - before < 16 * MEBIBYTE


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("streams", ["", "<&- >&- 2>&-"], ids=["with its pipes", "without"])
def test_a_grandchild_does_not_outlive_it(on_loop: OnLoop, tmp_path: Path, streams: str) -> None:
    began = time.monotonic()
    end = on_loop(ended(shell(f'sleep 1000 {streams} & echo $! > "$1"', tmp_path / "pid")))
    assert end == CommandEnd(exit_code=0)
    assert time.monotonic() - began < 15, "its time would have been up"
    grandchild = int((tmp_path / "pid").read_text())
    on_loop(eventually(lambda: dead(grandchild)))


@pytest.mark.alone
def test_time_that_is_up_while_a_grandchild_holds_the_pipes_is_no_failure(on_loop: OnLoop) -> None:
    began = time.monotonic()
    assert on_loop(ended(shell("sleep 1000 & exit 0"), timeout=0.5)) == CommandEnd(exit_code=0)
    assert time.monotonic() - began < 1.5


def test_cancelling_leaves_no_process(on_loop: OnLoop, tmp_path: Path) -> None:
    async def cancelled() -> int:
        pid = tmp_path / "pid"
        running = asyncio.create_task(ended(shell(f'echo $$ > "$1.new"; mv "$1.new" "$1"; {DEAF}', pid)))
        await eventually(pid.exists)
        running.cancel()
        assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
        number = int(pid.read_text())
        await eventually(lambda: dead(number))
        return number

    assert on_loop(cancelled()) > 0
