"""A script written for the earlier plugin is a handler as it is, with the stand-in beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT, gridsidecar, work, write_config

SCRIPT = """
from datetime import datetime
from grid_async_task import TaskHandler, TaskProcessor

class MyTaskHandler(TaskHandler):
    def execute(self, task_data):
        self.report_progress("20", "开始处理...")
        if task_data.get("bad"):
            raise ValueError("bad input: " + task_data["bad"])
        self.report_progress(100, "处理完成")
        return {"status": "success", "result": task_data, "id": self.get_task_id(), "at": datetime(2026, 1, 31)}

processor = TaskProcessor(handler=MyTaskHandler(), max_retry_count=3, retry_delay=60)
processor.start()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "docs" / "migration" / "grid_async_task.py", tmp_path)
    (tmp_path / "worker.py").write_text(SCRIPT)
    write_config(tmp_path, {"default": {"command": [sys.executable, "worker.py"]}})
    return tmp_path


def test_it_runs_a_task_by_itself(folder: Path) -> None:
    done = gridsidecar(folder, "exec", "--data", '{"input": "test_data"}')
    assert (done.returncode, json.loads(done.stdout)["result"]) == (0, {"input": "test_data"})
    assert " 20 %  开始处理..." in done.stderr


def test_it_works_on_a_queue(folder: Path) -> None:
    for number, data in enumerate(({"input": "x"}, {"bad": "一"})):
        sent = gridsidecar(folder, "submit", "--id", f"t{number}", "--data", json.dumps(data))
        assert sent.returncode == 0, sent.stderr
    work(folder)
    good = json.loads(gridsidecar(folder, "status", "--json", "t0").stdout)
    assert (good["status"], good["progress"], good["progress_message"]) == ("success", 100, "处理完成")
    assert good["result"] == {"status": "success", "result": {"input": "x"}, "id": "t0", "at": "2026-01-31 00:00:00"}
    bad = json.loads(gridsidecar(folder, "status", "--json", "t1").stdout)
    assert (bad["status"], bad["error_type"], bad["error_message"]) == ("failed", "ValueError", "bad input: 一")
    assert "worker.py" in bad["traceback"]


def test_run_by_hand_it_says_by_whom_it_is_run(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "worker.py"], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 1
    assert "gridsidecar exec" in done.stderr
    assert "Traceback" not in done.stderr
