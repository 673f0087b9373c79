"""A handler that is a server: what is posted to it, and what its answer comes to."""

from __future__ import annotations

import json
import subprocess
import sys
from gzip import compress
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.rules.task import CannotStart, Checkpoint, ErrorType, Failed, Message, Progress, Succeeded
from tests.handler.conftest import OnLoop
from tests.handler.running import log
from tests.handler.served import error_of, line, served
from tests.support.waiting import eventually
from tests.support.web import Answer, Connection, Request, chunk, chunks, head, raw, reply

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
RESULT = line("result", result={"w": 640})


def outcome(on_loop: OnLoop, answer: Answer, **settings: Any) -> Any:
    return one(on_loop, answer, **settings)[0]


def one(on_loop: OnLoop, answer: Answer, **settings: Any) -> tuple[Any, Any]:
    """The outcome of a task that is answered so, and what it ended as."""

    async def scene() -> tuple[Any, Any]:
        async with served(**settings) as server:
            server.web.answer = answer
            ended = await server.run()
            return ended.outcome, ended

    return on_loop(scene())  # type: ignore[no-any-return]


def test_the_task_is_posted_as_a_command_would_read_it(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served(timeout=7) as server:
            server.web.answer = chunks(RESULT)
            message = Message(body=b"{}", headers={"traceparent": TRACE})
            assert (await server.run(message=message)).outcome == Succeeded({"w": 640})
            (request,) = server.web.requests
            assert (request.method, request.path) == ("POST", "/tasks")
            assert request.headers["content-type"] == "application/json"
            assert request.headers["traceparent"] == TRACE
            assert request.headers["connection"] == "close"
            assert request.body.endswith(b"\n")
            task = json.loads(request.body)
            assert (task["gs"], task["type"], task["task_id"], task["data"]) == (1, "task", "t1", {"n": 2})
            assert (task["run"]["attempt"], task["run"]["timeout_s"], task["run"]["grace_s"]) == (3, 7, 0)

    on_loop(scene())


def test_data_alone_may_be_posted(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served(input="data") as server:
            await server.run()
            assert server.web.requests[0].json == {"n": 2}

    on_loop(scene())


def test_a_unix_socket(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        async with served(socket=str(tmp_path / "app.sock"), path="/a/b") as server:
            server.web.answer = chunks(RESULT)
            assert (await server.run()).outcome == Succeeded({"w": 640})
            assert server.web.requests[0].path == "/a/b"
            assert server.web.requests[0].headers["host"] == "localhost"

    on_loop(scene())


def test_progress_and_the_rest_while_it_runs(on_loop: OnLoop) -> None:
    """Each line as it comes: the server ends its answer only when it has been heard."""

    async def scene() -> None:
        async with served() as server:

            async def answer(request: Request, connection: Connection) -> None:
                half = line("log", level="warning", message="slow disk")
                await connection.send(head(200, {"Transfer-Encoding": "chunked"}))
                said = [line("progress", progress=10), line("checkpoint", data={"page": 17}), half[:9], half[9:]]
                await connection.send(b"".join(chunk(part) for part in said))
                await eventually(lambda: len(server.progress) == 2)  # nothing is held back
                await connection.send(chunk(RESULT) + chunk(b""))

            server.web.answer = answer
            ended = await server.run()
            assert ended.outcome == Succeeded({"w": 640})
            assert server.progress == [Progress(10), Progress(checkpoint=Checkpoint({"page": 17}))]
            assert log(ended) == "warning: slow disk\n"
            assert ended.report.ignored_events == 0

    on_loop(scene())


@pytest.mark.parametrize(
    ("body", "kind", "result"),
    [
        (b'{"w": 640}\n', "application/json", {"w": 640}),
        (b'[\n  1,\n  {"gs": 2}\n]', "application/json", [1, {"gs": 2}]),
        (b'"words"', "application/json; charset=utf-8", "words"),
        (b'{"level": "info"}', "text/plain", {"level": "info"}),
        (b"", "application/json", None),
        (b"OK", "text/plain", None),
        (b"caf\xe9", "text/plain", None),
        (b'{"w": 640}', "text/html; charset=UTF-8", {"w": 640}),
        (b"", "text/html", None),
        (b" \n", "text/html", None),
    ],
)
def test_an_answer_without_messages_is_the_result_where_it_is_json(
    on_loop: OnLoop, body: bytes, kind: str, result: Any
) -> None:
    assert outcome(on_loop, chunks(body, kind=kind) if body else reply(204)) == Succeeded(result)
    assert outcome(on_loop, reply(200, {"Content-Type": kind}, body)) == Succeeded(result)


def test_an_answer_that_is_the_result_whatever_it_is(on_loop: OnLoop) -> None:
    assert outcome(on_loop, reply(body=b"OK\n"), result_from="stdout") == Succeeded("OK")
    assert outcome(on_loop, reply(body=RESULT), result_from="stdout") == Succeeded(json.loads(RESULT))


def test_an_error_keeps_its_hints_and_outranks_the_status(on_loop: OnLoop) -> None:
    error = line("error", error="429", error_type="RateLimited", retry_after_s=30, traceback="tb")
    failed = Failed(error="429", error_type="RateLimited", retryable=True, retry_after=30, traceback="tb")
    assert outcome(on_loop, chunks(error)) == failed
    assert outcome(on_loop, reply(404, body=error)) == failed
    assert outcome(on_loop, chunks(RESULT, status=500)) == Succeeded({"w": 640})


def test_twice_the_first_counts(on_loop: OnLoop) -> None:
    told, ended = one(on_loop, chunks(RESULT, line("error", error="x"), RESULT))
    assert told == Succeeded({"w": 640})
    assert ended.report.ignored_events == 2


def test_a_result_stands_whatever_becomes_of_the_connection(on_loop: OnLoop) -> None:
    assert outcome(on_loop, chunks(RESULT, whole=False)) == Succeeded({"w": 640})
    assert outcome(on_loop, chunks(RESULT, 60.0), timeout=0) == Succeeded({"w": 640})  # it is not waited for


@pytest.mark.parametrize(
    "body",
    [
        line("result", result=1, task_id="of another"),
        line("result", result=1, attempt=2),
        line("progress", progress=50),
        line("task", task_id="t1"),
    ],
)
@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json"])
def test_messages_without_an_end_are_a_failure(on_loop: OnLoop, body: bytes, kind: str) -> None:
    told = error_of(one(on_loop, chunks(body, kind=kind))[1])
    assert told == "HandlerError: its answer ended without a result or an error"


def test_lines_that_hold_no_message_are_a_failure_where_there_had_to_be_some(on_loop: OnLoop) -> None:
    for body in (b"", b'{"w": 1}\n', b"rubbish\n"):
        assert "without a result" in error_of(
            one(on_loop, reply(200, {"Content-Type": "application/x-ndjson"}, body))[1]
        )


@pytest.mark.parametrize("whole", [True, False])
def test_half_a_line_is_no_success(on_loop: OnLoop, whole: bool) -> None:
    told = error_of(one(on_loop, chunks(line("progress", progress=1), RESULT[:-9], whole=whole))[1])
    assert "its result cannot be read (it is cut off after" in told
    assert told.startswith("HandlerError: its result" if whole else "HandlerExit: ")


def test_a_last_line_without_its_end_counts_when_it_is_whole(on_loop: OnLoop) -> None:
    assert outcome(on_loop, chunks(RESULT[:-1])) == Succeeded({"w": 640})


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (reply(500, body=b"Traceback\n  no disk"), "HandlerError: HTTP 500: Traceback no disk"),
        (reply(500), "HandlerError: HTTP 500"),
        (
            reply(422, {"Content-Type": "application/json"}, b'{"detail": "n"}'),
            'HandlerError: HTTP 422: {"detail": "n"}',
        ),
        (reply(302, {"Location": "/elsewhere"}), "HandlerError: HTTP 302; no redirect is followed"),
        (
            reply(200, {"Content-Encoding": "gzip"}, compress(RESULT)),
            "HandlerError: its answer is packed (gzip), which",
        ),
        (chunks(b'{"half": ', kind="application/json"), "HandlerError: its answer cannot be read as JSON"),
        (
            chunks(b'"caf\xe9"', kind="application/json"),
            "HandlerError: its answer cannot be read as JSON (not UTF-8): ",
        ),
        (chunks(b"[" * 200 + b"]" * 200, kind="text/plain"), "HandlerError: its answer cannot be read as JSON"),
        (
            chunks(b"<!doctype html>\n<title>Sign in</title>" + b"x" * 9999, kind="text/html; charset=utf-8"),
            "HandlerError: its answer is text/html, neither JSON nor messages nor text/plain; correct `url`, or what "
            "answers there: <!doctype html> <title>Sign in</title>xxx",
        ),
        (chunks(b"caf\xe9", kind="TEXT/HTML"), "HandlerError: its answer is text/html, neither"),
        (chunks(b"\x89PNG\r\n", kind="image/png"), "HandlerError: its answer is image/png, neither"),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "HandlerError: 127.0.0.1:"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "HandlerError: 127.0.0.1:"),
        (raw(b""), "HandlerExit: 127.0.0.1:"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Len"), "HandlerExit: 127.0.0.1:"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]"), "HandlerExit: 127.0.0.1:"),
        (chunks(b"[1]", whole=False), "HandlerExit: 127.0.0.1:"),
        (raw(b"HTTP/1.0 200 OK\r\n\r\n"), "HandlerError: nothing tells whether its answer is complete"),
        (raw(b"HTTP/1.0 200 OK\r\n\r\n12"), "HandlerError: nothing tells whether its answer is complete"),
    ],
)
def test_failures(on_loop: OnLoop, answer: Answer, told: str) -> None:
    failed, ended = one(on_loop, answer)
    assert error_of(ended).startswith(told)
    assert failed.retryable is None


def test_the_end_of_an_old_servers_answer_is_that_of_its_json(on_loop: OnLoop) -> None:
    assert outcome(on_loop, raw(b'HTTP/1.0 200 OK\r\n\r\n{"w": 1}')) == Succeeded({"w": 1})


@pytest.mark.parametrize(("status", "advice"), [(404, "correct `url`"), (503, "tasks wait until it is")])
def test_what_is_not_there_costs_no_attempt(on_loop: OnLoop, status: int, advice: str) -> None:
    told = outcome(on_loop, reply(status, body=b"come again"))
    assert isinstance(told, CannotStart)
    assert f"answers HTTP {status}: come again: " in told.error
    assert advice in told.error


def test_a_result_over_the_limit_is_a_failure_that_says_so(on_loop: OnLoop) -> None:
    large = [line("result", result="x" * 3000), json.dumps("x" * 3000).encode()]
    for body in large:
        assert "max_result_bytes (2000)" in error_of(one(on_loop, reply(body=body), max_result_bytes=2000)[1])
        assert outcome(on_loop, reply(body=body), max_result_bytes=4000) == Succeeded("x" * 3000)
    assert outcome(on_loop, chunks(line("result", result="x" * 5_000_000))).error_type == ErrorType.HANDLER_ERROR


def test_what_speaks_http_is_loaded_where_a_handler_needs_it() -> None:
    program = (
        "import sys\n"
        "from gridsidecar.clock import SystemClock\n"
        "from gridsidecar.config.handlers import HandlerSettings\n"
        "from gridsidecar.handler import make_handlers\n"
        "for keys in ({'command': ['x']}, {'mode': 'http', 'url': 'http://h/'}):\n"
        "    make_handlers({'x': HandlerSettings(**keys)}, SystemClock())\n"
        "    print('httpcore' in sys.modules, 'httpx' in sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "False False\nTrue False\n"
