"""Handlers that stay: their start, their tasks, what they may get wrong, and their end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.settings import HandlerSettings
from gridsidecar.handler import Handler, Stop, StopReason, make_handlers
from gridsidecar.task import (
    Cancelled,
    CannotStart,
    Checkpoint,
    Claim,
    Disowned,
    Ended,
    ErrorType,
    Failed,
    Interrupted,
    Message,
    Progress,
    Succeeded,
    Task,
)
from tests.handler.conftest import OnLoop
from tests.handler.running import PROGRAMS, log
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
WARM = [sys.executable, "-I", "-S", str(PROGRAMS / "warm.py")]
SHELL_LOOP = """
answer='{"gs":1,"type":"result","task_id":"\\1","result":\\2}'
printf '{"gs":1,"type":"ready"}\\n'
while IFS= read -r task; do
  printf '%s\\n' "$task" | sed 's/.*"task_id":"\\([^"]*\\)".*"n":\\([0-9]*\\).*/'"$answer/"
done
"""


@dataclass
class Pool:
    """A handler that stays, and what its tasks reported."""

    handler: Handler
    progress: list[Progress] = field(default_factory=list)
    _last: int = 0

    async def run(self, do: str = "echo", *, stop: Stop | None = None, task_id: str = "", **data: Any) -> Ended:
        self._last += 1
        task = Task(
            task_id=task_id or f"t{self._last}",
            message=Message(body=b"{}"),
            data={"do": do, **data},
            timeout=data.get("timeout"),
        )
        claim = Claim(task=task, attempt=data.get("attempt", 1), worker_id="w", max_retry_count=5)
        return await self.handler.run(claim, self.progress.append, stop or Stop())

    async def pid(self) -> int:
        return pid_of(await self.run("echo"))


@asynccontextmanager
async def pool(
    *argv: str, width: int = 1, command: list[str] | None = None, persistent: dict[str, Any] | None = None, **keys: Any
) -> AsyncIterator[Pool]:
    settings: dict[str, Any] = {"timeout": 20, "kill_grace": 5, "mode": "persistent", "persistent": persistent or {}}
    handler = make_handlers(
        {"x": HandlerSettings(command=command or [*WARM, *argv], **settings | keys)}, SystemClock(), concurrency=width
    )["x"]
    try:
        yield Pool(handler)
    finally:
        await handler.close(asyncio.Event())


def pid_of(ended: Ended) -> int:
    assert isinstance(ended.outcome, Succeeded), ended
    return int(ended.outcome.result["pid"])


def state(pid: int) -> str:
    """As in /proc; X where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def alive(pid: int) -> bool:
    return state(pid) not in "ZX"


def stop_soon(reason: StopReason, seconds: float = 0.3) -> Stop:
    stop = Stop()
    asyncio.get_running_loop().call_later(seconds, stop.request, reason)
    return stop


# -- the plain way ----------------------------------------------------------------------------------------------------


def test_two_tasks_one_process(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            first, second = await warm.run("say", n=1), await warm.run("say", n=2)
            assert pid_of(first) == pid_of(second)
            assert [first.outcome.result["echo"]["n"], second.outcome.result["echo"]["n"]] == [1, 2]  # type: ignore[union-attr]
            assert log(first) in ("out of t1\nerr of t1\n", "err of t1\nout of t1\n")
            assert log(second) in ("out of t2\nerr of t2\n", "err of t2\nout of t2\n")
            assert (second.report.exit_code, second.report.ignored_events) == (None, 0)

    on_loop(scene())


def test_a_loop_in_shell_on_stdout(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(command=["/bin/sh", "-c", SHELL_LOOP]) as warm:
            assert [(await warm.run(n=n)).outcome for n in (5, 6, 7)] == [Succeeded(5), Succeeded(6), Succeeded(7)]

    on_loop(scene())


def test_the_loop_of_the_readme(on_loop: OnLoop) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (loop,) = [block for block in blocks if '"type":"ready"' in block]

    async def scene() -> None:
        async with pool(command=[sys.executable, "-c", loop]) as warm:
            assert [(await warm.run(n=n)).outcome for n in (5, 6, 7)] == [Succeeded(10), Succeeded(12), Succeeded(14)]

    on_loop(scene())


def test_every_event(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            ended = await warm.run("all-events")
            assert isinstance(ended.outcome, Succeeded)
            assert warm.progress == [Progress(30, "a third"), Progress(checkpoint=Checkpoint({"page": 3}))]
            assert 'warning: slow {"ms":1}\ninfo: a log needs no address\n' in log(ended)
            assert ended.report.ignored_events == 1
            assert "[ignored: a progress that names no task]" in log(ended)

    on_loop(scene())


def test_an_error_keeps_its_hints_and_the_process_stays(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            pid = await warm.pid()
            ended = await warm.run("fail")
            assert ended.outcome == Failed(error="429", error_type="RateLimited", retryable=True, retry_after=3)
            assert await warm.pid() == pid

    on_loop(scene())


def test_the_environment_names_no_task(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            ended = await warm.run("environment")
            assert isinstance(ended.outcome, Succeeded)
            names = ended.outcome.result["env"]
            assert names.pop("GRIDSIDECAR_RUN")
            assert names.pop("GRIDSIDECAR_EVENTS").startswith("/dev/fd/")
            assert names == {"GRIDSIDECAR": "1", "GRIDSIDECAR_PROTOCOL": "1", "GRIDSIDECAR_MODE": "persistent"}

    on_loop(scene())


def test_as_many_processes_as_tasks_at_a_time_and_no_more(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        journal = tmp_path / "journal"
        async with pool(width=3, env={"JOURNAL": str(journal)}) as warm:
            first = await asyncio.gather(*(warm.run("rest", s=0.3) for _ in range(3)))
            rest = await asyncio.gather(*(warm.run("rest", s=0.02) for _ in range(12)))
            assert len({pid_of(ended) for ended in first}) == 3
            assert {pid_of(ended) for ended in rest} <= {pid_of(ended) for ended in first}
        assert len(journal.read_text().split()) == 3

    on_loop(scene())


def test_processes_are_ready_before_the_first_task(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        for processes, started in ((0, 1), (2, 2), (9, 3)):
            journal = tmp_path / f"journal{processes}"
            journal.touch()
            env = {"JOURNAL": str(journal)}
            async with pool(width=3, env=env, persistent={"processes": processes}) as warm:
                warm.handler.start()
                await eventually(lambda at=journal, n=started: len(at.read_text().split()) == n)  # type: ignore[misc]
                assert str(await warm.pid()) in journal.read_text().split()

    on_loop(scene())


# -- the start --------------------------------------------------------------------------------------------------------


def test_a_task_waits_for_ready(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool("slow") as warm:
            assert await warm.pid()

    on_loop(scene())


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("exit", "ended before it said that it is ready: exit status 3: no model here"),
        ("error", "it said that it cannot start: the model is missing"),
        ("silent", 'did not send {"gs":1,"type":"ready"} within 0.5 s (persistent.ready_timeout)'),
        ("once", "ended after it was ready, without reading a task"),
    ],
)
def test_what_does_not_start_fails_no_task(on_loop: OnLoop, start: str, words: str) -> None:
    async def scene() -> None:
        ready_timeout = 0.5 if start == "silent" else 20
        async with pool(start, persistent={"ready_timeout": ready_timeout}) as warm:
            ended = await warm.run()
            assert isinstance(ended.outcome, CannotStart)
            assert words in ended.outcome.error
            assert ended.outcome.error.startswith("handler x: ")

    on_loop(scene())


def test_a_command_that_is_not_there(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        missing = tmp_path / "missing"
        async with pool(command=[str(missing)]) as warm:
            warm.handler.start()
            ended = await warm.run()
            assert isinstance(ended.outcome, CannotStart)
            assert "does not exist" in ended.outcome.error
            assert warm.handler.cannot_start() == ended.outcome.error
            missing.write_text(f"#!/bin/sh\nexec {' '.join(WARM)}\n")
            missing.chmod(0o755)
            assert warm.handler.cannot_start() is None
            assert await warm.pid()

    on_loop(scene())


def test_a_command_that_knows_nothing_of_this_is_told_apart(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(command=["cat"], persistent={"ready_timeout": 0.3}) as warm:
            ended = await warm.run()
            assert isinstance(ended.outcome, CannotStart)
            assert "mode: oneshot" in ended.outcome.error

    on_loop(scene())


def test_garbage_before_ready_is_not_the_first_tasks(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool("garbage") as warm:
            ended = await warm.run("say")
            assert pid_of(ended)
            assert warm.progress == []
            before, _, after = log(ended).partition("[this task]\n")
            assert "hello" in before
            assert "[ignored: a result while it had no task]" in before
            assert "hello" not in after
            assert ended.report.ignored_events >= 3

    on_loop(scene())


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (StopReason.CANCEL, Cancelled()),
        (StopReason.SHUTDOWN, Interrupted()),
        (StopReason.DISOWNED, Disowned()),
    ],
)
def test_a_stop_while_it_starts_costs_nothing(on_loop: OnLoop, reason: StopReason, outcome: Any) -> None:
    async def scene() -> None:
        async with pool("silent") as warm:
            began = time.monotonic()
            assert (await warm.run(stop=stop_soon(reason))).outcome == outcome
            assert time.monotonic() - began < 4
            stopped = Stop()
            stopped.request(reason)
            assert (await warm.run(stop=stopped)).outcome == outcome

    on_loop(scene())


# -- crashes ----------------------------------------------------------------------------------------------------------


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


# -- time ends, and other reasons to stop -----------------------------------------------------------------------------


def test_a_hang_ends_with_its_process(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(kill_grace=0.3) as warm:
            pid = await warm.pid()
            ended = await warm.run("hang", timeout=0.3)
            assert ended.outcome == Failed(error="timed out after 0.3 s", error_type=ErrorType.TIMEOUT)
            assert ended.report.signal == 9
            assert not alive(pid)
            assert await warm.pid() != pid

    on_loop(scene())


def test_a_late_result_counts_and_the_process_goes(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            ended = await warm.run("late", timeout=0.3)
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


# -- whose result is it -----------------------------------------------------------------------------------------------


def test_the_first_result_wins_and_the_second_is_nobodys(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            first, second = await warm.run("twice", n=1), await warm.run("echo", n=2)
            assert "second" not in first.outcome.result  # type: ignore[union-attr]
            assert second.outcome.result["echo"]["n"] == 2  # type: ignore[union-attr]
            assert second.report.ignored_events == 1
            assert pid_of(first) == pid_of(second)

    on_loop(scene())


def test_events_of_another_task_or_attempt_are_ignored(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            ended = await warm.run("stale", others=["t0", "t2"], n=1)
            assert ended.outcome.result["echo"]["n"] == 1  # type: ignore[union-attr]
            assert ended.report.ignored_events == 7
            assert log(ended).count("[ignored: it names another task]") == 6
            assert warm.progress == []

    on_loop(scene())


def test_a_second_result_in_the_middle_of_the_next_task(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            await warm.run("again-soon", s=0.1, n=1)
            ended = await warm.run("rest", s=0.4, n=2)
            assert ended.outcome.result["echo"]["n"] == 2  # type: ignore[union-attr]
            assert ended.report.ignored_events == 1

    on_loop(scene())


def test_a_second_result_of_the_attempt_before_of_the_same_task(on_loop: OnLoop) -> None:
    """Told apart by when it comes, and by the attempt where it names that."""

    async def scene() -> None:
        async with pool() as warm:
            await warm.run("twice", task_id="same", attempt=1)
            await asyncio.sleep(0.3)
            ended = await warm.run("rest", task_id="same", attempt=2, s=0.3)
            assert ended.outcome.result["echo"]["attempt"] == 2  # type: ignore[union-attr]
            await warm.run("again-soon", task_id="same", attempt=3, s=0.2, name=True)
            ended = await warm.run("rest", task_id="same", attempt=4, s=0.5)
            assert ended.outcome.result["echo"]["attempt"] == 4  # type: ignore[union-attr]
            assert "[ignored: it names another attempt]" in log(ended)

    on_loop(scene())


def test_a_result_without_an_address_is_an_error_at_once(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            pid = await warm.pid()
            ended = await warm.run("unaddressed")
            assert isinstance(ended.outcome, Failed)
            assert "without task_id" in ended.outcome.error
            assert await warm.pid() != pid

    on_loop(scene())


def test_text_between_two_tasks_is_marked(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            await warm.run("say-late")
            await asyncio.sleep(0.3)
            assert log(await warm.run("say")).startswith("[before this task]\nafter t1\n[this task]\n")
            assert "[before" not in log(await warm.run("say"))

    on_loop(scene())


# -- too much, and too little -----------------------------------------------------------------------------------------


def test_a_result_over_the_limit(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(max_result_bytes=100_000) as warm:
            pid = await warm.pid()
            ended = await warm.run("large", bytes=200_000)
            assert "more than max_result_bytes (100000)" in ended.outcome.error  # type: ignore[union-attr]
            assert await warm.pid() == pid

    on_loop(scene())


def test_a_result_over_the_line_limit_ends_its_task_at_once(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            pid = await warm.pid()
            ended = await warm.run("large", bytes=20_000_000)
            assert "a line of more than 4 MiB" in ended.outcome.error  # type: ignore[union-attr]
            assert await warm.pid() == pid

    on_loop(scene())


def test_a_task_larger_than_a_pipe(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            for _ in range(3):
                ended = await warm.run("echo", text="x" * 900_000)
                assert len(ended.outcome.result["echo"]["text"]) == 900_000  # type: ignore[union-attr]

    on_loop(scene())


def test_a_flood_of_text(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            ended = await warm.run("large-text", bytes=5_000_000)
            assert pid_of(ended)
            assert len(log(ended)) <= 2 * 64 * 1024
            assert ended.report.log_dropped_bytes == 5_000_000 - len(log(ended))

    on_loop(scene())


def test_stdout_may_be_closed_where_the_events_pipe_is_used(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            pid = pid_of(await warm.run("close-stdout"))
            assert await warm.pid() == pid

    on_loop(scene())


@pytest.mark.parametrize(("start", "do"), [("ready", "close-channel"), ("ready-stdout", "close-stdout")])
def test_a_closed_channel_ends_the_process(on_loop: OnLoop, start: str, do: str) -> None:
    async def scene() -> None:
        async with pool(start) as warm:
            pid = await warm.pid()
            ended = await warm.run(do)
            assert isinstance(ended.outcome, Failed)
            assert ended.outcome.error_type == ErrorType.HANDLER_EXIT
            assert await warm.pid() != pid

    on_loop(scene())


def test_a_process_that_closed_its_stdin_gets_no_task(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(kill_grace=0.5) as warm:
            pid = pid_of(await warm.run("close-stdin"))
            await asyncio.sleep(0.2)
            assert await warm.pid() != pid

    on_loop(scene())


# -- recycling, and the end -------------------------------------------------------------------------------------------


def test_replaced_after_max_tasks(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(persistent={"max_tasks": 3}) as warm:
            pids = [await warm.pid() for _ in range(9)]
            assert pids == [pids[0]] * 3 + [pids[3]] * 3 + [pids[6]] * 3
            assert len(set(pids)) == 3
            await eventually(lambda: not alive(pids[0]))

    on_loop(scene())


def test_replaced_after_max_age_also_while_idle(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(persistent={"max_age": 0.5}) as warm:
            pid = await warm.pid()
            await eventually(lambda: not alive(pid))
            busy = await warm.run("rest", s=0.7)
            assert await warm.pid() not in (pid, pid_of(busy))

    on_loop(scene())


def test_replaced_when_it_has_grown(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool(persistent={"max_rss_mb": 60}) as warm:
            pid = await warm.pid()
            assert await warm.pid() == pid
            assert pid_of(await warm.run("grow", mib=80)) == pid
            assert await warm.pid() != pid

    on_loop(scene())


def test_the_old_is_gone_before_the_new_comes(on_loop: OnLoop, tmp_path: Path) -> None:
    """One that does not end with its input is killed; meanwhile there is no other."""

    async def scene() -> None:
        async with pool("ready", "stay", kill_grace=0.3, persistent={"max_tasks": 1}) as warm:
            old = await warm.pid()
            new = await warm.pid()
            assert new != old
            assert not alive(old)

    on_loop(scene())


@pytest.mark.parametrize("argv", [("ready",), ("ready", "stay"), ("silent",)], ids=" ".join)
def test_nothing_is_left_at_the_end(on_loop: OnLoop, argv: tuple[str, ...]) -> None:
    async def scene() -> None:
        pids: list[int] = []
        async with pool(*argv, width=2, kill_grace=0.5, persistent={"processes": 2}) as warm:
            warm.handler.start()
            if argv[0] != "silent":
                ended = await warm.run("grandchild")
                pids = [pid_of(ended), ended.outcome.result["child"]]  # type: ignore[union-attr]
            before = await eventually(lambda: len(children()) >= 2 and children())
        await eventually(lambda: not any(alive(pid) for pid in pids) and not before & children())

    on_loop(scene())


def test_told_twice_it_does_not_wait(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool("ready", "stay", kill_grace=60) as warm:
            pid = await warm.pid()
            hurry = asyncio.Event()
            asyncio.get_running_loop().call_later(0.2, hurry.set)
            await warm.handler.close(hurry)
            assert not alive(pid)

    on_loop(scene())


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
