"""The journal tells runs that overlapped from runs that did not, however late somebody notes a death."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.journal import Journal
from tests.support.place import HANDLERS
from tests.support.waiting import eventually


@pytest.mark.parametrize(("killed", "overlaps"), [("before the next", 0), ("during the next", 1)])
async def test_a_run_is_over_when_it_is_killed(tmp_path: Path, killed: str, overlaps: int) -> None:
    journal = Journal(tmp_path / "journal")
    with ExitStack() as processes:

        async def begin(attempt: int) -> subprocess.Popen[bytes]:
            environment = {"JOURNAL": str(journal.path), "GRIDSIDECAR_TASK_ID": "t", "LC_ALL": "C"}
            environment |= {"PATH": os.environ["PATH"], "GRIDSIDECAR_ATTEMPT": str(attempt)}
            command = [str(HANDLERS / "job.sh"), "until", str(tmp_path / "never")]
            process = processes.enter_context(subprocess.Popen(command, env=environment))
            processes.callback(process.kill)
            await eventually(lambda: len(journal.started) == attempt)
            return process

        first = await begin(1)
        if killed == "before the next":
            first.kill()
        await begin(2)
        first.kill()
        first.wait()
        journal.note_dead()
        journal.note_killed([first.pid])
        assert [run.ended is None for run in journal.runs()] == [False, True]
        assert len(journal.overlaps()) == overlaps
