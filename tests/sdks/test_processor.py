"""A script of the earlier plugin with another import line: it becomes the sidecar and runs its tasks itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Start, any_place, embedded_place, place, start  # noqa: F401
from tests.support.cli import LIMIT, ROOT
from tests.support.place import Place
from tests.support.waiting import eventually

SCRIPT = """
import os
from datetime import datetime
from gridsidecar_sdk import TaskHandler, TaskProcessor

print("loading", flush=True)

class MyTaskHandler(TaskHandler):
    def execute(self, task_data):
        self.report_progress("20", "开始处理...")
        self.logger.info("noted %s", "so")
        print('{"gs":1,"type":"result","result":"forged"}', flush=True)
        os.system("echo a child speaks")
        if task_data.get("bad"):
            raise ValueError("bad input: " + task_data["bad"])
        self.report_progress(100, "处理完成")
        known = sorted(name for name in os.environ if name.startswith(("MYSQL_", "RABBITMQ_", "GRID_ASYNC_TASK_")))
        return {"result": task_data, "id": self.get_task_id(), "at": datetime(2026, 1, 31), "pid": os.getpid(),
                "known": known, "own": os.environ["OWN_SETTING"]}

processor = TaskProcessor(handler=MyTaskHandler(), max_retry_count=0, retry_delay=60, enable_auto_ack=True)
processor.start()
"""

Run = Callable[..., "subprocess.Popen[str]"]
TABLE = "grid_async_tasks"  # the plugin's


def variables(at: Place, **more: str) -> dict[str, str]:
    return {
        "GRID_ASYNC_TASK_AMQP_URL": at.broker_url,
        "GRID_ASYNC_TASK_MYSQL_URL": at.store_url,
        "GRID_ASYNC_TASK_QUEUE": at.queue,
        "OWN_SETTING": "mine",
        **more,
    }


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of the script."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "worker.py").write_text(SCRIPT)
    return folder


@pytest.fixture
def run(old: Path) -> Iterator[Run]:
    """Starts `python worker.py`, as its users do."""
    folder = old
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdks' / 'python'}", "HOME": str(folder)}
    search = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started: list[subprocess.Popen[str]] = []

    def begin(environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *(arguments or ("worker.py",))],
                cwd=folder,
                env={**paths, **search, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
    print((folder / "log").read_text())


def rows(at: Place) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in at.fetch(f"select * from {TABLE}")}


def ended(at: Place, count: int) -> bool:
    return sum(row["status"] in ("success", "failed") for row in rows(at).values()) == count


async def test_it_works_on_a_queue(any_place: Place, run: Run) -> None:  # noqa: F811
    at = any_place
    tasks = [{"task_id": f"t{number}", "data": {"n": number}} for number in range(5)]
    await at.publish(*tasks, {"task_id": "bad", "data": {"bad": "一"}})
    process = run(variables(at))
    await eventually(lambda: ended(at, 6), timeout=60)
    results = [json.loads(rows(at)[f"t{number}"]["result"]) for number in range(5)]
    assert [result["result"] for result in results] == [{"n": number} for number in range(5)]
    assert [result["id"] for result in results] == [f"t{number}" for number in range(5)]
    assert len({result["pid"] for result in results}) == 1  # it stays
    assert results[0]["pid"] != process.pid
    assert results[0]["at"] == "2026-01-31 00:00:00"
    assert results[0]["known"] == ["GRID_ASYNC_TASK_QUEUE"]
    assert results[0]["own"] == "mine"
    (log,) = at.fetch(f"select log_head from {TABLE}_attempts where task_id = 't0'")
    assert "INFO noted so\n" in log["log_head"]
    good, bad = rows(at)["t0"], rows(at)["bad"]
    assert (good["progress"], good["progress_message"]) == (100, "处理完成")
    assert (bad["status"], bad["error_type"], bad["error_message"]) == ("failed", "ValueError", "bad input: 一")
    assert bad["max_retry_count"] == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 0


@pytest.mark.parametrize("where", ["environment", ".env"])
async def test_it_leaves_when_idle(embedded_place: Place, run: Run, old: Path, where: str) -> None:  # noqa: F811
    await embedded_place.publish({"task_id": "t0", "data": {}})
    more = {"IDLE_TIMEOUT": "1", "PREFETCH_COUNT": "2", "TIMEOUT": "100"}
    named = {"OWN_SETTING": "its own", **{f"GRID_ASYNC_TASK_{name}": value for name, value in more.items()}}
    if where == ".env":
        with (old / ".env").open("a") as file:
            file.writelines(f"\n{name}={value}" for name, value in named.items())
        named = {}
    servers = {name: value for name, value in variables(embedded_place).items() if name != "OWN_SETTING"}
    process = run({**servers, **named}, "-m", "worker")
    assert process.wait(LIMIT) == 0
    log = (old / "log").read_text()
    assert "concurrency=2" in log
    assert "no effect" not in log
    assert rows(embedded_place)["t0"]["status"] == "success"
    assert json.loads(rows(embedded_place)["t0"]["result"])["own"] == "its own"


def test_a_configuration_that_cannot_work_is_the_exit_code(run: Run, old: Path) -> None:
    process = run({"GRID_ASYNC_TASK_AMQP_URL": "nonsense", "OWN_SETTING": ""})
    assert process.wait(LIMIT) == 78
    assert "GRID_ASYNC_TASK_AMQP_URL" in (old / "log").read_text()


def test_a_variable_that_cannot_work_is_told(run: Run, old: Path) -> None:
    url = {"GRID_ASYNC_TASK_AMQP_URL": "sqlite:///q.db", "GRID_ASYNC_TASK_MYSQL_URL": "sqlite:///q.db"}
    assert run({**url, "GRID_ASYNC_TASK_PREFETCH_COUNT": "many", "OWN_SETTING": ""}).wait(LIMIT) == 78
    text = (old / "log").read_text()
    assert "worker.concurrency" in text
    assert "Traceback" not in text


def test_without_a_sidecar_it_says_what_to_do(run: Run, old: Path) -> None:
    process = run({"GRIDSIDECAR_BIN": "/nowhere/gridsidecar", "OWN_SETTING": ""})
    assert process.wait(LIMIT) == 78
    text = (old / "log").read_text()
    assert "GRIDSIDECAR_BIN=/nowhere/gridsidecar is no program" in text
    assert "Traceback" not in text


async def test_a_configuration_of_ones_own(
    embedded_place: Place,  # noqa: F811
    run: Run,
    old: Path,
    tmp_path: Path,
) -> None:
    at = embedded_place
    own = tmp_path / "own.yaml"
    handler = at.handler(sys.executable, "worker.py", pass_env=["PYTHONPATH", "OWN_SETTING"])
    own.write_text(json.dumps(at.config({"default": handler}, worker={"burst": True})))
    await at.publish({"task_id": "t0", "data": {}})
    more = {"GRIDSIDECAR_CONFIG": str(own), "OWN_SETTING": "x", "GRID_ASYNC_TASK_PREFETCH_COUNT": "2"}
    assert run(more).wait(LIMIT) == 0
    assert "a variable has no effect  variable=GRID_ASYNC_TASK_PREFETCH_COUNT" in (old / "log").read_text()
    assert at.status("t0") == "success"


@pytest.mark.parametrize("mode", ["oneshot", "persistent"])
async def test_it_is_a_handler_like_any_other(
    embedded_place: Place,  # noqa: F811
    old: Path,
    start: Start,  # noqa: F811
    mode: str,
) -> None:
    at = embedded_place
    settings = {"mode": mode, "cwd": str(old), "kill_grace": 5}
    environment = {"PYTHONPATH": str(ROOT / "sdks" / "python"), "OWN_SETTING": "x"}
    handler = {"command": [sys.executable, "worker.py"], "env": environment, **settings}
    await at.publish({"task_id": "good", "data": {"n": 1}}, {"task_id": "bad", "data": {"bad": "一"}})
    assert await start(at.config({"default": handler}, worker={"burst": True})).ended() == 0
    assert json.loads(at.row("good")["result"])["result"] == {"n": 1}
    assert (at.row("bad")["error_type"], "worker.py" in at.row("bad")["traceback"]) == ("ValueError", True)
