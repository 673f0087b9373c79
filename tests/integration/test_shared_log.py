"""Several processes write one log file at once and rotate it under each other: no line is lost, none is torn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from gridsidecar.telemetry.file import NAME
from tests.support.cli import ROOT
from tests.support.waiting import eventually

PROCESSES, LINES = 6, 1500
LARGEST, KEPT = 20_000, 400  # all lines fit into the files that are kept: what is missing was lost, not rotated away
WRITER = f"""
import os, sys, time
from gridsidecar import telemetry
from gridsidecar.clock import SystemClock
from gridsidecar.telemetry.file import LogFile

me, folder, fmt, gate = sys.argv[1:]
telemetry.configure("INFO", fmt, language="zh", file=LogFile(folder, SystemClock(), largest={LARGEST}, kept={KEPT}))
open(f"{{gate}}.{{me}}", "w").close()
while not os.path.exists(gate):
    time.sleep(0.001)
for number in range({LINES}):
    telemetry.info("task success", task_id=f"{{me}}-{{number}}", error="字" * (number % 40))
"""


async def test_six_processes_lose_no_line(tmp_path: Path) -> None:
    folder, gate = tmp_path / "logs", tmp_path / "gate"
    command = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen([*command, str(me), folder, "json", gate], cwd=ROOT, stderr=subprocess.DEVNULL)
        for me in range(PROCESSES)
    ]
    await eventually(lambda: len(list(tmp_path.glob("gate.*"))) == PROCESSES)
    gate.touch()
    assert [writer.wait(60) for writer in writers] == [0] * PROCESSES
    files = [*folder.glob(f"{NAME}.*[0-9]"), folder / NAME]
    assert 10 < len(files) < KEPT
    assert all(file.stat().st_size for file in files), "nobody moves the fresh file of another aside"
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    seen = Counter(json.loads(line)["task_id"] for line in lines)
    assert seen == Counter(f"{me}-{number}" for me in range(PROCESSES) for number in range(LINES))
