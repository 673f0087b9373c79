"""A result or an error that cannot be read is a failed attempt that says so, at once; never a success without it."""

from __future__ import annotations

import asyncio
import base64
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import Stop, StopReason
from gridsidecar.rules.task import Ended, ErrorType, Failed, Interrupted, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import Running, claim, handler, log
from tests.handler.warm import pool

ABOUT = b'"gs":1,"task_id":"t1",'
HEAD = b"{" + ABOUT + b'"type":"result","result":'
ERROR = b"{" + ABOUT + b'"type":"error","error":"bad"'
MEBIBYTE = 1024 * 1024

RESULTS = {
    "nan": HEAD + b"NaN}",
    "surrogate": HEAD + b'"\\ud800"}',
    "latin-1": HEAD + b'"caf\xe9"}',
    "tab": HEAD + b'"a\tb"}',
    "control": HEAD + b'"a\x01b"}',
    "deep": HEAD + b"[" * 101 + b"]" * 101 + b"}",
    "deeper": HEAD + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "too-large-a-number": HEAD + b"1e400}",
    "digits": HEAD + b"9" * 400 + b"}",
    "two-objects": HEAD + b"1}" + HEAD + b"2}",
    "after-another": b'{"gs":1,"type":"heartbeat"}' + HEAD + b"1}",
    "rest": HEAD + b"1} and more",
    "version-text": HEAD.replace(b'"gs":1', b'"gs":"1"') + b"1}",
    "version-decimal": HEAD.replace(b'"gs":1', b'"gs":1.0') + b"1}",
    "version-2": HEAD.replace(b'"gs":1', b'"gs":2') + b"1}",
    "attempt-text": HEAD + b'1,"attempt":"1"}',
    "task-number": b'{"gs":1,"type":"result","task_id":5}',
    "quotes": HEAD + b'"say "hello""}',
    "type-last": b"{" + ABOUT + b'"result":[NaN],"type":"result"}',
    "no-comma": HEAD + b'1 "x":2}',
    "single-quotes-inside": HEAD + b"'x'}",
    "many": HEAD + b"[" + b'"x",' * 300_000 + b"NaN]}",
}


@pytest.fixture(params=["events", "stdout"])
def channel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def says(folder: Path, channel: str, line: bytes, then: str = "", **settings: Any) -> Running:
    """A shell that writes these bytes, and more if it is to."""
    (folder / "line").write_bytes(line)
    place = '>>"$GRIDSIDECAR_EVENTS"' if channel == "events" else ""
    running = Running("replaced")
    script = f"cat {shlex.quote(str(folder / 'line'))} {place}; {then}"
    running.handler = handler(["/bin/sh", "-c", script], **{"timeout": 20, "kill_grace": 5} | settings)
    running.claim = claim()
    return running


def failed(ended: Ended) -> Failed:
    assert isinstance(ended.outcome, Failed), ended.outcome
    return ended.outcome


# -- one process for each task ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", RESULTS.values(), ids=RESULTS)
def test_it_is_no_success(on_loop: OnLoop, tmp_path: Path, channel: str, line: bytes) -> None:
    outcome = failed(on_loop(says(tmp_path, channel, line + b"\n").result()))
    assert outcome.error_type == ErrorType.HANDLER_ERROR
    assert outcome.retryable is None
    assert "result cannot be read" in outcome.error
    assert line[:20].decode("utf-8", "replace") in outcome.error  # its beginning
    assert len(outcome.error) < 500
    assert outcome.error.isprintable()


@pytest.mark.parametrize(
    "line",
    [
        ERROR + b',"loss":NaN}',
        ERROR + b',"path":"\\udcff"}',
        ERROR + b',"city":"K\xf6ln"}',
        ERROR + b',"row":"a\tb"}',
        ERROR + b',"tree":' + b"[" * 101 + b"]" * 101 + b"}",
        ERROR + b',"n":1e400}',
        ERROR + b',"n":' + b"7" * 400 + b"}",
        ERROR + b"}" + ERROR + b"}",
        ERROR.replace(b'"gs":1', b'"gs":"1"') + b"}",
        ERROR.replace(b'"gs":1', b'"gs":1.0') + b"}",
        ERROR + b',"attempt":"1"}',
        ERROR + b',"traceback":"cut off in the mid',
    ],
    ids=lambda line: line[len(ERROR) - 20 :][:30].decode("utf-8", "replace"),
)
def test_an_error_counts_as_the_error_it_is(on_loop: OnLoop, tmp_path: Path, channel: str, line: bytes) -> None:
    line = line.replace(b'"type":"error"', b'"type":"error","error_type":"Mine","retryable":false')
    outcome = failed(on_loop(says(tmp_path, channel, line + b"\n").result()))
    assert (outcome.error, outcome.error_type, outcome.retryable) == ("bad", "Mine", False)


@pytest.mark.parametrize(
    ("text", "read"),
    [(b'"caf\xe9"', "caf\ufffd"), (b'"a\tb"', "a\tb"), (b'"x\\ud800y"', "x\ufffdy"), (b'"C:\\path"', "C:\\path")],
)
def test_an_errors_own_text_is_read_as_far_as_it_goes(
    on_loop: OnLoop, tmp_path: Path, channel: str, text: bytes, read: str
) -> None:
    line = b'{"gs":1,"type":"error","error":' + text + b"}\n"
    assert failed(on_loop(says(tmp_path, channel, line).result())).error == read


def test_an_error_whose_text_is_lost_keeps_what_it_says_of_retries(
    on_loop: OnLoop, tmp_path: Path, channel: str
) -> None:
    line = b'{"gs":1,"type":"error","retryable":false,"error_type":"Mine","error":"no "x" here"}\n'
    outcome = failed(on_loop(says(tmp_path, channel, line).result()))
    assert "its error cannot be read" in outcome.error
    assert (outcome.error_type, outcome.retryable) == ("Mine", False)


@pytest.mark.parametrize("line", [HEAD + b'{"w":"' + b"x" * 65_000, b'{"gs":1,"result":{"w"', HEAD + b'1,"n'])
def test_a_result_that_is_cut_off_at_the_end(on_loop: OnLoop, tmp_path: Path, channel: str, line: bytes) -> None:
    outcome = failed(on_loop(says(tmp_path, channel, line).result()))
    assert f"cut off after {len(line):,} bytes" in outcome.error
    assert outcome.error_type == ErrorType.HANDLER_ERROR


@pytest.mark.parametrize("last", [b"}", b"}\n"], ids=["no-lf", "lf"])
def test_an_error_over_the_limit_whose_mark_comes_last(
    on_loop: OnLoop, tmp_path: Path, channel: str, last: bytes
) -> None:
    """As sorted keys have it. The process says that all is well."""
    line = b'{"error":"' + b"long " * MEBIBYTE + b'","error_type":"Mine","gs":1,"type":"error"' + last
    outcome = failed(on_loop(says(tmp_path, channel, line, then="exit 0").result()))
    assert outcome.error_type == "Mine"
    assert "its error cannot be read (a line of more than 4 MiB" in outcome.error


def test_a_result_that_node_cuts_when_it_exits(on_loop: OnLoop, channel: str) -> None:
    """What does not fit into the pipe at once is written later, and `process.exit` does not wait for that."""
    fd = "require('fs').openSync(process.env.GRIDSIDECAR_EVENTS, 'a')"
    pipe = f"new (require('net').Socket)({{fd: {fd}, readable: false, writable: true}})"
    out = "process.stdout" if channel == "stdout" else pipe
    result = 'JSON.stringify({gs: 1, type: "result", result: "x".repeat(1e6)})'
    running = Running("replaced")
    running.handler = handler(["node", "-e", f"({out}).write({result} + '\\n'); process.exit(0)"], timeout=60)
    outcome = failed(on_loop(running.result()))
    assert "its result cannot be read (it is cut off after" in outcome.error
    assert '{"gs":1,"type":"result","result":"xxx' in outcome.error


@pytest.mark.parametrize(
    ("then", "error_type", "retryable", "words"),
    [
        ("exit 75", ErrorType.HANDLER_EXIT, True, "exit status 75; its result cannot be read"),
        ("exit 65", ErrorType.HANDLER_EXIT, False, "exit status 65; its result cannot be read"),
        ("kill -SEGV $$", ErrorType.HANDLER_SIGNAL, None, "killed by SIGSEGV; its result cannot be read"),
    ],
)
def test_how_the_process_ended_is_told_too(
    on_loop: OnLoop, tmp_path: Path, then: str, error_type: str, retryable: bool | None, words: str
) -> None:
    outcome = failed(on_loop(says(tmp_path, "events", HEAD + b"NaN}\n", then).result()))
    assert (outcome.error_type, outcome.retryable) == (error_type, retryable)
    assert words in outcome.error


def test_the_pipe_decides_although_it_said_nothing_else(on_loop: OnLoop, tmp_path: Path) -> None:
    forged = """echo '{"gs":1,"type":"result","result":"forged"}'"""
    ended = on_loop(says(tmp_path, "events", HEAD + b"NaN}\n", forged).result())
    assert "its result cannot be read" in failed(ended).error
    assert ended.report.ignored_events == 2


def test_a_result_cut_by_a_stop_belongs_to_the_stop(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        begun = b'{"gs":1,"type":"progress","progress":1}\n' + HEAD + b'"half'
        running = says(tmp_path, "events", begun, "exec sleep 1000")
        attempt = asyncio.create_task(running.result())
        while not running.progress:
            await asyncio.sleep(0.01)
        running.stop.request(StopReason.SHUTDOWN)
        assert (await attempt).outcome == Interrupted()

    on_loop(scene())
    timed_out = failed(on_loop(says(tmp_path, "events", HEAD + b'"half', "exec sleep 1000", timeout=0.5).result()))
    assert timed_out.error_type == ErrorType.TIMEOUT


TEXT = {
    "nested": b'{"level":"info","message":{"gs":1,"type":"error","error":"x"},"n":NaN}',
    "in-a-list": b'{"a":[{"gs":1,"type":"result","result":1},NaN]}',
    "in-a-text": b'{"msg":"{\\"gs\\":1,\\"type\\":\\"result\\",\\"result\\":1}","n":NaN}',
    "in-a-pasted-text": b'{"msg":"{"gs":1,"type":"result","result":1}"}',
    "other-peoples": b'{"type":"error","error":"x","@timestamp":"now","n":NaN}',
    "other-peoples-cut": b'{"type":"result","result":{"w',
    "other-type": b'{"gs":1,"type":"metric","value":NaN}',
    "space-before": b' {"gs":1,"type":"result","result":NaN}',
    "words-before": b'INFO {"gs":1,"type":"result","result":NaN}',
    "list": b'[{"gs":1,"type":"result","result":NaN}]',
    "words-between": b'{"a":1} said {"gs":1,"type":"result","result":1}',
    "python": b"{'gs': 1, 'type': 'result'}",
    "unclosed-around": b'{"a":{"gs":1,"type":"result","result":1}',
    "wrong-brackets": b'{"a":{"b":[1},"gs":1,"type":"result","result":1}',
}


@pytest.mark.parametrize("line", TEXT.values(), ids=TEXT)
def test_text_stays_text(on_loop: OnLoop, tmp_path: Path, line: bytes) -> None:
    assert on_loop(says(tmp_path, "stdout", line + b"\n").result()).outcome == Succeeded(None)


def test_an_echoed_task_stays_an_echo(on_loop: OnLoop) -> None:
    running = Running("replaced", task={"data": {"gs": 1, "type": "result", "result": "x" * 100_000}})
    for command in (["cat"], ["head", "-c", "70000"]):
        running.handler = handler(command, timeout=20)
        assert on_loop(running.result()).outcome == Succeeded(None)


def test_what_is_about_another_task_or_attempt_is_ignored(on_loop: OnLoop, tmp_path: Path, channel: str) -> None:
    other = HEAD.replace(b"t1", b"t2") + b"NaN}\n" + HEAD + b'NaN,"attempt":2}\n'
    ended = on_loop(says(tmp_path, channel, other).result())
    assert ended.outcome == Succeeded(None)
    assert ended.report.ignored_events == 2


# -- too long to be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beginning", [HEAD + b'"', b"{" + ABOUT + b'"result":"', b'{"task_id":"t1","type":"result","gs":1,"x":"']
)
def test_one_that_is_too_long_quotes_its_beginning(
    on_loop: OnLoop, tmp_path: Path, channel: str, beginning: bytes
) -> None:
    outcome = failed(on_loop(says(tmp_path, channel, beginning + b"x" * 5 * MEBIBYTE + b'"}\n').result()))
    assert "more than 4 MiB" in outcome.error
    assert beginning[:40].decode() in outcome.error


def test_an_error_that_is_too_long_is_the_error_it_is(on_loop: OnLoop, tmp_path: Path, channel: str) -> None:
    line = ERROR + b',"error_type":"Mine","traceback":"' + b"x" * 5 * MEBIBYTE + b'"}\n'
    outcome = failed(on_loop(says(tmp_path, channel, line).result()))
    assert (outcome.error, outcome.error_type) == ("bad", "Mine")


def test_a_log_that_is_too_long_is_no_failure(on_loop: OnLoop, tmp_path: Path, channel: str) -> None:
    line = b'{"type":"log","gs":1,"message":"' + b"x" * 5 * MEBIBYTE + b'"}\n'
    assert on_loop(says(tmp_path, channel, line).result()).outcome == Succeeded(None)


# -- one process for many tasks ---------------------------------------------------------------------------------------


def encoded(line: bytes) -> str:
    return base64.b64encode(line).decode()


@pytest.mark.parametrize("start", ["ready", "ready-stdout"])
@pytest.mark.parametrize("name", RESULTS)
def test_it_ends_its_task_at_once(on_loop: OnLoop, name: str, start: str) -> None:
    async def scene() -> None:
        async with pool(start) as warm:
            started = time.monotonic()
            ended = await warm.run("raw", task_id="t1", bytes=encoded(RESULTS[name] + b"\n"))
            assert time.monotonic() - started < 10
            assert failed(ended).error_type == ErrorType.HANDLER_ERROR
            assert "result cannot be read" in failed(ended).error
            assert isinstance((await warm.run("echo")).outcome, Succeeded)

    on_loop(scene())


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        (HEAD + b"NaN}", True),
        (ERROR + b',"loss":NaN}', True),
        (HEAD + b'"' + b"x" * 5_000_000 + b'"}', True),
        (b"{" + ABOUT + b'"result":"' + b"x" * 5_000_000 + b'","type":"result"}', True),
        (b'{"gs":1,"type":"result","result":NaN}', False),
        (b'{"gs":1,"type":"error","error":"bad","loss":NaN}', False),
        (b'{"gs":1,"type":"result","task_id":"t\xe9","result":1}', False),
        (b'{"gs":1,"type":"result","task_id":null,"result":1}', False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_process_stays_when_it_said_whose_it_was(on_loop: OnLoop, line: bytes, stays: bool) -> None:
    async def scene() -> None:
        async with pool() as warm:
            pid = await warm.pid()
            outcome = failed(await warm.run("raw", task_id="t1", bytes=encoded(line + b"\n")))
            assert "bad" in outcome.error or "cannot be read" in outcome.error or "task_id" in outcome.error
            assert (await warm.pid() == pid) == stays

    on_loop(scene())


def test_its_own_error_is_kept(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            line = ERROR + b',"error_type":"Mine","retry_after_s":7,"loss":NaN}\n'
            outcome = failed(await warm.run("raw", task_id="t1", bytes=encoded(line)))
            assert (outcome.error, outcome.error_type, outcome.retry_after) == ("bad", "Mine", 7)

    on_loop(scene())


def test_one_of_another_task_ends_nothing(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            stale = HEAD.replace(b"t1", b"t0") + b"NaN}\n" + HEAD + b'1,"task_id":"t1"}\n'
            ended = await warm.run("raw", task_id="t1", bytes=encoded(stale))
            assert ended.outcome == Succeeded(1)
            assert ended.report.ignored_events == 1

    on_loop(scene())


def test_one_between_two_tasks_ends_nothing(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with pool() as warm:
            lines = HEAD + b"1}\n" + HEAD + b"NaN}\n"
            assert (await warm.run("raw", task_id="t1", bytes=encoded(lines))).outcome == Succeeded(1)
            ended = await warm.run("echo", task_id="t2")
            assert isinstance(ended.outcome, Succeeded)
            assert "while it had no task" in log(ended)

    on_loop(scene())


@pytest.mark.parametrize(("code", "retryable"), [(1, None), (75, True), (65, False)])
def test_a_process_that_leaves_in_the_middle_of_its_result(on_loop: OnLoop, code: int, retryable: bool | None) -> None:
    async def scene() -> None:
        async with pool() as warm:
            ended = await warm.run("raw", task_id="t1", bytes=encoded(HEAD + b'"half'), code=code)
            outcome = failed(ended)
            assert (outcome.error_type, outcome.retryable) == (ErrorType.HANDLER_EXIT, retryable)
            assert f"exit status {code}; its result cannot be read (it is cut off after" in outcome.error

    on_loop(scene())


def test_an_error_in_place_of_ready(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        line = b'{"gs":1,"type":"error","error":"the model is missing","path":"\xff"}'
        (tmp_path / "line").write_bytes(line + b"\n")
        script = f"cat {tmp_path}/line; sleep 1000"
        async with pool(command=["/bin/sh", "-c", script]) as warm:
            ended = await warm.handler.run(claim(), warm.progress.append, Stop())
            assert "it said that it cannot start: the model is missing" in str(ended.outcome)

    on_loop(scene())
