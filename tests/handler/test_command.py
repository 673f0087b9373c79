"""Finding the program of a command."""

from __future__ import annotations

import os
from pathlib import Path

from gridsidecar.handler.command import Command

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
