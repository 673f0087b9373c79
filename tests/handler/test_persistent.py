"""Handlers that stay: their tasks, and their start."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import Stop, StopReason
from gridsidecar.rules.task import (
    Cancelled,
    CannotStart,
    Checkpoint,
    Disowned,
    Failed,
    Interrupted,
    Progress,
    Succeeded,
)
from tests.handler.conftest import OnLoop
from tests.handler.running import log
from tests.handler.warm import ROOT, WARM, pid_of, pool, stop_soon
from tests.support.waiting import eventually

SHELL_LOOP = """
answer='{"gs":1,"type":"result","task_id":"\\1","result":\\2}'
printf '{"gs":1,"type":"ready"}\\n'
while IFS= read -r task; do
  printf '%s\\n' "$task" | sed 's/.*"task_id":"\\([^"]*\\)".*"n":\\([0-9]*\\).*/'"$answer/"
done
"""


# -- the plain way -----------------------------------------------------------------------------------------------------


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


def test_the_loop_of_the_documentation(on_loop: OnLoop) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "persistent.md").read_text(), re.DOTALL)
    (loop,) = [block for block in blocks if 'type="ready"' in block]

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


# -- the start ---------------------------------------------------------------------------------------------------------


def test_a_task_waits_for_ready(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool("slow") as warm:
            assert await warm.pid()

    on_loop(scene())


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("exit", "ended before it said that it is ready: exit status 3: no model here"),
        ("exit-0", "exit status 0; a command that knows nothing of this needs mode: oneshot"),
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


def test_one_that_cannot_start_and_does_not_go_either(on_loop: OnLoop) -> None:
    say = """echo '{"gs":1,"type":"error","error":"no model"}'"""
    stubborn = ["/bin/sh", "-c", f"trap '' TERM; {say}; while :; do sleep 0.05; done"]

    async def scene() -> None:
        async with pool(command=stubborn, kill_grace=0.6, persistent={"ready_timeout": 0.3}) as warm:
            ended = await warm.run()
            assert ended.outcome == CannotStart("handler x: /bin/sh: it said that it cannot start: no model")
            await asyncio.sleep(0.5)  # past ready_timeout

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
