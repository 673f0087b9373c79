"""`gridsidecar exec`: one task through a handler, and the exit code that says what a worker would do."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.handler.served import line
from tests.support.cli import gridsidecar, on_terminal, start, write_config
from tests.support.web import Answer, chunks, reply, web_server

ECHO = ["sh", "-c", """sed 's/.*"data":\\([^}]*}\\).*/{"gs":1,"type":"result","result":\\1}/'"""]


def sh(script: str) -> list[str]:
    return ["--", "sh", "-c", f"cat > /dev/null; {script}"]


def outcome(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = gridsidecar(folder, "exec", "--json", *arguments)
    return done.returncode, json.loads(done.stdout)


def test_a_command_without_any_configuration(tmp_path: Path) -> None:
    done = gridsidecar(tmp_path, "exec", "--data", '{"n": "ä"}', "--", *ECHO)
    assert (done.returncode, done.stdout) == (0, '{"n": "ä"}\n')
    assert done.stderr.startswith("success in ")
    assert list(tmp_path.iterdir()) == []


def test_data_and_task_from_stdin_and_files(tmp_path: Path) -> None:
    (tmp_path / "task.json").write_text('{"task_id": "x", "data": {"n": 1}}')
    for arguments, stdin in (
        (["--task", "task.json"], ""),
        (["--task", "-"], '{"data": {"n": 1}}'),
        (["--data", "-"], '{"n": 1}'),
        (["--task", "task.json", "--data", '{"n": 1}'], ""),
    ):
        done = gridsidecar(tmp_path, "exec", *arguments, "--", *ECHO, stdin=stdin)
        assert (done.returncode, done.stdout) == (0, '{"n": 1}\n'), done.stderr


@pytest.mark.parametrize(
    ("lang", "told"),
    [
        ("en", "--task has no task_id, so that a worker would refuse this message; here its task_id is exec"),
        ("zh", "--task 没有 task_id，worker 会拒收这条消息；此处的 task_id 为 exec"),
    ],
)
def test_a_message_that_a_worker_would_refuse_for_want_of_an_id_runs_and_says_so(
    tmp_path: Path, lang: str, told: str
) -> None:
    for message, lacks in (("{}", True), ('{"task_id": null}', True), ('{"task_id": "x"}', False)):
        (tmp_path / "task.json").write_text(message)
        handler = ["--", "jq", "-c", '{gs:1,type:"result",result:.task_id}']
        done = gridsidecar(tmp_path, "--lang", lang, "exec", "--task", "task.json", *handler)
        assert (done.returncode, done.stdout) == (0, '"exec"\n' if lacks else '"x"\n'), done.stderr
        assert done.stderr.splitlines()[:-1] == ([told] if lacks else [])
    assert told not in gridsidecar(tmp_path, "--lang", lang, "exec", *sh("true")).stderr, "there is no message"


def test_progress_log_and_stderr_are_told_on_stderr(tmp_path: Path) -> None:
    script = """
        printf '{"gs":1,"type":"progress","progress":40,"progress_message":"two of five"}\\n'
        printf '{"gs":1,"type":"log","level":"warning","message":"slow disk"}\\n'
        echo to-stderr >&2; echo to-stdout; printf '\\033[31mred'
    """
    done = gridsidecar(tmp_path, "exec", *sh(script))
    assert (done.returncode, done.stdout) == (0, "null\n")
    told = done.stderr.splitlines()
    assert " 40 %  two of five" in told
    assert "  warning: slow disk" in told
    assert {"  to-stderr", "  to-stdout", "  \\x1b[31mred"} <= set(told)


LOGGED = b"[12:00] begun\n"
OBJECT = b'{"a": 1}\n'


@pytest.mark.parametrize(
    ("answer", "result", "told"),
    [
        (reply(200, {"Content-Type": "application/json"}, b'{"w": 1}'), '{"w": 1}', []),
        (chunks(b'{\n "w":', b" [1,\n", b" 2]}\n", kind="application/json"), '{"w": [1, 2]}', []),
        (chunks(b"[1, \n2.5]", kind="text/plain"), "[1, 2.5]", []),
        (reply(200, {"Content-Type": "application/json"}, b"true"), "true", []),
        (chunks(b"all is well", kind="text/plain"), "null", ["  all is well"]),
        (chunks(LOGGED, OBJECT, line("result", result=2)), "2", ["  [12:00] begun", '  {"a": 1}']),
        (chunks(OBJECT, line("progress", progress=7), line("result")), "null", ['  {"a": 1}', "  7 %"]),
        (chunks(OBJECT, line("log", message="so"), line("result")), "null", ['  {"a": 1}', "  info: so"]),
        (reply(500, body=b"[broken]"), None, ["  [broken]"]),
    ],
)
async def test_the_answer_of_a_server_is_told_once(
    tmp_path: Path, answer: Answer, result: str | None, told: list[str]
) -> None:
    async with web_server() as web:
        web.answer = answer
        handlers = {"default": {"mode": "http", "url": f"{web.url}/tasks"}}
        (tmp_path / "c.yaml").write_text(json.dumps({"handlers": handlers, "retry": {"max_retries": 0}}))
        done = await asyncio.to_thread(gridsidecar, tmp_path, "exec", "-c", "c.yaml", "--data", "1")
    assert done.stdout == ("" if result is None else f"{result}\n"), done.stderr
    assert done.stderr.splitlines()[:-1] == told


def test_told_as_it_happens(tmp_path: Path) -> None:
    process = start(tmp_path, "exec", *sh("echo now >&2; sleep 60"))
    assert process.stderr is not None
    started = time.monotonic()
    assert process.stderr.readline() == "  now\n"
    assert time.monotonic() - started < 50
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, "")
    assert "interrupted" in stderr


@pytest.mark.parametrize(
    ("arguments", "script", "code", "status", "error_type"),
    [
        ([], "exit 0", 0, "success", None),
        ([], "exit 1", 1, "failed", "HandlerExit"),
        (["--task", "three"], "exit 1", 75, "retrying", "HandlerExit"),
        (["--task", "three"], "exit 65", 1, "failed", "HandlerExit"),
        (["--task", "three", "--attempt", "4"], "exit 1", 1, "failed", "RetryExhausted"),
        (["--task", "quick"], "sleep 20", 1, "failed", "TimeoutError"),
        ([], "kill -SEGV $$", 1, "failed", "HandlerSignal"),
        ([], """echo '{"gs":1,"type":"error","error":"no","error_type":"Mine"}'""", 1, "failed", "Mine"),
    ],
)
def test_exit_codes(
    tmp_path: Path, arguments: list[str], script: str, code: int, status: str, error_type: str | None
) -> None:
    (tmp_path / "three").write_text('{"max_retry_count": 3}')
    (tmp_path / "quick").write_text('{"timeout": 0.3}')
    found, said = outcome(tmp_path, *arguments, *sh(script))
    assert (found, said["status"], said["error_type"]) == (code, status, error_type)


def test_what_would_be_retried_says_when(tmp_path: Path) -> None:
    retry = {"max_retries": 2, "strategy": "exponential", "delay": 10}
    write_config(tmp_path, {"default": {"command": ["false"], "retry": retry}})
    code, said = outcome(tmp_path, "--attempt", "2")
    assert (code, said["retry_in_s"], said["exit_code"]) == (75, 20.0, 1)
    done = gridsidecar(tmp_path, "exec")
    assert (done.returncode, done.stdout) == (75, "")
    assert "would be retried in 10.0 s: HandlerExit: exit status 1" in done.stderr


def test_the_task_type_chooses_the_handler(tmp_path: Path) -> None:
    plain = {"command": ["wc", "-w"], "input": "data", "result_from": "stdout"}
    write_config(tmp_path, {"count": plain, "other": {"command": ["false"]}})
    done = gridsidecar(tmp_path, "exec", "--type", "count", "--data", '"one two three"')
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (0, "3\n", 1)
    assert gridsidecar(tmp_path, "exec", "--type", "other").returncode == 1
    done = gridsidecar(tmp_path, "exec", "--type", "third")
    assert done.returncode == 64
    assert "no handler for task type 'third'; there are count, other" in done.stderr


def test_a_command_takes_no_settings_of_another_ones_unless_the_file_is_named(tmp_path: Path) -> None:
    write_config(tmp_path, {"default": {"command": ["false"], "input": "data", "result_from": "stdout"}})
    done = gridsidecar(tmp_path, "exec", "--data", '{"n": 1}', "--", *ECHO)
    assert (done.returncode, done.stdout) == (0, '{"n": 1}\n')
    done = gridsidecar(tmp_path, "exec", "-c", "config.yaml", "--data", '{"n": 1}', "--", "cat")
    assert (done.returncode, done.stdout) == (0, '{"n": 1}\n')
    write_config(tmp_path, {"default": {"command": ["false"], "mode": "persistent"}})
    assert gridsidecar(tmp_path, "exec", "--", "true").returncode == 0


def test_servers_are_not_needed(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        'broker: {url: "${NOT_SET}"}\nstore: {url: "${NOT_SET_EITHER}"}\nhandlers: {default: {command: ["true"]}}\n'
    )
    assert gridsidecar(tmp_path, "exec").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--", "no-such-program-here"], 78, "no-such-program-here is not in PATH"),
        ([], 78, "handlers"),
        (["--data", "{oops", "--", "true"], 64, "--data is not JSON"),
        (["--task", "missing", "--", "true"], 64, "cannot read missing"),
        (["--task", "list", "--", "true"], 64, "--task must be a JSON object"),
        (["--task", "bad", "--", "true"], 64, "timeout must be"),
        (["--attempt", "0", "--", "true"], 64, "attempt"),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "list").write_text("[]")
    (tmp_path / "bad").write_text('{"timeout": "long"}')
    done = gridsidecar(tmp_path, "exec", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_result_steers_no_terminal(tmp_path: Path) -> None:
    script = """printf '{"gs":1,"type":"result","result":"\\\\u001b[2J\\\\u009b\\\\u202e"}\\n'"""
    code, written = on_terminal(tmp_path, "exec", *sh(script))
    assert code == 0
    assert '"\\u001b[2J\\u009b\\u202e"' in written
