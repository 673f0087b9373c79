"""A command that cannot be started is no task's fault: none is lost, no retry is spent, and it goes on when mended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start
from tests.faults.promises import not_ready
from tests.support.place import HANDLERS, Place
from tests.support.waiting import eventually

WORKS = f"#!/bin/bash\nexec {HANDLERS / 'job.sh'} done\n"


def write(program: Path, text: str, mode: int = 0o755) -> None:
    """All at once, as a deployment should."""
    draft = program.with_suffix(".new")
    draft.write_text(text)
    draft.chmod(mode)
    os.replace(draft, program)


async def assert_paused_then_mended(place: Place, start: Start, advice: str, program: Path) -> None:
    """With a command that cannot start, nothing is spent; with one that can, all tasks run on their first attempt."""
    sidecar = start(place.config({"default": place.handler(program)}, worker={"concurrency": 2}))
    await sidecar.ready()
    await place.publish(*({"task_id": f"t{index}"} for index in range(5)))
    # Not the line of its start, which says the same: a command that is mended before a task needs it never paused.
    await eventually(lambda: not_ready(sidecar, '"handler default"', advice))
    assert place.rows() == {}, "an attempt was spent"
    write(program, WORKS)
    await eventually(lambda: place.all_ended(5), timeout=30)
    assert place.statuses() == {"success": 5}
    assert {row["attempt"] for row in place.rows().values()} == {1}
    await sidecar.said("ready again")
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 0


async def test_a_missing_command_pauses_until_it_appears(any_place: Place, start: Start) -> None:
    program = any_place.folder / "program"
    await assert_paused_then_mended(any_place, start, "does not exist; create it", program)


async def test_a_command_that_is_not_executable_pauses_until_it_is(any_place: Place, start: Start) -> None:
    program = any_place.folder / "program"
    write(program, WORKS, mode=0o644)
    await assert_paused_then_mended(any_place, start, f"chmod +x {program}", program)


async def test_a_missing_interpreter_pauses_until_it_is_corrected(place: Place, start: Start) -> None:
    program = place.folder / "program"
    write(program, "#!/nowhere/sh\n")
    await assert_paused_then_mended(place, start, "names the interpreter", program)


async def test_a_missing_command_holds_up_no_other_handler(place: Place, start: Start) -> None:
    program = place.folder / "program"
    handlers = {"default": place.job("done"), "broken": place.handler(program)}
    sidecar = start(place.config(handlers, worker={"concurrency": 2}))
    await place.publish({"task_id": "b", "task_type": "broken"}, *({"task_id": f"t{index}"} for index in range(5)))
    await eventually(lambda: place.statuses() == {"success": 5})
    sidecar.terminate()
    assert await sidecar.ended() == 0
    assert place.left() == 1


async def test_waiting_for_a_command_spends_no_delivery_limit(place: Place, start: Start) -> None:
    """A quorum queue throws away what came back too often, and a message cannot be kept forever either."""
    place.arguments.update({"x-queue-type": "quorum", "x-delivery-limit": 2})
    program = place.folder / "program"
    broker = {"queue_type": "quorum", "consumer_timeout": 2}
    sidecar = start(place.config({"default": place.handler(program)}, broker=broker))
    await place.publish({"task_id": "t"})
    await sidecar.said("does not exist; create it")
    await eventually(lambda: sidecar.text.count("sent anew") >= 4, timeout=30)
    write(program, WORKS)
    await eventually(lambda: place.status("t") == "success")
    assert place.journal.started == ["t"]


async def test_a_start_that_fails_gives_the_task_back_and_spends_no_retry(any_place: Place, start: Start) -> None:
    """The file looks like a program and is none: that shows only when it is started."""
    place = any_place
    program = place.folder / "program"
    write(program, "no first line\n")
    sidecar = start(place.config({"default": place.handler(program)}, retry={"max_retries": 1, "delay": 0}))
    await place.publish({"task_id": "t"})
    await sidecar.said("#!/bin/sh")
    row = await eventually(lambda: given_back(place, "t"))
    assert (row["retry_count"], row["crashes"], row["interruptions"]) == (0, 0, 0)
    write(program, WORKS)
    await eventually(lambda: place.status("t") == "success", timeout=30)
    assert place.row("t")["retry_count"] == 0
    outcomes = [entry["outcome"] for entry in place.attempts("t")]
    assert outcomes == ["cannot_start"] * (len(outcomes) - 1) + ["success"]
    assert len(outcomes) > 1
    assert place.journal.started == ["t"]


def given_back(place: Place, task_id: str) -> dict[str, Any] | None:
    row = place.row(task_id)
    return row if row.get("status") == "pending" else None


async def test_tasks_of_other_types_go_on(place: Place, start: Start) -> None:
    start(
        place.config(
            {"broken": place.handler(place.folder / "nowhere"), "works": place.job("done")}, worker={"concurrency": 2}
        )
    )
    await place.publish(*({"task_id": f"b{index}", "task_type": "broken"} for index in range(3)))
    await place.publish({"task_id": "w", "task_type": "works"})
    await eventually(lambda: place.status("w") == "success", timeout=30)


async def test_starts_that_fail_are_tried_ever_more_seldom(place: Place, start: Start) -> None:
    program = place.folder / "program"
    program.write_bytes(b"\x7fELF but not really")
    program.chmod(0o755)
    sidecar = start(place.config({"default": place.handler(program)}, worker={"concurrency": 4}))
    await place.publish(*({"task_id": f"t{index}"} for index in range(40)))
    await eventually(lambda: sidecar.says("not ready"))
    with pytest.raises(AssertionError):
        await eventually(lambda: sum(row["attempt"] for row in place.rows().values()) > 20, timeout=5)
