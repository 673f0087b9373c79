"""The server itself: bad requests, slow clients, paths, servers behind it that are away, its end."""

from __future__ import annotations

import asyncio
import resource
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gridsidecar.clock import SystemClock
from gridsidecar.config.http import HttpSettings
from gridsidecar.config.settings import Settings
from gridsidecar.http import ApiServer, limits, server
from gridsidecar.http.server import CannotListen
from tests.http.conftest import Serve, Served, problem


async def raw(api: Served, sent: bytes, wait: float = 5.0) -> bytes:
    """What comes back for these bytes until the server closes."""
    parts = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(sent)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(), wait)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/pages", 404), ("/v1", 404), ("/v1/", 404), ("/v1/tasks/", 404), ("/v1/workers/", 404), ("/v2/tasks", 404)],
)
async def test_paths_that_are_not_there(api: Served, path: str, expected: int) -> None:
    assert problem(await api.get(path)) == (expected, "unknown-path")


async def test_methods_that_are_not_there(api: Served) -> None:
    for method, path, allowed in (("DELETE", "/v1/tasks/t", "GET, HEAD"), ("GET", "/v1/tasks/t/cancel", "POST")):
        refused = await api.client.request(method, path)
        assert problem(refused) == (405, "method")
        assert refused.headers["allow"] == allowed


@pytest.mark.parametrize(
    "query", ["x=1", "limit=0", "limit=201", "limit=1&limit=2", "limit=%00", "limit=1.5", "limit="]
)
async def test_parameters_that_cannot_be(api: Served, query: str) -> None:
    assert problem(await api.get(f"/v1/operations?{query}")) == (400, "bad-request")


async def test_a_path_that_is_no_utf8(api: Served) -> None:
    assert problem(await api.get("/v1/tasks/%ff")) == (400, "bad-request")


async def test_below_a_base_path_and_behind_a_proxy_that_takes_it_away(serve: Serve) -> None:
    async with serve(base_path="/queue") as api:
        assert (await api.get("/queue/v1/workers")).status_code == 200
        assert (await api.get("/v1/workers")).status_code == 200
        assert problem(await api.get("/queuev1/workers")) == (404, "unknown-path")


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"GET /v1/workers HTTP/1.1\r\n\r\n",  # no Host
        b"GET /v1/workers HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000,
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
)
async def test_requests_that_are_none(api: Served, sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert b" 4" in (await raw(api, sent)).partition(b"\r\n")[0]
    assert (await api.get("/v1/workers")).status_code == 200
    assert capfd.readouterr().err == ""


async def test_clients_that_never_send_their_request(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_TIME", 0.3)
    for sent in (
        b"",
        b"GET /v1/workers HTT",
        b"GET /v1/workers HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/workers HTTP/1.1\r\nHost: loc",
    ):
        assert (await raw(api, sent)).count(b"HTTP/1.1 200") == sent.count(b"\r\n\r\n")


async def test_a_body_that_does_not_come(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridsidecar.http.call.BODY_TIME", 0.3)
    head = (
        b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    parts = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(head + b"Content-Length: 50\r\n\r\n{")
    assert b"408" in await asyncio.wait_for(reader.readline(), 30)
    writer.close()


async def test_servers_that_are_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    settings = Settings.model_validate(
        {
            "broker": {"url": f"amqp://guest:guest@127.0.0.1:{port}/"},
            "store": {"url": f"mysql://root@127.0.0.1:{port}/x"},
            "handlers": {"default": {"command": ["true"]}},
            "http": {"listen": "127.0.0.1:0"},
        }
    )
    away = ApiServer(settings, SystemClock())
    away.start()
    async with httpx.AsyncClient(base_url=away.url) as client:
        for path in ("/v1/workers", "/v1/queues", "/v1/tasks/t", "/v1/tasks/t/events"):
            answer = await client.get(path)
            assert problem(answer) == (503, "unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert "guest:guest" not in answer.text
    await away.stop(1.0)


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings.model_validate(
            {
                "broker": {"url": "sqlite:///b.db"},
                "store": {"url": "sqlite:///b.db"},
                "handlers": {"default": {"command": ["true"]}},
                "http": {"listen": f"127.0.0.1:{taken.getsockname()[1]}"},
            }
        )
        with pytest.raises(CannotListen, match="Address already in use"):
            ApiServer(settings, SystemClock())


async def test_head(api: Served) -> None:
    answer = await api.client.head("/v1/workers")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_more_connections_than_there_may_be(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds some without asking anything keeps nobody out."""
    monkeypatch.setattr(server, "most_connections", lambda: 20)
    async with serve() as api:
        parts = urlsplit(api.url)
        held = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(40)]
        for _, writer in held:
            writer.write(b"GET /livez HT")
        for _ in range(3):
            async with httpx.AsyncClient() as probe:
                assert (await probe.get(f"{api.url}/livez")).status_code == 200
        for _, writer in held:
            writer.close()


def test_connections_leave_files_to_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    for files, connections in ((1024, 384), (100, 16), (1_048_576, 1200)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert limits.most_connections() == connections
        assert limits.most_streams() < connections


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
async def test_a_request_that_is_answered_and_never_ends(
    api: Served, monkeypatch: pytest.MonkeyPatch, framing: bytes
) -> None:
    monkeypatch.setattr(server, "REQUEST_TIME", 0.5)
    parts = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n1\r\n")

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    assert b"200 OK" in await asyncio.wait_for(reader.readline(), 30)
    try:
        await asyncio.wait_for(reader.read(), 30)
    except ConnectionResetError:
        pass
    finally:
        dripping.cancel()
        writer.close()


@pytest.mark.parametrize("where", ["header", "path", "query"])
async def test_headers_that_are_too_large_in_one_piece(api: Served, where: str) -> None:
    long = b"y" * 40_000
    path = {"header": b"/v1/workers", "path": b"/v1/tasks/" + long, "query": b"/v1/tasks?type=" + long}[where]
    more = b"X: " + long + b"\r\n" if where == "header" else b""
    told = await raw(api, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + more + b"\r\n")
    assert told.startswith(b"HTTP/1.1 431 "), told[:200]
    assert b"urn:gridsidecar:problem:headers-too-large" in told
    assert (await api.get("/v1/workers")).status_code == 200


async def test_members_that_come_twice(api: Served) -> None:
    for path, body in (
        ("/v1/tasks/cancel", b'{"filter": {"all": true}, "dry_run": true, "dry_run": false}'),
        ("/v1/tasks/cancel", b'{"filter": {"type": "a", "type": "b"}, "dry_run": true}'),
        ("/v1/tasks", b'{"task_id": "t", "data": [{"a": 1, "a": 2}]}'),
    ):
        told = await api.client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert problem(told) == (400, "bad-request")
        assert "more than once" in told.json()["detail"]


async def test_it_describes_itself(api: Served) -> None:
    told = await api.get("/v1/openapi.yaml")
    assert (told.status_code, told.headers["content-type"]) == (200, "application/yaml")
    assert told.text == (Path(__file__).parents[2] / "protocol" / "openapi.yaml").read_text()


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0"])
def test_no_part_of_an_answer_waits_for_an_acknowledgement(address: str) -> None:
    with server.listen(HttpSettings(listen=address)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
