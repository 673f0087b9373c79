"""Handlers that stay: no task gets another's result, and none is hurt by too much or too little."""

from __future__ import annotations

import asyncio

import pytest

from gridsidecar.rules.task import (
    ErrorType,
    Failed,
)
from tests.handler.conftest import OnLoop
from tests.handler.running import log
from tests.handler.warm import at_rest, pid_of, pool

# -- whose result is it ------------------------------------------------------------------------------------------------


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
            await at_rest(pid_of(await warm.run("twice", task_id="same", attempt=1)))
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
            pid = pid_of(await warm.run("say-late"))
            await asyncio.sleep(0.3)  # longer than it waits itself
            await at_rest(pid)
            assert log(await warm.run("say")).startswith("[before this task]\nafter t1\n[this task]\n")
            assert "[before" not in log(await warm.run("say"))

    on_loop(scene())


# -- too much, and too little ------------------------------------------------------------------------------------------


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
            await at_rest(pid)
            assert await warm.pid() != pid

    on_loop(scene())
