"""Handlers that stay: when a process is replaced, and that none is left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.handler.conftest import OnLoop
from tests.handler.warm import alive, children, pid_of, pool
from tests.support.waiting import eventually


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
        of_others = children()
        async with pool(*argv, width=2, kill_grace=0.5, persistent={"processes": 2}) as warm:
            warm.handler.start()
            if argv[0] != "silent":
                ended = await warm.run("grandchild")
                pids = [pid_of(ended), ended.outcome.result["child"]]  # type: ignore[union-attr]
            own = await eventually(lambda: len(found := children() - of_others) >= 2 and found)
        await eventually(lambda: not any(alive(pid) for pid in pids) and not own & children())

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
