"""What `gridsidecar check --url` finds of servers, good and bad."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.handlers import HandlerSettings
from gridsidecar.conformance import Limits, check_handler
from gridsidecar.conformance.server_bench import AT_ONCE, ServerBench
from gridsidecar.handler.command import NotStartable
from gridsidecar.language.quoting import unmarked
from tests.handler.served import line
from tests.support.cli import gridsidecar
from tests.support.servers import free_port
from tests.support.web import Answer, Connection, Request, Web, chunks, in_turn, reply, silence, web_server

PLAIN = reply(200, {"Content-Type": "application/json"}, b'{"w": 1}')


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with web_server() as web:
        yield web


async def found(web: Web, answer: Answer, timeout: float = 5) -> dict[str, tuple[str, str]]:
    """Status and words of each check."""
    web.answer = answer
    settings = HandlerSettings(mode="http", url=f"{web.url}/tasks")
    bench = ServerBench(settings, {"task_id": "check-1", "data": {}}, Limits(timeout=timeout), SystemClock(), "http")
    report = await asyncio.to_thread(check_handler, bench, 1)
    assert report.mode == "http"
    return {each.name: (str(each.finding.status), unmarked(each.finding.seen)) for each in report.checked}


def states(checks: dict[str, tuple[str, str]], *but: str) -> set[str]:
    return {status for name, (status, _) in checks.items() if name not in but}


async def test_a_good_one(web: Web) -> None:
    said = [line("progress", progress=10), 0.6, line("progress", progress=60), 0.6, line("result", result={"w": 1})]
    checks = await found(web, chunks(*said))
    assert states(checks) == {"passed"}, checks
    assert "the first of 2 came after 0.0" in checks["progress-in-time"][1]


async def test_an_ordinary_endpoint(web: Web) -> None:
    checks = await found(web, PLAIN)
    assert states(checks) == {"passed", "not applicable"}, checks
    assert checks["succeeds"] == ("passed", "success: its answer is the result")
    assert checks["one-outcome"] == ("passed", "its answer is the result")
    assert checks["result-size"][0] == "passed"
    assert checks["result-size"][1].startswith("8 bytes of ")
    assert checks["large-task"][0] == checks["at-once"][0] == "passed"


async def test_an_answer_that_says_nothing_is_no_result(web: Web) -> None:
    checks = await found(web, reply(204))
    assert checks["succeeds"] == ("passed", "success")
    assert checks["one-outcome"][0] == checks["result-size"][0] == "not applicable"


async def limited(request: Request, connection: Connection) -> None:
    """As a server with a limit on bodies."""
    await (reply(413) if len(request.body) > 100_000 else PLAIN)(request, connection)


async def forgetful(request: Request, connection: Connection) -> None:
    """It answers all for the first task."""
    await chunks(line("result", result=1, task_id="check-1"))(request, connection)


late = chunks(1.2, line("progress", progress=1) + line("progress", progress=2) + line("result"))


@pytest.mark.parametrize(
    ("answer", "check", "status", "words"),
    [
        (limited, "large-task", "failed", "HTTP 413"),
        (forgetful, "at-once", "failed", "without a result"),
        (chunks(line("result", result=1), kind="text/plain"), "media-type", "warning", "text/plain"),
        (chunks(b'{"w": 1}', kind="text/html"), "media-type", "warning", "its result comes as text/html"),
        (chunks(b"<title>Sign in</title>", kind="text/html"), "succeeds", "failed", "its answer is text/html, neither"),
        (chunks(line("progress", progress=101), line("result")), "valid-messages", "failed", "from 0 to 100"),
        (chunks(b'{"type": "progress", "progress": 1}\n' + line("result")), "near-misses", "failed", 'no "gs": 1'),
        (chunks(line("result"), line("result")), "one-outcome", "failed", "2 terminal messages"),
        (chunks(line("mine"), line("result")), "own-types", "failed", "unknown: mine"),
        (late, "progress-in-time", "failed", "were held in a buffer"),
        (reply(500, body=b"no disk"), "succeeds", "failed", "HTTP 500: no disk"),
        (in_turn(silence(), PLAIN), "ends", "failed", "it still ran after 2 s"),
    ],
)
async def test_a_bad_one(web: Web, answer: Answer, check: str, status: str, words: str) -> None:
    checks = await found(web, answer, timeout=2)
    assert checks[check][0] == status, checks
    assert words in checks[check][1]


async def test_one_that_a_closed_connection_ends(web: Web) -> None:
    before = [PLAIN] * (3 + AT_ONCE)  # the sample, and what is like it
    checks = await found(web, in_turn(*before, silence(), reply(500, body=b"broken")))
    assert checks["closed-connection"][0] == "failed", checks
    assert "after a connection was closed: failed" in checks["closed-connection"][1]


async def test_one_that_is_not_there(web: Web) -> None:
    await web.close()
    with pytest.raises(NotStartable, match="Connection refused"):
        await found(web, PLAIN)


async def test_the_command(tmp_path: Path, web: Web) -> None:
    async def check(*flags: str) -> Any:
        return await asyncio.to_thread(gridsidecar, tmp_path, "check", *flags)

    web.answer = PLAIN
    done = await check("--url", f"{web.url}/tasks")
    assert (done.returncode, done.stderr) == (0, "")
    assert "http; level 1: " in done.stdout
    (tmp_path / "c.yaml").write_text(f"handlers: {{default: {{mode: http, url: '{web.url}/tasks'}}}}\n")
    assert (await check("-c", "c.yaml")).returncode == 0
    done = await check("--url", f"http://127.0.0.1:{free_port()}/")
    assert (done.returncode, "Connection refused" in done.stderr) == (75, True)
    assert (await check("-c", "c.yaml", "--mode", "oneshot")).returncode == 64
    for wrong in (["--url", "ftp://h"], ["--url", web.url, "--", "cat"], ["--url", web.url, "--mode", "oneshot"]):
        assert (await check(*wrong)).returncode == 64
