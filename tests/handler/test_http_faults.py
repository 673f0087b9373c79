"""Servers that are not there, die, hang, flood and lie: they cost their own attempt and nothing else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gridsidecar.handler import Stop, StopReason, http, http_attempt
from gridsidecar.outbound.http_exchange import HttpExchange
from gridsidecar.outbound.request import read_request
from gridsidecar.outbound.resolver import Resolver, system_resolve
from gridsidecar.rules.task import (
    Cancelled,
    CannotStart,
    Disowned,
    Displaced,
    Ended,
    ErrorType,
    Failed,
    Interrupted,
    Message,
    Progress,
    Succeeded,
)
from gridsidecar.wire import JsonText
from tests.handler.conftest import OnLoop
from tests.handler.running import claim, log
from tests.handler.served import Served, error_of, handler_at, line, served
from tests.handler.test_misbehaving import MEBIBYTE, peak_growth
from tests.support.certificates import Authority
from tests.support.servers import free_port
from tests.support.waiting import eventually
from tests.support.web import (
    Answer,
    Connection,
    Request,
    chunk,
    chunks,
    endless_body,
    endless_interim,
    head,
    raw,
    reply,
    silence,
    web_server,
)

RESULT = line("result", result=1)
BEGUN = head(200, {"Transfer-Encoding": "chunked"}) + chunk(line("progress", progress=1))
CLOSED = "closed the connection before its answer was complete"


def until(*events: asyncio.Event, then: Answer | None = None) -> Answer:
    """Progress; then, once these are set, this; or the end of the connection."""

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(BEGUN)
        for event in events:
            await event.wait()
        if then is None:
            connection.end()
        else:
            await then(request, connection)

    return answer


async def finish(request: Request, connection: Connection) -> None:
    await connection.send(chunk(RESULT) + chunk(b""))


# -- it is not there --------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_yet_is_waited_for(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with web_server() as web:
            await web.close()
            async with handler_at(f"{web.url}/tasks") as handler:
                handler.start()
                problem = await eventually(handler.cannot_start)
                assert f"127.0.0.1:{web.port} could not be reached: Connection refused; start it" in problem
                told = await handler.run(claim(), lambda _: None, Stop())
                assert told.outcome == CannotStart(problem)
                await web.listen()
                await eventually(lambda: handler.cannot_start() is None)
                assert (await handler.run(claim(), lambda _: None, Stop())).outcome == Succeeded(None)
                assert len(web.requests) == 1  # to look for it asks nothing

    on_loop(scene())


def test_who_finds_it_missing_looks_for_it(on_loop: OnLoop, tmp_path: Path) -> None:
    async def scene() -> None:
        path = str(tmp_path / "app.sock")
        async with handler_at(f"unix://{path}") as handler:
            assert handler.cannot_start() is None
            told = await handler.run(claim(), lambda _: None, Stop())
            assert isinstance(told.outcome, CannotStart)
            assert f"{path} could not be reached: No such file or directory" in told.outcome.error
            assert handler.cannot_start() == told.outcome.error
            async with web_server(socket=path):
                await eventually(lambda: handler.cannot_start() is None)

    on_loop(scene())


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..invalid", f"{'x' * 64}.invalid"])
def test_a_name_that_nobody_knows(on_loop: OnLoop, name: str) -> None:
    async def scene() -> None:
        async with handler_at(f"http://{name}/tasks") as handler:
            told = await handler.run(claim(), lambda _: None, Stop())
            assert isinstance(told.outcome, CannotStart)
            assert f"{name}:80 could not be reached: " in told.outcome.error
            assert "Unknown error" not in told.outcome.error

    on_loop(scene())


def test_a_name_server_that_does_not_answer_keeps_nobody_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads of a loop are joined when it ends."""
    look_up, enough, ended = socket.getaddrinfo, threading.Event(), threading.Event()

    def hang(host: Any, *rest: Any, flags: int = 0, **more: Any) -> Any:
        if not flags & socket.AI_NUMERICHOST:
            enough.wait(10)
            ended.set()
        return look_up(host, *rest, flags=flags, **more)

    async def scene() -> None:
        async with handler_at("http://slow.invalid/tasks") as handler:
            told = await handler.run(claim(), lambda _: None, Stop())
            assert isinstance(told.outcome, CannotStart)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(http, "ACCEPTED_WITHIN", 0.2)
    with asyncio.Runner() as runner:
        runner.run(scene())
    assert not ended.is_set()
    enough.set()


def test_one_that_speaks_no_tls(on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ACCEPTED_WITHIN", 0.5)

    async def scene() -> None:
        async with web_server() as web, handler_at(web.url.replace("http:", "https:")) as handler:
            told = await handler.run(claim(), lambda _: None, Stop())
            assert isinstance(told.outcome, CannotStart)
            assert web.requests == []

    on_loop(scene())


def test_tls_is_for_who_is_trusted(on_loop: OnLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("known", "stranger"):
        (tmp_path / name).mkdir()
    known = Authority(tmp_path / "known")
    monkeypatch.setenv("SSL_CERT_FILE", str(known.pem))

    async def scene() -> None:
        async with web_server(tls=known.server("127.0.0.1")) as web, handler_at(web.url) as handler:
            web.answer = chunks(RESULT)
            assert (await handler.run(claim(), lambda _: None, Stop())).outcome == Succeeded(1)
        stranger = Authority(tmp_path / "stranger").server("127.0.0.1")
        async with web_server(tls=stranger) as web, handler_at(web.url) as handler:
            told = await handler.run(claim(), lambda _: None, Stop())
            assert isinstance(told.outcome, CannotStart)
            assert "its certificate is not accepted" in told.outcome.error

    on_loop(scene())


def test_slow_to_accept(on_loop: OnLoop) -> None:
    """The system has the connection, and the server takes it when it can."""

    async def scene() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        async with handler_at(f"http://127.0.0.1:{listening.getsockname()[1]}/") as handler:
            attempt = asyncio.create_task(handler.run(claim(), lambda _: None, Stop()))
            done, _ = await asyncio.wait({attempt}, timeout=0.3)
            assert not done
            async with web_server(socket=listening) as web:
                web.answer = chunks(RESULT)
                assert (await attempt).outcome == Succeeded(1)

    on_loop(scene())


def test_one_that_accepts_nobody_costs_no_attempt(on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ACCEPTED_WITHIN", 0.3)

    async def scene() -> None:
        with closing(socket.socket()) as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            others = [socket.socket() for _ in range(4)]
            for other in others:
                other.setblocking(False)
                other.connect_ex(full.getsockname())
            async with handler_at(f"http://127.0.0.1:{full.getsockname()[1]}/") as handler:
                told = await handler.run(claim(), lambda _: None, Stop())
                assert isinstance(told.outcome, CannotStart)
                assert "did not accept a connection within 0.3 s" in told.outcome.error
            for other in others:
                other.close()

    on_loop(scene())


def test_variables_for_proxies_mean_nothing(on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    async def scene() -> None:
        async with served() as server:
            assert (await server.run()).outcome == Succeeded(None)

    on_loop(scene())


# -- time is up, or somebody asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [silence(), silence(BEGUN), silence(b"HTTP/1.1 200 OK\r\n"), endless_interim()])
def test_too_late(on_loop: OnLoop, answer: Answer) -> None:
    async def scene() -> None:
        async with served(timeout=0.3) as server:
            server.web.answer = answer
            ended = await server.run()
            assert ended.outcome == Failed(error="timed out after 0.3 s", error_type=ErrorType.TIMEOUT)
            await eventually(lambda: not server.web.open)

    on_loop(scene())


def test_the_tasks_own_timeout_comes_first(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served(timeout=0) as server:
            server.web.answer = silence()
            assert error_of(await server.run(timeout=0.2)) == "TimeoutError: timed out after 0.2 s"

    on_loop(scene())


def test_silence_is_a_stall_and_any_byte_is_none(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served(stall_timeout=1.5) as server:
            server.web.answer = chunks(*([b"x", 0.1] * 18), b"\n", RESULT)
            assert (await server.run()).outcome == Succeeded(1)
            server.web.answer = silence(BEGUN)
            assert error_of(await server.run()) == "Stalled: no message and no output for 1.5 s"

    on_loop(scene())


def test_input_that_nobody_reads(on_loop: OnLoop) -> None:
    """The connection is there, the request does not fit into it."""

    async def scene() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        async with handler_at(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=0.3) as handler:
            ended = await handler.run(claim(data="x" * 16 * MEBIBYTE), lambda _: None, Stop())
            assert ended.outcome == Failed(error="timed out after 0.3 s", error_type=ErrorType.TIMEOUT)
        listening.close()

    on_loop(scene())


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (StopReason.CANCEL, Cancelled()),
        (StopReason.SHUTDOWN, Interrupted()),
        (StopReason.DISOWNED, Disowned()),
    ],
)
@pytest.mark.parametrize("answer", [silence(), silence(BEGUN), silence(BEGUN + chunk(RESULT[:9]))])
def test_a_stop_closes_the_connection(on_loop: OnLoop, reason: StopReason, outcome: Any, answer: Answer) -> None:
    async def scene() -> None:
        async with served() as server:
            server.web.answer, stop = answer, Stop()
            attempt = asyncio.create_task(server.run(stop=stop))
            await server.web.wait_for(1)
            stop.request(reason)
            stop.hurry()
            assert (await attempt).outcome == outcome
            await eventually(lambda: not server.web.open)

    on_loop(scene())


def test_a_result_that_is_there_wins_over_a_cancel(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served() as server:
            stop = Stop()
            server.web.answer = silence(BEGUN + chunk(RESULT + line("log", message="and more")))
            attempt = asyncio.create_task(server.run(stop=stop))
            await eventually(lambda: server.progress)
            stop.request(StopReason.CANCEL)
            assert (await attempt).outcome == Succeeded(1)

    on_loop(scene())


def test_stopped_before_it_began(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served() as server:
            stop = Stop()
            stop.request(StopReason.SHUTDOWN)
            assert (await server.run(stop=stop)).outcome == Interrupted()
            assert server.web.connections == 0

    on_loop(scene())


def test_a_cancelled_coroutine_and_an_error_of_ours_leave_no_connection(on_loop: OnLoop) -> None:
    def broken(progress: Progress) -> None:
        raise LookupError(progress)

    async def scene() -> None:
        async with served() as server:
            server.web.answer = silence(BEGUN)
            attempt = asyncio.create_task(server.run())
            await eventually(lambda: server.progress)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            await eventually(lambda: not server.web.open)
            with pytest.raises(LookupError):
                await server.handler.run(claim(), broken, Stop())
            await eventually(lambda: not server.web.open)

    on_loop(scene())


# -- it dies in the middle --------------------------------------------------------------------------------------------


async def together(server: Served, count: int, gone: Callable[[], Any], **task: Any) -> list[Ended]:
    """So many tasks at once; when all have begun, this."""
    attempts = [asyncio.create_task(server.run(**task)) for _ in range(count)]
    await eventually(lambda: len(server.progress) == count)
    await gone()
    return await asyncio.gather(*attempts)


def test_a_server_that_dies_with_one_task_has_failed_it(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served() as server:
            server.web.answer = silence(BEGUN)
            (ended,) = await together(server, 1, server.web.close)
            assert error_of(ended).startswith(f"HandlerExit: 127.0.0.1:{server.web.port} {CLOSED}")
            assert log(ended) == ""

    on_loop(scene())


def test_a_server_that_dies_with_many_tasks_gives_each_back_once(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served() as server:
            server.web.answer = silence(BEGUN)
            for ended in await together(server, 3, server.web.close):
                assert isinstance(ended.outcome, Displaced)
                assert ended.outcome.suspect
                assert ended.outcome.error.startswith("with 3 tasks at once: ")
            await server.web.listen()
            server.progress.clear()
            for ended in await together(server, 3, server.web.close, crashes=1):
                assert error_of(ended).startswith("HandlerExit: ")

    on_loop(scene())


def test_only_those_that_break_off_together_do(on_loop: OnLoop) -> None:
    """One of several processes behind an address ends, and the tasks of the others go on."""

    async def scene() -> None:
        async with served() as server:
            died, last = asyncio.Event(), asyncio.Event()

            async def answer(request: Request, connection: Connection) -> None:
                of = request.json["task_id"]
                await {"t1": until(died), "t2": until(died), "t3": until(last)}.get(of, until(last, then=finish))(
                    request, connection
                )

            async def gone() -> None:
                died.set()
                await asyncio.sleep(2 * http.TOGETHER)
                last.set()

            server.web.answer = answer
            first, second, third, fourth = await together(server, 4, gone)
            assert isinstance(first.outcome, Displaced)
            assert isinstance(second.outcome, Displaced)
            assert error_of(third).startswith("HandlerExit: ")
            assert fourth.outcome == Succeeded(1)

    on_loop(scene())


def test_a_task_that_ran_alone_has_ended_the_server_itself(on_loop: OnLoop) -> None:
    """However soon after the one before it, which did so, too."""

    async def scene() -> None:
        async with served() as server:
            server.web.answer = raw(BEGUN)
            for _ in range(3):
                assert error_of(await server.run()).startswith("HandlerExit: ")

    on_loop(scene())


def test_half_a_result_of_a_server_that_dies_is_told(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served() as server:
            server.web.answer = silence(BEGUN + chunk(RESULT[:-3]))
            (ended,) = await together(server, 1, server.web.close)
            assert f"{CLOSED}; its result cannot be read (it is cut off after" in error_of(ended)

    on_loop(scene())


# -- too much of everything -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b'{"level": "info"}\n', b"x"])
def test_a_flood_needs_no_memory(on_loop: OnLoop, text: bytes) -> None:
    part = chunk(text * (MEBIBYTE // len(text)))

    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(head(200, {"Transfer-Encoding": "chunked"}))
        for _ in range(64):
            await connection.send(part)
        await connection.send(chunk(b"\n") + chunk(RESULT) + chunk(b""))

    async def scene() -> None:
        async with served() as server:
            server.web.answer = answer
            growth = peak_growth()
            ended = await server.run()
            assert growth() < 24 * MEBIBYTE
            assert ended.outcome == Succeeded(1)
            assert len(log(ended)) == 128 * 1024
            assert ended.report.log_dropped_bytes > 63 * MEBIBYTE

    on_loop(scene())


def test_a_body_without_end_ends_with_its_time_and_with_its_result(
    on_loop: OnLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_attempt, "ENDS_WITHIN", 0.2)

    async def scene() -> None:
        async with served(timeout=0.5) as server:
            server.web.answer = endless_body()
            assert error_of(await server.run()) == "TimeoutError: timed out after 0.5 s"
            server.web.answer = endless_body(chunk=RESULT, gap=0.05)
            assert (await server.run(timeout=60)).outcome == Succeeded(1)
            await eventually(lambda: not server.web.open)

    on_loop(scene())


def test_one_line_of_many_mebibytes_is_no_success(on_loop: OnLoop) -> None:
    async def scene() -> None:
        async with served() as server:
            server.web.answer = reply(body=line("result", result="x" * 8 * MEBIBYTE))
            assert "its result cannot be read (a line of more than 4 MiB" in error_of(await server.run())
            server.web.answer = reply(body=b"[" + b"1," * 4 * MEBIBYTE + b"1]")
            assert "more than max_result_bytes" in error_of(await server.run())

    on_loop(scene())


def test_a_head_without_end(on_loop: OnLoop) -> None:
    async def answer(request: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n")
        while not connection.gone:
            await connection.send(b"X-Filler: " + b"x" * 4096 + b"\r\n")

    async def scene() -> None:
        async with served() as server:
            server.web.answer = answer
            assert "something that is not HTTP" in error_of(await server.run())

    on_loop(scene())


def test_others_have_their_turn_while_an_answer_comes_in_tiny_parts(on_loop: OnLoop) -> None:
    """Each is parsed by itself: a server that writes byte by byte must not keep the loop from everybody else."""
    turns: list[int] = []  # parts that had come at each turn of another task
    parts = 0

    async def other() -> None:
        while True:
            turns.append(parts)
            await asyncio.sleep(0)

    async def scene() -> None:
        nonlocal parts
        async with served() as server:
            server.web.answer = raw(head(200, {"Transfer-Encoding": "chunked"}) + 50_000 * chunk(b"x") + chunk(b""))
            request = read_request(server.web.url, b"", {"content-length": "0"})
            exchange = await HttpExchange.opened(request, None, 10, Resolver(system_resolve))
            await exchange.post(request, b"")
            task = asyncio.create_task(other())
            async for _ in exchange.chunks():
                parts += 1
            task.cancel()
            await exchange.close()
        assert parts == 50_000
        assert max(after - before for before, after in pairwise(turns)) < 2000

    on_loop(scene())


def test_a_large_task_goes_in_pieces(on_loop: OnLoop) -> None:
    body = b'{"data":"' + b"x" * 3 * MEBIBYTE + b'\xc3\xa9"}'
    data = JsonText(Message(body=body), body.index(b":") + 1, len(body) - 1)

    async def scene() -> None:
        async with served() as server:
            assert (await server.run(data=data)).outcome == Succeeded(None)
            (request,) = server.web.requests
            assert request.json["data"] == "x" * 3 * MEBIBYTE + "é"
            assert int(request.headers["content-length"]) == len(request.body)

    on_loop(scene())


def test_an_answer_before_the_task_was_read(on_loop: OnLoop) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        await writer.drain()
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with handler_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as handler:
            ended = await handler.run(claim(data="x" * 16 * MEBIBYTE), lambda _: None, Stop())
            assert error_of(ended).startswith(("HandlerError: HTTP 413: no", "HandlerExit: "))  # as the system has it
        server.close()
        await server.wait_closed()

    on_loop(scene())


# -- two at one server ------------------------------------------------------------------------------------------------


def test_two_sidecars_at_one_server_each_have_their_own(on_loop: OnLoop) -> None:
    async def answer(request: Request, connection: Connection) -> None:
        name = request.json["task_id"]
        said = [line("progress", progress=50), line("result", result=name)]
        await chunks(said[0], 0.01, said[1])(request, connection)

    async def scene() -> None:
        async with web_server() as web, handler_at(web.url) as one, handler_at(web.url) as other:
            web.answer = answer
            names = [f"t{n}" for n in range(40)]
            ended = await asyncio.gather(
                *((one, other)[n % 2].run(claim(task_id=name), lambda _: None, Stop()) for n, name in enumerate(names))
            )
            assert [each.outcome for each in ended] == [Succeeded(name) for name in names]

    on_loop(scene())
