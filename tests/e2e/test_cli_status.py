"""`gridsidecar status`: one task for people and for programs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Finished, end, gridsidecar, on_terminal, start, work, write_config
from tests.support.waiting import eventually

HOSTILE = "\\u001b]0;owned\\u0007\\u009b31m\\u202e"  # as JSON escapes
HANDLERS: dict[str, dict[str, Any]] = {
    "good": {"command": ["sh", "-c", 'cat > /dev/null; echo \'{"gs":1,"type":"result","result":{"n":42}}\'']},
    "bad": {"command": ["sh", "-c", "cat > /dev/null; echo broken >&2; exit 3"]},
    "hostile": {"command": ["printf", '{"gs":1,"type":"error","error":"%s","error_type":"%s"}\\n', HOSTILE, HOSTILE]},
    "slow": {
        "command": [
            "sh",
            "-c",
            "cat > /dev/null;"
            ' echo \'{"gs":1,"type":"progress","progress":30,"progress_message":"three of ten"}\'; read wait < "$FIFO"',
        ],
        "kill_grace": 1,
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    handlers: dict[str, Any] = {**HANDLERS, "slow": {**HANDLERS["slow"], "env": {"FIFO": str(tmp_path / "fifo")}}}
    write_config(tmp_path, handlers, worker={"shutdown_grace": 0})
    return tmp_path


def submit(folder: Path, task_id: str, task_type: str, *flags: str) -> None:
    done = gridsidecar(folder, "submit", "--id", task_id, "--type", task_type, *flags)
    assert done.returncode == 0, done.stderr


def status(folder: Path, *arguments: str) -> Finished:
    return gridsidecar(folder, "status", *arguments)


def seen(folder: Path, task_id: str) -> dict[str, Any]:
    done = status(folder, task_id, "--json")
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return found


def test_json_has_everything_and_times_in_utc(folder: Path) -> None:
    submit(folder, "a", "good", "--data", '{"x": 1}')
    work(folder)
    done = status(folder, "a", "--json")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    task = json.loads(done.stdout)
    expected: dict[str, Any] = {
        "task_id": "a",
        "task_type": "good",
        "status": "success",
        "data": {"x": 1},
        "result": {"n": 42},
    }
    expected |= {"progress": 100, "attempt": 1, "retry_count": 0, "error_message": None, "error_type": None}
    assert expected.items() <= task.items()
    for name in ("created_at", "started_at", "completed_at"):
        moment = datetime.fromisoformat(task[name])
        assert task[name].endswith("Z")
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    (attempt,) = task["attempts"]
    assert attempt["worker"]
    assert (attempt["attempt"], attempt["outcome"], attempt["exit_code"]) == (1, "success", 0)
    assert attempt["started_at"] <= attempt["ended_at"]
    assert not {"body", "headers", "rev"} & set(task)


def test_plain_text_for_a_failure_and_its_history(folder: Path) -> None:
    submit(folder, "a", "bad", "--retries", "1")
    work(folder)
    task = seen(folder, "a")
    assert (task["status"], len(task["attempts"])) == ("retrying", 1)
    done = status(folder, "a")
    assert (done.returncode, done.stderr) == (0, "")  # it has not ended
    lines = done.stdout.splitlines()
    assert lines[:2] == ["task      a", "status    retrying"]
    assert re.search(r"^attempt   1 \(1 of 1 retry used\)$", done.stdout, re.MULTILINE)
    assert re.search(r"^error     HandlerExit: broken$", done.stdout, re.MULTILINE)
    assert re.search(r"^next run  in [0-9.]+ s, at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC$", done.stdout, re.MULTILINE)
    assert re.search(
        r"^  1  failed   \d\d:\d\d:\d\d  +[0-9.]+ s  3 +\S+  HandlerExit: broken$", done.stdout, re.MULTILINE
    )


def test_people_see_their_own_time(folder: Path) -> None:
    submit(folder, "a", "good")
    work(folder)
    done = gridsidecar(folder, "status", "a", env={"TZ": "Asia/Tokyo"})
    shown = re.search(r"^created   (\S+ \S+) JST$", done.stdout, re.MULTILINE)
    assert shown is not None
    stored = datetime.fromisoformat(seen(folder, "a")["created_at"]).replace(microsecond=0, tzinfo=None)
    assert datetime.fromisoformat(shown[1]) - stored == timedelta(hours=9)


def test_several_tasks_and_the_worst_exit_code(folder: Path) -> None:
    submit(folder, "a", "good")
    submit(folder, "b", "bad")
    work(folder)
    assert status(folder, "a", "a").stdout.count("task      a") == 1
    done = status(folder, "a", "b", "missing", "--json")
    assert [json.loads(line)["task_id"] for line in done.stdout.splitlines()] == ["a", "b"]
    assert done.returncode == 1
    assert done.stderr.startswith(f"no task missing in sqlite:///{folder}/q.db")
    assert status(folder, "b").returncode == 1
    assert status(folder, "a").returncode == 0


def test_asking_makes_no_file(folder: Path) -> None:
    done = status(folder, "a")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no task a in sqlite:///")
    assert not (folder / "q.db").exists()


def test_only_the_store_is_needed(folder: Path) -> None:
    submit(folder, "a", "good")
    work(folder)
    (folder / "config.yaml").write_text(json.dumps({"store": {"url": f"sqlite:///{folder}/q.db"}}))
    assert status(folder, "a").returncode == 0


def test_without_a_database(tmp_path: Path) -> None:
    assert status(tmp_path, "a").returncode == 78
    (tmp_path / "config.yaml").write_text('store: {url: "mysql://root@127.0.0.1:1/db"}')
    done = status(tmp_path, "a")
    assert (done.returncode, done.stdout) == (69, "")
    assert "Traceback" not in done.stderr
    assert status(tmp_path).returncode == 64


def test_watch_follows_a_task_from_the_queue_to_its_end(folder: Path) -> None:
    submit(folder, "a", "good")
    watching = start(folder, "status", "a", "--watch", "--json")
    try:
        work(folder)
        stdout, stderr = watching.communicate(timeout=30)
    finally:
        end(watching, signal.SIGKILL)
    assert watching.returncode == 0
    assert json.loads(stdout)["status"] == "success"
    assert re.search(r"^ +[0-9.]+ s  a  success$", stderr, re.MULTILINE)


async def test_watch_on_a_terminal_shows_a_bar_and_then_the_panel(folder: Path) -> None:
    (folder / "fifo").write_text("go\n")
    submit(folder, "a", "slow")
    work(folder)
    code, written = on_terminal(folder, "status", "--watch", "a")
    assert code == 0
    assert "━" in written
    assert "100%" in written
    assert "╭─" in written
    assert "\x1b[?25h" in written  # the cursor is back


async def test_ctrl_c_ends_the_watching(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    submit(folder, "a", "slow")
    with (folder / "worker.log").open("w") as log:
        worker = start(folder, "run", stderr=log)
    with contextlib.ExitStack() as stack:
        stack.callback(end, worker)
        await eventually(lambda: seen(folder, "a").get("progress") == 30)
        shown = status(folder, "a")
        assert (shown.returncode, shown.stdout.splitlines()[2]) == (0, "progress  30 % three of ten")
        code, written = on_terminal(folder, "status", "--watch", "a", interrupt_at="three of ten")
        assert code == 130
        assert "\x1b[?25h" in written
        assert "Traceback" not in written


def test_what_a_task_says_steers_no_terminal(folder: Path) -> None:
    submit(folder, "a\u2066b", "hostile", "--data", f'"{HOSTILE}"')
    work(folder)
    for arguments in (["a\u2066b"], ["a\u2066b", "--json"], ["--watch", "a\u2066b"]):
        code, written = on_terminal(folder, "status", *arguments, env={"NO_COLOR": "1"})
        assert code == 1
        assert not {"\x07", "\x9b", "\u202e", "\u2066"} & set(written), arguments
        assert "\x1b]" not in written
        assert "\\x1b]0;owned" in written or "\\u001b]0;owned" in written
    assert "\\u202e" in status(folder, "a\u2066b").stdout


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "xterm", "PYTHONIOENCODING": "ascii"}])
def test_poor_terminals_get_plain_characters(folder: Path, env: dict[str, str]) -> None:
    submit(folder, "a", "good", "--data", '"ä…"')
    work(folder)
    code, written = on_terminal(folder, "status", "a", env=env)
    assert code == 0
    assert "success" in written
    assert "╭" not in written
