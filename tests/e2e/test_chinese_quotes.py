"""What handlers said is the same in every language, however much it looks like a sentence of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import cli

HANDLER = """
import json, sys
data = json.load(sys.stdin)["data"]
print(json.dumps({"gs": 1, **data["message"]}), flush=True)
sys.exit(data.get("exit", 0))
"""
CONFIG = """
broker: {{url: 'sqlite:///{folder}/queue.db'}}
store: {{url: 'sqlite:///{folder}/tasks.db'}}
handlers:
  default: {{command: ['python3', 'handler.py']}}
  slow: {{command: ['sleep', '9'], timeout: 0.2}}
  exits: {{command: ['sh', '-c', 'exit 3']}}
  moans: {{command: ['sh', '-c', 'echo "retry later: must be a number" >&2; exit 3']}}
retry: {{max_retries: 0}}
log: {{language: zh}}
"""
SAID = (
    "paid at attempt 2",
    "retry later",
    "timed out after 2 s",
    "exit status 3",
    "invalid order: must be a number",
    "no message; retry now, at attempt 2",
    "cancelled on request",
)
TYPES = (None, "ValidationError", "OrderRefused", "retry later")
TASKS = {
    f"e{i}{j}": {"type": "error", "error": said, **({"error_type": type_} if type_ else {})}
    for i, said in enumerate(SAID)
    for j, type_ in enumerate(TYPES)
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "handler.py").write_text(HANDLER)
    return tmp_path


def gridsidecar(folder: Path, *arguments: str) -> cli.Finished:
    return cli.gridsidecar(folder, *arguments, "--lang=zh", env={"LC_ALL": "C.UTF-8", "COLUMNS": "300"})


def submit(folder: Path, tasks: dict[str, object], task_type: str = "default") -> None:
    lines = [json.dumps({"task_id": one, "task_type": task_type, "data": data}) for one, data in tasks.items()]
    (folder / "tasks.jsonl").write_text("\n".join(lines))
    done = gridsidecar(folder, "submit", "tasks.jsonl", "-c", "c.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(120)
def test_the_errors_of_handlers_are_told_as_they_were_said(folder: Path) -> None:
    submit(folder, {one: {"message": message} for one, message in TASKS.items()})
    log = gridsidecar(folder, "run", "-c", "c.yaml", "--burst").stderr
    listed = gridsidecar(folder, "tasks", "list", "-c", "c.yaml", "--limit", "100").stdout
    altered = []
    shown = gridsidecar(folder, "status", *TASKS, "-c", "c.yaml").stdout.split("任务      ")[1:]
    for task, message in TASKS.items():
        said = f"{message.get('error_type', 'HandlerError')}: {message['error']}"
        (line,) = (line for line in listed.splitlines() if line.startswith(f"{task} "))
        (event,) = (line for line in log.splitlines() if f"task_id={task} " in line and "error=" in line)
        if not line.endswith(said):
            altered.append(line)
        if f'error="{message["error"]}"' not in event:
            altered.append(event)
        (facts,) = (each for each in shown if each.startswith(f"{task}\n"))
        errors = [fact for fact in facts.splitlines() if ": " in fact and "{" not in fact]
        altered += [fact for fact in errors if not fact.endswith(said)]
        assert len(errors) == 2, facts  # the task's, and its attempt's
    assert altered == []


def test_what_goes_on_and_what_comes_of_it_is_told_as_handlers_say_it(folder: Path) -> None:
    told = {}
    for said in SAID:
        for message in (
            {"type": "error", "error": said, "error_type": "ValidationError"},
            {"type": "progress", "progress": 5, "progress_message": said},
            {"type": "result", "result": {"text": said}},
        ):
            task = json.dumps({"message": message})
            (folder / "data.json").write_text(task)
            done = gridsidecar(folder, "exec", "-c", "c.yaml", "--data", "@data.json")
            if said not in done.stdout + done.stderr:
                told[task] = done.stdout + done.stderr
    assert told == {}


@pytest.mark.parametrize(
    ("task_type", "said"),
    [
        ("slow", "TimeoutError: 0.2 秒后超时"),
        ("exits", "HandlerExit: 退出码 3"),
        ("moans", "HandlerExit: retry later: must be a number"),
    ],
)
def test_our_own_errors_are_translated(folder: Path, task_type: str, said: str) -> None:
    arguments = ("submit", "--type", task_type, "--id", "x", "-c", "c.yaml")
    assert gridsidecar(folder, *arguments).returncode == 0
    log = gridsidecar(folder, "run", "-c", "c.yaml", "--burst").stderr
    assert said.partition(": ")[2] in log
    for command in (["tasks", "list"], ["tasks", "show", "x"], ["status", "x"]):
        assert said in gridsidecar(folder, *command, "-c", "c.yaml").stdout
    assert said in gridsidecar(folder, "exec", "--type", task_type, "-c", "c.yaml").stderr


def test_a_message_that_nobody_ran_is_refused_in_our_words(folder: Path) -> None:
    submit(folder, {"x": {}}, task_type="default")
    (folder / "c.yaml").write_text(CONFIG.format(folder=folder).replace("  default:", "  other:"))
    assert "没有" in gridsidecar(folder, "run", "-c", "c.yaml", "--burst").stderr
    assert "没有 handler，也没有 default" in gridsidecar(folder, "tasks", "list", "-c", "c.yaml").stdout


@pytest.mark.timeout(120)
def test_the_results_of_the_demo_are_the_same_in_both_languages(tmp_path: Path) -> None:
    told = [
        cli.gridsidecar(tmp_path, "demo", f"--lang={lang}", env={"COLUMNS": "300"}, limit=100).stdout
        for lang in ("en", "zh")
    ]
    results = [[line.split("  ")[-1] for line in text.splitlines() if " success " in line] for text in told]
    assert '"paid at attempt 2"' in [result.strip() for result in results[0]]
    assert results[0] == results[1]
