"""A working day in small, from the commands alone: find what failed and why, run it again, stop some, watch one."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.support.cli import Finished, gridsidecar
from tests.support.cli import start as start_command
from tests.support.place import Place
from tests.support.waiting import eventually

KINDS = {"good": 120, "broken": 40, "flaky": 30, "later": 8, "long": 2}  # tasks of each; 200


@pytest.mark.timeout(300)
async def test_two_hundred_mixed_tasks_are_steered_by_commands(place: Place, start: Start) -> None:
    config = place.config(
        {
            "good": place.job("done"),
            "later": place.job("done"),
            "flaky": place.job("flaky", 2, retry={"max_retries": 2, "delay": 0.5}),
            "broken": place.handler("sh", "-c", f"test -e {place.folder}/mended || {{ echo no disk >&2; exit 1; }}"),
            "long": place.handler("sh", "-c", "n=0; while :; do n=$$((n+1)); echo line $$n; sleep 0.3; done"),
        },
        retry={"max_retries": 0},
        worker={"concurrency": 4},
    )
    (place.folder / "config.yaml").write_text(json.dumps(config))
    for _ in range(2):
        start(config)
    sent = await run(place, "submit", "-", stdin="".join(map(lines, KINDS)))
    assert (sent.returncode, len(sent.stdout.splitlines())) == (0, 200), sent.stderr
    done = {"success": 150, "failed": 40, "pending": 8, "running": 2}
    await eventually(lambda: Counter(place.statuses()) == done, timeout=90)

    failed = objects(await run(place, "tasks", "list", "--status", "failed", "--limit", "200", "--json"))
    assert {one["task_type"] for one in failed} == {"broken"}
    assert len(failed) == 40
    why = await run(place, "status", failed[0]["task_id"])
    assert (why.returncode, "error     HandlerExit: no disk" in why.stdout) == (1, True)
    assert (await run(place, "logs", failed[0]["task_id"])).stdout == "no disk\n"

    (place.folder / "mended").touch()
    chosen = ("tasks", "retry", "--status", "failed", "--type", "broken")
    assert "of 40 tasks: 40 to run again" in (await run(place, *chosen, "--dry-run")).stderr
    again = await run(place, *chosen, "--yes")
    assert again.stderr.splitlines()[-1] == "40 tasks: 40 to run again"
    await eventually(lambda: place.statuses().get("success") == 190, timeout=90)

    watched = start_command(place.folder, "logs", "--follow", "long-0")
    try:
        assert watched.stdout is not None
        assert await asyncio.to_thread(watched.stdout.readline) == "line 1\n"
        stopped = await run(place, "tasks", "cancel", "long-0", "later-0")
        assert stopped.stdout == "long-0  runs, its worker is told\nlater-0  cancelled\n"
        assert await asyncio.to_thread(watched.wait, 30) == 0
        rest, told = await asyncio.to_thread(watched.communicate)
    finally:
        watched.kill()
    assert re.fullmatch(r"(line \d+\n)+", rest)
    assert told.splitlines()[-1] == "attempt 1 ended: cancelled"
    assert place.statuses() == {"success": 190, "cancelled": 2, "pending": 7, "running": 1}
    figures = json.loads((await run(place, "stats", "--json")).stdout)
    assert figures["statuses"] == place.statuses()
    assert Counter(place.journal.ended)["good-0"] == 1


def lines(kind: str) -> str:
    """The tasks of a kind as `submit -` takes them."""
    more: dict[str, Any] = {"defer_by": 3000} if kind == "later" else {}
    tasks = ({"task_id": f"{kind}-{number}", "task_type": kind, **more} for number in range(KINDS[kind]))
    return "".join(json.dumps(task) + "\n" for task in tasks)


async def run(place: Place, *arguments: str, stdin: str = "") -> Finished:
    return await asyncio.to_thread(gridsidecar, place.folder, *arguments, stdin=stdin)


def objects(done: Finished) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
