"""Several processes write to one stderr: every line of the log stays whole, however long it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LINES = 20
WRITER = """
import os, sys
from gridsidecar import telemetry
lock = os.open(sys.argv[1], os.O_RDONLY) if len(sys.argv) > 3 else None
telemetry.free_stderr(lock)
telemetry.configure("INFO", "json")
for number in range(int(sys.argv[2])):
    telemetry.info("consuming", reason=str(number) * (12000 if number % 2 else 10))
    if number % 5 == 4: telemetry.finish()
"""


def written(folder: Path, *flags: str) -> list[bytes]:
    """What three processes write at the same time, line by line."""
    (folder / "lock").touch()
    ours, theirs = os.pipe()
    command = [sys.executable, "-c", WRITER, str(folder / "lock"), str(LINES), *flags]
    writers = [subprocess.Popen(command, stderr=theirs) for _ in range(3)]
    os.close(theirs)
    text = b""
    with open(ours, "rb", buffering=0) as pipe:
        while more := pipe.read(512):  # a slow reader: a write that finds the pipe full lets others in
            text += more
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    return text.splitlines()


def test_long_lines_of_several_processes_are_not_mixed(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in written(tmp_path, "locked")]
    assert len(lines) == 3 * LINES
    assert {line["event"] for line in lines} == {"consuming"}
