"""Many tasks at once in one process: each with its own events, times and end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import Stop, StopReason
from gridsidecar.rules.task import (
    Cancelled,
    Displaced,
    Ended,
    ErrorType,
    Failed,
    Interrupted,
    Progress,
    Succeeded,
)
from tests.handler.conftest import OnLoop
from tests.handler.running import PROGRAMS, log
from tests.handler.warm import Pool, alive, children, pool, state, stop_soon
from tests.support.waiting import eventually

MANY = [sys.executable, "-I", "-S", str(PROGRAMS / "many.py")]


@asynccontextmanager
async def many(says: Any = 100, *, at_once: int = 100, width: int = 100, **keys: Any) -> AsyncIterator[Pool]:
    persistent = {"concurrency": at_once} | keys.pop("persistent", {})
    async with pool(command=[*MANY, json.dumps(says)], width=width, persistent=persistent, **keys) as found:
        yield found


def result(ended: Ended) -> Any:
    assert isinstance(ended.outcome, Succeeded), ended
    return ended.outcome.result


async def held(warm: Pool, gate: Path, count: int) -> list[Ended]:
    """So many tasks, none of which ends before all have begun."""
    begun = len(warm.progress) + count
    jobs = [asyncio.create_task(warm.run("hold", gate=str(gate))) for _ in range(count)]
    await eventually(lambda: len(warm.progress) == begun)
    gate.touch()
    return await asyncio.gather(*jobs)


def pids(ended: list[Ended]) -> set[int]:
    return {result(each)["pid"] for each in ended}


def test_a_hundred_waiting_tasks_in_one_process(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        async with many() as warm:
            await warm.run("full")
            ended = await held(warm, tmp_path / "gate", 100)
            assert [result(each)["id"] for each in ended] == [f"t{n}" for n in range(2, 102)]
            assert len(pids(ended)) == 1
            assert max(result(each)["most"] for each in ended) == 100

    on_loop(scene())


def test_each_hears_its_own_events_and_what_names_none_is_shown_to_all(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            ended = await asyncio.gather(*(warm.run("say", task_id=f"s{n}") for n in range(5)))
            for n, each in enumerate(ended):
                assert log(each).count("info: log of ") == 1
                assert f"info: log of s{n}\n" in log(each)
                assert "[of its process, beside several tasks]\n" in log(each)
                assert f"out of s{n}\n" in log(each)
            alone = await warm.run("say", task_id="s")
            assert log(alone) == "out of s\ninfo: log of s\n"

    on_loop(scene())


def test_progress_and_results_of_a_mebibyte_do_not_cross(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            size = 1_000_000
            jobs = [warm.run("full", task_id=f"b{n}", bytes=size, pad="p" * size) for n in range(20)]
            for n, each in enumerate(await asyncio.gather(*jobs)):
                assert (result(each)["id"], len(result(each)["x"])) == (f"b{n}", size)
            said = Counter(each.message for each in warm.progress if each.message)
            assert said == {f"b{n}": 1 for n in range(20)}

    on_loop(scene())


# -- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "at_once", "most"),
    [
        *((3, 100, 3), (100, 4, 4), (10**9, 5, 5)),
        *((wrong, 9, 1) for wrong in (0, -1, "many", True, None, 2.5, "no cancel")),
    ],
)
def test_never_more_than_it_said_and_than_it_may_have(on_loop: OnLoop, says: Any, at_once: int, most: int) -> None:
    async def scene() -> None:
        async with many(says, at_once=at_once, width=12, persistent={"processes": 2}) as warm:
            ended = await asyncio.gather(*(warm.run("rest", s=0.1) for _ in range(12)))
            assert max(result(each)["most"] for each in ended) <= most
            assert len(pids(ended)) <= 2

    on_loop(scene())


def test_a_warm_process_is_filled_before_another_starts(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        journal = tmp_path / "journal"
        async with many(4, at_once=4, width=12, env={"JOURNAL": str(journal)}) as warm:
            warm.handler.start()
            assert spread(await held(warm, tmp_path / "a", 4)) == [4]
            assert spread(await held(warm, tmp_path / "b", 12)) == [4, 4, 4]
            assert len(journal.read_text().split()) == 3
            assert spread(await held(warm, tmp_path / "c", 6)) == [2, 2, 2]  # the least loaded

    on_loop(scene())


def spread(ended: list[Ended]) -> list[int]:
    """How many of the tasks each process had."""
    return sorted(Counter(result(each)["pid"] for each in ended).values())


def test_two_attempts_of_one_task_never_share_a_process(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many(width=4) as warm:
            jobs = [warm.run("rest", task_id="same", attempt=n, s=0.3) for n in (1, 2)]
            assert {result(each)["most"] for each in await asyncio.gather(*jobs)} == {1}

    on_loop(scene())


# -- stops ------------------------------------------------------------------------------------------------------------


def test_a_cancel_and_a_timeout_are_one_tasks_own(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            jobs = [warm.run("rest", s=1) for _ in range(8)]
            jobs.append(warm.run("rest", stop=stop_soon(StopReason.CANCEL)))
            jobs.append(warm.run("rest", timeout=0.3))
            *ended, cancelled, late = await asyncio.gather(*jobs)
            assert cancelled.outcome == Cancelled()
            assert isinstance(late.outcome, Failed)
            assert late.outcome.error_type == ErrorType.TIMEOUT
            assert pids(ended) == {result(await warm.run("full"))["pid"]}

    on_loop(scene())


def test_a_silent_task_stalls_beside_one_that_talks(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many(stall_timeout=0.5) as warm:
            flood, _, *quiet = await asyncio.gather(
                warm.run("flood", s=1.5), warm.run("print-flood", s=1.5), *(warm.run("rest", s=60) for _ in range(9))
            )
            assert isinstance(flood.outcome, Succeeded)
            for each in quiet:  # what names no task is nobody's sign of life
                assert isinstance(each.outcome, Failed)
                assert each.outcome.error_type == ErrorType.STALLED

    on_loop(scene())


def test_a_hang_costs_its_process_and_its_neighbours_run_on(on_loop: OnLoop, capfd: pytest.CaptureFixture[str]) -> None:
    async def scene() -> None:
        async with many(kill_grace=0.3, width=8) as warm:
            await warm.run("full")
            hung = asyncio.create_task(warm.run("deaf", timeout=0.3))
            neighbours = [asyncio.create_task(warm.run("rest", s=3)) for _ in range(3)]
            await asyncio.sleep(1.2)
            assert not hung.done()  # until its process is gone: no second attempt may run beside it
            later = await warm.run("full")
            ended = await asyncio.gather(*neighbours)
            assert len(pids(ended)) == 1
            assert result(later)["pid"] not in pids(ended)
            outcome = (await hung).outcome
            assert isinstance(outcome, Failed)
            assert outcome.error_type == ErrorType.TIMEOUT
            assert not alive(pids(ended).pop())

    on_loop(scene())


def test_one_that_hung_and_answers_after_all_still_costs_its_process(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many(kill_grace=0.2, width=8) as warm:
            job = asyncio.create_task(warm.run("deaf", timeout=0.2, s=0.8))
            ended = await asyncio.gather(*(warm.run("rest", s=1.2) for _ in range(2)))
            assert isinstance((await job).outcome, Succeeded)
            await eventually(lambda: not alive(pids(ended).pop()))

    on_loop(scene())


@pytest.mark.parametrize("do", ["rest", "deaf"])
def test_a_shutdown_with_many_in_hand(on_loop: OnLoop, do: str) -> None:
    async def scene() -> None:
        async with many(kill_grace=0.4) as warm:
            await warm.run("full")
            began = time.monotonic()
            jobs = [warm.run(do, stop=stop_soon(StopReason.SHUTDOWN)) for _ in range(30)]
            assert {type(each.outcome) for each in await asyncio.gather(*jobs)} == {Interrupted}
            assert time.monotonic() - began < 10, "each has its grace at the same time"

    on_loop(scene())


def test_a_hurried_shutdown_kills_at_once(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many(kill_grace=60) as warm:
            stops = [Stop() for _ in range(10)]
            jobs = [asyncio.create_task(warm.run("deaf", stop=stop)) for stop in stops]
            await asyncio.sleep(0.5)
            for stop in stops:
                stop.request(StopReason.SHUTDOWN)
            for stop in stops:
                stop.hurry()
            assert {type(each.outcome) for each in await asyncio.gather(*jobs)} == {Interrupted}

    on_loop(scene())


# -- recycling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [{"max_tasks": 2}, {"max_age": 0.4}], ids=lambda each: next(iter(each)))
def test_a_worn_process_ends_its_tasks_before_it_goes(on_loop: OnLoop, limit: dict[str, Any]) -> None:
    async def scene() -> None:
        async with many(width=8, persistent=limit) as warm:
            jobs = [asyncio.create_task(warm.run("rest", s=1.2)) for _ in range(3)]
            short = await asyncio.gather(*(warm.run("rest", s=0.1) for _ in range(3)))
            await asyncio.sleep(0.5)
            after = result(await warm.run("full"))["pid"]
            ended = await asyncio.gather(*jobs)
            assert pids(ended) == pids(short)
            assert after not in pids(ended)
            await eventually(lambda: not alive(pids(ended).pop()))

    on_loop(scene())


# -- crashes ----------------------------------------------------------------------------------------------------------


def test_a_crash_gives_all_back_and_blames_none(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            ended = await asyncio.gather(*(warm.run("rest") for _ in range(9)), warm.run("crash", s=0.3))
            for each in ended:
                assert each.outcome == Displaced(
                    error="its process ended with 10 tasks: killed by SIGKILL: about to crash",
                    error_type=ErrorType.HANDLER_SIGNAL,
                    suspect=True,
                )
            assert result(await warm.run("full"))

    on_loop(scene())


def test_a_crash_with_one_task_is_that_tasks_failure(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            ended = await warm.run("crash")
            assert ended.outcome == Failed(
                error="killed by SIGKILL (not by us; the machine or container may have run out of memory, or a limit "
                "was reached): about to crash",
                error_type=ErrorType.HANDLER_SIGNAL,
            )

    on_loop(scene())


def test_what_was_not_read_before_a_crash_runs_elsewhere(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            pid = result(await warm.run("full"))["pid"]
            os.kill(pid, signal.SIGSTOP)
            await eventually(lambda: state(pid) == "T")
            jobs = [asyncio.create_task(warm.run("full", pad="x" * 30_000)) for _ in range(10)]
            await asyncio.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
            ended = await asyncio.gather(*jobs)
            assert pid not in pids(ended)
            assert len(pids(ended)) == 1

    on_loop(scene())


def test_a_suspect_has_a_process_to_itself_that_does_not_stay(on_loop: OnLoop) -> None:
    async def scene() -> None:
        of_others = children()
        async with many(width=30) as warm:
            shared = [asyncio.create_task(warm.run("rest", s=1.5)) for _ in range(3)]
            alone = await asyncio.gather(*(warm.run("rest", s=0.1, crashes=1) for _ in range(9)))
            assert {result(each)["most"] for each in alone} == {1}
            assert len(pids(alone)) <= 4
            assert not pids(alone) & pids(await asyncio.gather(*shared))
            await eventually(lambda: children() - of_others == pids([shared[0].result()]))
            poison = await warm.run("crash", crashes=1)
            assert isinstance(poison.outcome, Failed)

    on_loop(scene())


def test_who_suffers_from_the_end_of_another_is_no_suspect(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            *others, culprit = await asyncio.gather(
                *(warm.run("rest") for _ in range(4)), warm.run("crash-when-cancelled", timeout=0.3)
            )
            assert isinstance(culprit.outcome, Failed)
            assert culprit.outcome.error_type == ErrorType.TIMEOUT
            for each in others:
                assert isinstance(each.outcome, Displaced)
                assert not each.outcome.suspect

    on_loop(scene())


# -- what cannot be trusted -------------------------------------------------------------------------------------------


def test_answers_for_tasks_that_it_never_had_and_second_ones_change_nothing(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            ended = await asyncio.gather(*(warm.run("wrong") for _ in range(8)), warm.run("rest", s=0.5))
            assert [result(each)["id"] for each in ended] == [f"t{n}" for n in range(1, 10)]
            assert all("second" not in result(each) for each in ended)
            assert warm.progress == []
            assert "[ignored: it names another task]" in log(ended[-1])

    on_loop(scene())


@pytest.mark.parametrize("do", ["unaddressed", "close-channel"])
def test_when_nobody_knows_whose_an_end_is_all_are_suspects(on_loop: OnLoop, do: str) -> None:
    async def scene() -> None:
        async with many(kill_grace=0.5) as warm:
            ended = await asyncio.gather(*(warm.run("rest") for _ in range(3)), warm.run(do))
            for each in ended:
                assert isinstance(each.outcome, Displaced), each
                assert each.outcome.suspect
            alone = await warm.run("unaddressed", crashes=1)
            assert isinstance(alone.outcome, Failed)
            assert alone.outcome.error_type == ErrorType.HANDLER_ERROR

    on_loop(scene())


def test_two_lines_mixed_into_one_are_a_failure_that_quotes_them(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            other = asyncio.create_task(warm.run("rest", s=1, task_id="other"))
            third = asyncio.create_task(warm.run("rest", s=1, task_id="third"))
            await asyncio.sleep(0.3)
            mixed = await warm.run("mixed", other="other")
            assert isinstance(mixed.outcome, Failed)
            assert "its result cannot be read" in mixed.outcome.error
            assert result(await third)["id"] == "third"
            assert result(await other)["id"] == "other"

    on_loop(scene())


def test_one_that_stops_reading_while_it_has_many(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many(kill_grace=0.3, width=50) as warm:
            jobs = [asyncio.create_task(warm.run("stop-reading", timeout=0.8))]
            await asyncio.sleep(0.5)
            jobs += [asyncio.create_task(warm.run("full", timeout=0.8, pad="x" * 200_000)) for _ in range(30)]
            for each in await asyncio.gather(*jobs):
                assert isinstance(each.outcome, Failed)
                assert each.outcome.error_type == ErrorType.TIMEOUT
            assert result(await warm.run("full"))

    on_loop(scene())


def test_progress_of_one_is_not_anothers(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with many() as warm:
            heard: dict[str, list[Progress]] = {}
            ends = await asyncio.gather(*(_noted(warm, f"p{n}", heard) for n in range(10)))
            assert {result(each)["id"] for each in ends} == set(heard)
            assert all([each.message for each in said if each.message] == [name] for name, said in heard.items())

    on_loop(scene())


async def _noted(warm: Pool, name: str, heard: dict[str, list[Progress]]) -> Ended:
    own = Pool(warm.handler, heard.setdefault(name, []))
    return await own.run("full", task_id=name, s=0.2)
