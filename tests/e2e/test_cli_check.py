"""`gridsidecar check`: what an author sees, and the exit codes for CI."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.cli import end, gridsidecar, on_terminal, start
from tests.support.waiting import eventually

ESCAPE = "\x1b["
NO_MARK = """cat > /dev/null; echo '{"type":"result","result":1}'"""
RESULT = """read -r task; n=${task#*'"n":'}; printf '{"gs":1,"type":"result","result":%s}\\n' "${n%%\\}*}" """


def test_all_is_well(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "check", "--data", '{"n": 7}', "--", "sh", "-c", RESULT)
    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("ok       ends ")
    assert last.startswith("oneshot, as it says no ready (else: --mode persistent); level 1: ")
    assert "failed" not in last
    assert done.stderr == ""
    assert ESCAPE not in done.stdout


def test_a_failure_says_what_was_seen_and_what_to_do(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "check", "--", "sh", "-c", NO_MARK)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("FAILED   near-misses"))
    assert 'it has "type": "result" but no "gs": 1' in lines[number]
    assert "[F1, F2, V1]" in lines[number]
    assert lines[number + 1].strip().startswith("-> a message on stdout is one line")


def test_json_for_ci(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "check", "--format", "json", "--", "sh", "-c", NO_MARK)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["protocol"], report["mode"], report["level"], report["passed"]) == (1, "oneshot", 1, False)
    (failed,) = (check for check in report["checks"] if check["status"] == "failed")
    assert failed["name"] == "near-misses"
    assert failed["requirements"] == ["F1", "F2", "V1"]
    assert failed["advice"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--level", "0", "--", "false"], 1, "FAILED   succeeds"),
        (["--level", "0", "--", "sh", "-c", "exit 75"], 75, "asks for a retry of the sample task"),
        (["--", "./nothere"], 75, "nothere does not exist"),
        (["--strict", "--", "sh", "-c", NO_MARK.replace('"type"', '"gs":1,"type"') + "; exit 3"], 1, "clean-exit"),
        (["--", "sh", "-c", NO_MARK.replace('"type"', '"gs":1,"type"') + "; exit 3"], 0, "warning  clean-exit"),
        (["--data", "{", "--", "true"], 64, "JSON"),
        (["--task", "nofile.json", "--", "true"], 64, "nofile.json"),
        (["--timeout", "1e20", "--", "true"], 64, "must be at most 604800"),
        (["--grace", "inf", "--", "true"], 64, "must be at most 604800"),
        ([], 78, "name a handler"),
        (["--level", "3", "--", "true"], 64, ""),
    ],
)
def test_exit_codes(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    done = gridsidecar(tmp_path, "check", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout + done.stderr


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "task.json").write_text('{"task_id": "mine", "task_type": "resize", "data": {"n": 4}}')
    script = (
        'read -r task; case $task in *\'"task_id":"mine","task_type":"resize","data":{"n":4}\'*) ;; *) exit 65;; esac'
    )
    assert gridsidecar(tmp_path, "check", "--task", "task.json", "--", "sh", "-c", script).returncode == 0
    assert gridsidecar(tmp_path, "check", "--", "sh", "-c", script).returncode == 1


README = Path(__file__).parents[2] / "README.md"
RESIZE = ("--data", '{"url": "a.png", "width": 640}')


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    """Its script and its configuration, as they stand there."""
    text = README.read_text()
    found = re.search(r"```sh\n(#!/bin/sh\n# resize.sh.*?)```.*?```yaml\n(.*?)```", text, re.S)
    assert found is not None
    script, config = found.groups()
    (tmp_path / "resize.sh").write_text(script)
    (tmp_path / "config.yaml").write_text(config)
    done = gridsidecar(tmp_path, "check", "--level", "2", "-c", "config.yaml", "--type", "resize", *RESIZE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       result-size        21 bytes" in done.stdout
    assert gridsidecar(tmp_path, "check", "--input", "data", *RESIZE, "--", "sh", "resize.sh").returncode == 0


HANDLERS = """
handlers:
  default: {command: ["false"]}
  warm: {command: ["python3", "stays.py"], mode: persistent, env: {NEEDED: "1"}, cwd: sub}
"""
WARM = """
import json, os, sys
def say(**m): print(json.dumps({"gs": 1, **m}), flush=True)
say(type="ready") if os.environ.get("NEEDED") else sys.exit("no NEEDED")
for line in sys.stdin:
    if json.loads(line)["type"] == "task": say(type="result", result=1, task_id=json.loads(line)["task_id"])
"""


def test_a_handler_is_run_as_its_configuration_says(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "stays.py").write_text(WARM)
    (tmp_path / "config.yaml").write_text(HANDLERS)
    warm = gridsidecar(tmp_path, "check", "--type", "warm", "--level", "1")
    assert warm.returncode == 0, warm.stdout + warm.stderr
    assert "persistent; level 1" in warm.stdout
    assert gridsidecar(tmp_path, "check", "--level", "0").returncode == 1  # the default one
    assert gridsidecar(tmp_path, "check", "--level", "0", "-c", "config.yaml", "--", "true").returncode == 0
    (tmp_path / "config.yaml").write_text(HANDLERS.replace("default", "other"))
    unknown = gridsidecar(tmp_path, "check", "--type", "nobody")
    assert (unknown.returncode, "there are other, warm" in unknown.stderr) == (64, True)
    both = gridsidecar(tmp_path, "check", "--input", "data", "--mode", "persistent", "--", "cat")
    assert (both.returncode, "whole tasks" in both.stderr) == (64, True)


def test_colours_on_a_terminal_only(tmp_path: Path) -> None:
    code, written = on_terminal(tmp_path, "check", "--", "sh", "-c", NO_MARK)
    assert code == 1
    assert ESCAPE in written
    assert "near-misses" in written


def test_what_a_handler_says_steers_no_terminal(tmp_path: Path) -> None:
    script = """printf '{"type":"result","result":"\\033[2J"}\\n'"""
    done = gridsidecar(tmp_path, "check", "--", "sh", "-c", script)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_check_leaves_no_handler(tmp_path: Path, number: signal.Signals) -> None:
    script = "trap '' TERM INT; echo $$ > pid.new; mv pid.new pid; sleep 60"
    process = start(tmp_path, "check", "--mode", "oneshot", "--", "sh", "-c", script)
    pid = int((await eventually(lambda: _text(tmp_path / "pid"))).strip())
    assert end(process, number) == 130
    await eventually(lambda: not _alive(pid))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
