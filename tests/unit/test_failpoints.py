"""Failpoints: what may be armed, when it happens, and that nobody gets it by accident."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridsidecar import failpoints
from gridsidecar.errors import UsageError

PACKAGE = Path(failpoints.__file__).parent


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints._armed.clear()


async def test_it_raises_once_at_the_nth_time() -> None:
    failpoints.arm("claimed:raise@3")
    await failpoints.reached("claimed")
    await failpoints.reached("committed")
    await failpoints.reached("claimed")
    with pytest.raises(failpoints.FailpointHit, match="claimed"):
        await failpoints.reached("claimed")
    await failpoints.reached("claimed")


async def test_it_pauses_only_who_comes_there() -> None:
    failpoints.arm("acked:pause=0.3")
    started = time.monotonic()
    paused = asyncio.create_task(failpoints.reached("acked"))
    await asyncio.sleep(0)
    await failpoints.reached("acked")
    assert not paused.done()
    await paused
    assert time.monotonic() - started >= 0.29


def test_it_kills() -> None:
    code = (
        "import asyncio\nfrom gridsidecar import failpoints\n"
        "failpoints.arm('spawned:kill')\nasyncio.run(failpoints.reached('spawned'))"
    )
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE).returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "wrong", ["nowhere:kill", "claimed", "claimed:", "claimed:explode", "claimed:pause", "claimed:kill@x"]
)
def test_a_specification_that_means_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match=failpoints.VARIABLE):
        failpoints.arm(wrong)


def test_every_point_is_somewhere_and_none_is_unknown() -> None:
    used = re.findall(r'failpoints\.reached\("(\w+)"\)', "".join(f.read_text() for f in PACKAGE.rglob("*.py")))
    assert sorted(set(used)) == sorted(failpoints.POINTS)


def test_the_product_refuses_to_start_with_failpoints() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gridsidecar", "run", "-u", "sqlite:///x.db", "--", "true"],
        env=os.environ | {failpoints.VARIABLE: "claimed:kill"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 64
    assert failpoints.VARIABLE in ended.stderr
