"""What an attempt comes to: messages, channels, exit codes, signals, input and environment."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.rules.task import CannotStart, Checkpoint, ErrorType, Failed, Progress, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import Run, Running, claim, handler, log


def test_a_command_that_exits_0_is_a_success(run: Run) -> None:
    ended = run("exit", "0")
    assert ended.outcome == Succeeded(None)
    assert ended.report.exit_code == 0
    assert ended.report.signal is None
    assert ended.report.cpu_s is not None


@pytest.mark.parametrize(("code", "retryable"), [("1", None), ("75", True), ("65", False), ("127", None)])
def test_exit_codes(run: Run, code: str, retryable: bool | None) -> None:
    ended = run("exit", code)
    assert ended.outcome == Failed(error=f"exit status {code}", error_type=ErrorType.HANDLER_EXIT, retryable=retryable)
    assert ended.report.exit_code == int(code)


def test_exit_codes_can_be_chosen(run: Run) -> None:
    codes = {"retry": [99], "permanent": [100]}
    assert run("exit", "99", exit_codes=codes).outcome.retryable is True
    assert run("exit", "100", exit_codes=codes).outcome.retryable is False
    assert run("exit", "75", exit_codes=codes).outcome.retryable is None


def test_the_last_words_on_stderr_are_the_error(run: Run) -> None:
    ended = run("exit-with-words", "3")
    assert ended.outcome == Failed(error="disk full on /data", error_type=ErrorType.HANDLER_EXIT)
    assert ended.report.stderr_tail == "first\ndisk full on /data\n\n"
    assert log(ended) == ended.report.stderr_tail


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "USR1"])
def test_a_signal_that_nobody_here_sent(run: Run, name: str) -> None:
    ended = run("crash", name)
    assert isinstance(ended.outcome, Failed)
    assert ended.outcome.error_type == ErrorType.HANDLER_SIGNAL
    assert ended.outcome.error == f"killed by SIG{name}: about to fail"
    assert ended.report.exit_code is None


def test_sigkill_gets_a_hint_about_memory(run: Run) -> None:
    ended = run("crash", "KILL")
    assert ended.outcome.error_type == ErrorType.HANDLER_SIGNAL
    assert "run out of memory" in ended.outcome.error
    assert ended.report.signal == 9


def test_messages_on_stdout_need_the_marker(on_loop: OnLoop) -> None:
    running = Running("stdout-events")
    ended = on_loop(running.result())
    assert ended.outcome == Succeeded({"w": 640})
    assert running.progress == [Progress(50, "half")]
    assert log(ended) == 'plain\n{"level":"info","msg":"a log line of its own"}\n'
    assert ended.report.ignored_events == 0


def test_every_event_on_the_private_pipe(on_loop: OnLoop) -> None:
    running = Running("all-events")
    ended = on_loop(running.result())
    assert ended.outcome == Succeeded([1])
    assert running.progress == [Progress(checkpoint=Checkpoint({"page": 1})), Progress(None, "words only")]
    assert 'warning: slow disk {"ms":812}\n' in log(ended)
    assert ended.report.ignored_events == 2  # the rubbish, the other task's result


def test_an_error_message_keeps_its_hints(run: Run) -> None:
    assert run("error").outcome == Failed(
        error="429", error_type="RateLimited", retryable=True, retry_after=30, traceback="tb"
    )


def test_the_first_terminal_message_wins(run: Run) -> None:
    ended = run("two-results")
    assert ended.outcome == Succeeded(1)
    assert ended.report.ignored_events == 1
    assert run("two-ends").outcome.error == "first"


def test_progress_after_the_end_is_not_passed_on(on_loop: OnLoop) -> None:
    running = Running("progress-after-end")
    assert on_loop(running.result()).report.ignored_events == 1
    assert running.progress == []


@pytest.mark.parametrize(
    ("argv", "note"),
    [
        (("result-then-exit", "3"), "exit 3 after its result"),
        (("result-then-exit", "65"), "exit 65 after its result"),
        (("result-then-crash",), "killed by SIGSEGV after its result"),
    ],
)
def test_a_message_outranks_the_exit(run: Run, argv: tuple[str, ...], note: str) -> None:
    ended = run(*argv)
    assert ended.outcome == Succeeded(1)
    assert ended.report.notes == (note,)


def test_a_last_line_without_its_end_counts_when_it_is_whole(run: Run) -> None:
    assert run("half-line").outcome == Succeeded("half")
    half = run("half-message")
    assert "its result cannot be read (it is cut off after 29 bytes" in half.outcome.error
    assert '{"gs":1,"type":"result","resu' in log(half)


@pytest.mark.parametrize(
    ("mode", "result"), [("text", "hello\nworld"), ("json-text", {"a": [1, 2]}), ("no-text", None)]
)
def test_result_from_stdout(run: Run, mode: str, result: Any) -> None:
    assert run(mode, result_from="stdout").outcome == Succeeded(result)


def test_result_from_stdout_yields_to_a_message_and_to_a_failure(run: Run) -> None:
    assert run("text-and-result", result_from="stdout").outcome == Succeeded("message")
    assert run("exit", "1", result_from="stdout").outcome.error == "exit status 1"


@pytest.mark.parametrize(("mode", "source"), [("big-text", "stdout"), ("big-result", "events")])
def test_a_result_over_the_limit_is_a_failure_that_says_so(run: Run, mode: str, source: str) -> None:
    ended = run(mode, result_from=source, max_result_bytes=2000)
    assert isinstance(ended.outcome, Failed)
    assert "max_result_bytes (2000)" in ended.outcome.error
    assert "reference" in ended.outcome.error
    assert isinstance(run(mode, result_from=source, max_result_bytes=4000).outcome, Succeeded)


def test_the_task_is_on_stdin_and_dev_stdin_works(run: Run) -> None:
    ended = run("echo-input", channel="events", timeout=7, kill_grace=2)
    given = json.loads(log(ended))
    assert (given["gs"], given["type"], given["task_id"], given["data"]) == (1, "task", "t1", {"n": 2})
    assert (given["run"]["attempt"], given["run"]["timeout_s"], given["run"]["grace_s"]) == (3, 7, 2)


def test_input_data_gives_the_data_alone(run: Run) -> None:
    assert run("echo-input", input="data", result_from="stdout").outcome == Succeeded({"n": 2})


def test_an_echoed_task_is_no_event(run: Run) -> None:
    assert run("echo-input").outcome == Succeeded(None)


def environment(ended: Any) -> dict[str, str]:
    return dict(line.split("=", 1) for line in log(ended).splitlines())


def test_only_listed_variables_reach_the_handler(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRID_ASYNC_TASK_AMQP_URL", "amqp://user:secret@host/")
    monkeypatch.setenv("MYSQL_PASSWORD", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("WANTED", "yes")
    seen = environment(run("environment", pass_env=["WANTED"], env={"MINE": "1", "GRIDSIDECAR_MODE": "mine"}))
    ours = {name for name in seen if name.startswith("GRIDSIDECAR")}
    assert not any("secret" in value for value in seen.values())
    assert (seen["LC_TIME"], seen["WANTED"], seen["MINE"], seen["PATH"]) == ("C", "yes", "1", os.environ["PATH"])
    allowed = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "PWD", "WANTED", "MINE"}
    assert {name for name in seen if not name.startswith("LC_")} - allowed - ours == {"PYTHONUNBUFFERED"}
    assert seen["GRIDSIDECAR_MODE"] == "oneshot"


def test_the_attempts_own_variables(on_loop: OnLoop) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    running = Running("environment")
    running.claim = claim(message=claim().task.message.__class__(body=b"", headers={"traceparent": trace}))
    seen = environment(on_loop(running.result()))
    assert seen["GRIDSIDECAR"] == seen["GRIDSIDECAR_PROTOCOL"] == "1"
    assert (seen["GRIDSIDECAR_TASK_ID"], seen["GRIDSIDECAR_TASK_TYPE"]) == ("t1", "default")
    assert (seen["GRIDSIDECAR_ATTEMPT"], seen["GRIDSIDECAR_MAX_RETRY_COUNT"]) == ("3", "5")
    assert int(seen["GRIDSIDECAR_DEADLINE_MS"]) > 1_700_000_000_000
    assert seen["TRACEPARENT"] == trace


@pytest.mark.parametrize("task_id", ["größe", "() { :; }; echo", "a b", "a\x7f", "x\x00y", "$(id)", "i" * 256])
def test_an_id_that_is_not_safe_as_a_variable_is_left_out(run: Run, task_id: str) -> None:
    seen = run("environment", task={"task_id": task_id, "task_type": task_id}, timeout=0)
    assert "GRIDSIDECAR_TASK_ID" not in log(seen)
    assert "GRIDSIDECAR_TASK_TYPE" not in log(seen)
    assert "GRIDSIDECAR_DEADLINE_MS" not in log(seen)


@pytest.mark.parametrize("cwd", [None, "/tmp"])
def test_the_child_holds_no_descriptor_but_its_pipes(run: Run, cwd: str | None) -> None:
    held, events = log(run("descriptors", cwd=cwd)).split("events=")
    # ls itself opens one more, for the directory it lists
    assert len(held.split()) == 5
    assert {"0", "1", "2", events.strip()} < set(held.split())


def test_a_handler_gets_no_descriptor_that_we_inherited() -> None:
    program = (
        "import asyncio; from tests.handler.running import Running, log; "
        "print(log(asyncio.run(Running('descriptors').result())))"
    )
    inherited = os.open("/dev/null", os.O_RDONLY)
    high = fcntl.fcntl(inherited, fcntl.F_DUPFD, 50)
    try:
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", program], pass_fds=[high], cwd=root, capture_output=True, text=True
        )
    finally:
        os.close(high)
        os.close(inherited)
    assert done.stderr == ""
    assert str(high) not in done.stdout.split()
    assert "events=3" in done.stdout.split()


def test_exit_codes_arrive_where_our_parent_ignored_the_end_of_its_children() -> None:
    program = (
        "import asyncio; from tests.handler.running import Running; "
        "print(asyncio.run(Running('exit', '3').result()).outcome.error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN) and None,
    )
    assert (done.stderr, done.stdout) == ("", "exit status 3\n")


def test_signals_that_python_ignores_work_in_a_handler(run: Run) -> None:
    assert run("crash", "PIPE").report.signal == 13
    assert run("crash", "PIPE", cwd="/tmp").report.signal == 13


# -- what cannot be started -------------------------------------------------------------------------------------------


def script(path: Path, text: bytes, mode: int = 0o755) -> str:
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


def cannot(on_loop: OnLoop, command: list[str], **settings: Any) -> tuple[str | None, str]:
    made = handler(command, **settings)
    problem = made.cannot_start()

    async def attempt() -> Any:
        running = Running("exit", "0")
        return await made.run(running.claim, running.progress.append, running.stop)

    ended = on_loop(attempt())
    assert isinstance(ended.outcome, CannotStart)
    assert "handler default: " in ended.outcome.error
    return problem, ended.outcome.error


def test_a_missing_command(on_loop: OnLoop) -> None:
    problem, error = cannot(on_loop, ["no-such-command-here"])
    assert problem == error
    assert "not in PATH" in error
    assert "does not exist" in cannot(on_loop, ["./nothing.sh"])[1]


def test_a_command_is_looked_up_in_the_handlers_own_path(on_loop: OnLoop, tmp_path: Path) -> None:
    script(tmp_path / "own-command", b"#!/bin/sh\nexit 0\n")
    made = handler(["own-command"], env={"PATH": str(tmp_path)})
    assert made.cannot_start() is None
    running = Running("exit", "0")
    assert on_loop(made.run(running.claim, running.progress.append, running.stop)).outcome == Succeeded(None)
    cannot(on_loop, ["sh"], env={"PATH": str(tmp_path)})


def test_a_relative_command_belongs_to_cwd(on_loop: OnLoop, tmp_path: Path) -> None:
    script(tmp_path / "run.sh", b"#!/bin/sh\npwd\n")
    made = handler(["./run.sh"], cwd=str(tmp_path), result_from="stdout")
    assert made.cannot_start() is None
    running = Running("exit", "0")
    assert on_loop(made.run(running.claim, running.progress.append, running.stop)).outcome == Succeeded(str(tmp_path))


def test_a_missing_directory(on_loop: OnLoop, tmp_path: Path) -> None:
    problem, error = cannot(on_loop, ["true"], cwd=str(tmp_path / "gone"))
    assert problem == error
    assert "directory" in error


def test_a_file_that_is_not_executable(on_loop: OnLoop, tmp_path: Path) -> None:
    problem, error = cannot(on_loop, [script(tmp_path / "x.sh", b"#!/bin/sh\n", 0o644)])
    assert problem == error
    assert "chmod +x" in error


@pytest.mark.parametrize("first", [b"#!/no/such/interpreter\n", b"#!/bin/sh\r\n"])
def test_a_bad_interpreter(on_loop: OnLoop, tmp_path: Path, first: bytes) -> None:
    problem, error = cannot(on_loop, [script(tmp_path / "x.sh", first)])
    assert problem == error
    assert "interpreter" in error
    assert ("CR LF" in error) is (b"\r" in first)


def test_a_file_of_no_known_kind(on_loop: OnLoop, tmp_path: Path) -> None:
    assert "add `#!/bin/sh`" in cannot(on_loop, [script(tmp_path / "x", b"\x01\x02\x03")])[1]


def test_an_environment_that_is_too_large(on_loop: OnLoop) -> None:
    assert "shorten" in cannot(on_loop, ["true"], env={"X": "x" * 3_000_000})[1]


def test_an_environment_that_no_process_can_have(on_loop: OnLoop) -> None:
    assert "check `command`" in cannot(on_loop, ["true"], env={"X": "a\0b"})[1]


def test_too_many_open_files(on_loop: OnLoop) -> None:
    made = handler(["true"])
    running = Running("exit", "0")

    async def attempts() -> list[Any]:
        outcomes = [(await made.run(running.claim, running.progress.append, running.stop)).outcome]
        low = len(os.listdir("/proc/self/fd"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            for spare in range(12):
                resource.setrlimit(resource.RLIMIT_NOFILE, (low + spare, hard))
                outcomes.append((await made.run(running.claim, running.progress.append, running.stop)).outcome)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return outcomes

    outcomes = on_loop(attempts())
    refused = [outcome for outcome in outcomes if isinstance(outcome, CannotStart)]
    assert refused  # how many depends on the gaps between open descriptors
    assert all("too many open files" in outcome.error for outcome in refused)
    assert all(isinstance(outcome, (CannotStart, Succeeded)) for outcome in outcomes)


def test_a_command_that_appears_later_can_start(tmp_path: Path) -> None:
    path = tmp_path / "later.sh"
    made = handler([str(path)])
    assert "does not exist" in str(made.cannot_start())
    script(path, b"#!/bin/sh\n")
    assert made.cannot_start() is None
    assert path.stat().st_mode & stat.S_IXUSR
