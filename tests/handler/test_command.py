"""Finding the program of a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gridsidecar.handler.command import Command, NotStartable

NOBODY = 65534


def test_a_folder_of_the_path_that_may_not_be_entered_is_passed_over(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    if os.geteuid() != 0:
        closed.chmod(0)
    command = Command("default", ("cat",), None, {"PATH": f"{closed}:/usr/bin:/bin"})
    before = os.geteuid()
    try:
        if before == 0:
            os.seteuid(NOBODY)
        assert command.locate().endswith("/cat")
    finally:
        os.seteuid(before)


@pytest.mark.parametrize(("program", "found"), [("bash", True), ("perl", False)])
def test_a_script_that_a_shell_finds_by_path_is_there(tmp_path: Path, program: str, found: bool) -> None:
    (tmp_path / "job.sh").write_text("exit 0\n")
    command = Command("default", (program, "job.sh"), "/", {"PATH": f"/usr/bin:/bin:{tmp_path}"})
    assert (subprocess.run(command.argv, cwd="/", env=command.env, stderr=subprocess.DEVNULL).returncode == 0) is found
    if found:
        assert command.check().endswith("bash job.sh")
    else:
        with pytest.raises(NotStartable, match=r"there is no job\.sh"):
            command.check()
