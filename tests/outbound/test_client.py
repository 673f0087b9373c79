"""Posts to a real server, however it behaves."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gridsidecar import __version__
from gridsidecar.outbound import NotSent, Reply
from tests.outbound.conftest import Connect
from tests.support.waiting import eventually
from tests.support.web import Connection, Web, endless_body, endless_interim, in_turn, raw, reply, silence, slow_headers


async def test_a_post_arrives_as_it_was_given(connect: Connect, web: Web) -> None:
    web.answer = reply(201, body=b"th\xc3\xa4nks")
    got = await connect().post(
        f"{web.url}/hook/a%2Fb?x=1&y=%20z#part", b'{"a": 1}', {"Content-Type": "application/json"}
    )
    assert got == Reply(201, None, "thänks")
    (request,) = web.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook/a%2Fb?x=1&y=%20z", b'{"a": 1}')
    assert request.headers == {
        "host": f"127.0.0.1:{web.port}",
        "user-agent": f"gridsidecar/{__version__}",
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": "8",
        "content-type": "application/json",
    }


async def test_user_and_password_of_the_url_become_a_login(connect: Connect, web: Web) -> None:
    await connect().post(web.url.replace("://", "://user:p%40ss@"), b"", {})
    await connect().post(web.url.replace("://", "://user:p%40ss@"), b"", {"Authorization": "Bearer x"})
    assert [request.headers["authorization"] for request in web.requests] == ["Basic dXNlcjpwQHNz", "Bearer x"]


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 410, 429, 500, 503, 599])
async def test_every_status_is_a_reply(connect: Connect, web: Web, status: int) -> None:
    web.answer = reply(status)
    assert (await connect().post(web.url, b"{}", {})).status == status


async def test_a_redirect_is_not_followed(connect: Connect, web: Web) -> None:
    web.answer = reply(307, {"Location": f"{web.url}/elsewhere"})
    assert (await connect().post(web.url, b"{}", {})).status == 307
    assert len(web.requests) == 1


@pytest.mark.parametrize("target", ["http://[", "//[::1/x", "https://host:port/", "\u00e4" * 10])
async def test_where_a_redirect_leads_is_not_even_read(connect: Connect, web: Web, target: str) -> None:
    web.answer = reply(302, {"Location": target}, b"gone")
    client = connect()
    for _ in range(2):  # by a kept connection too
        assert await client.post(web.url, b"{}", {}) == Reply(302, None, "gone")
    assert (web.connections, len(web.requests)) == (1, 2)


async def test_cookies_are_not_kept(connect: Connect, web: Web) -> None:
    web.answer = reply(200, {"Set-Cookie": "a=b; Path=/"})
    client = connect()
    for _ in range(2):
        await client.post(web.url, b"{}", {})
    assert [request.headers.get("cookie") for request in web.requests] == [None, None]


async def test_a_packed_body_is_not_unpacked(connect: Connect, web: Web) -> None:
    web.answer = reply(200, {"Content-Encoding": "gzip"}, gzip.compress(b"x" * 50_000_000, 1))
    got = await connect().post(web.url, b"{}", {})
    assert (got.status, got.text[0], "xxx" in got.text) == (200, "\x1f", False)


async def test_retry_after_in_both_forms(connect: Connect, web: Web) -> None:
    client = connect()
    web.answer = reply(429, {"Retry-After": "7"})
    assert (await client.post(web.url, b"{}", {})).retry_after == 7
    web.answer = reply(503, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)})
    assert (await client.post(web.url, b"{}", {})).retry_after == pytest.approx(120, abs=15)


async def test_connections_are_kept(connect: Connect, web: Web) -> None:
    client = connect()
    for _ in range(3):
        await client.post(web.url, b"{}", {})
    assert (web.connections, len(web.requests)) == (1, 3)
    await client.close()
    await eventually(lambda: web.open == 0)
    with pytest.raises(NotSent, match="about to stop"):
        await client.post(web.url, b"{}", {})


async def test_a_kept_connection_that_has_ended_does_not_count_against_the_receiver(connect: Connect, web: Web) -> None:
    web.answer = in_turn(reply(), raw(b""), reply(202))
    client = connect()
    await client.post(web.url, b"first", {})
    assert (await client.post(web.url, b"second", {})).status == 202
    assert [(request.body, request.connection) for request in web.requests] == [
        (b"first", 1),
        (b"second", 1),
        (b"second", 2),
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "did not reply: "),
        (b"\r\n", "did not reply: "),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000, "did not reply: it sent more than 256 KiB"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answered with something that is not HTTP: 'SSH-2.0-OpenSSH_9.2'$"),
        (b"OK", "answered with something that is not HTTP: 'OK'$"),
        (b"HTTP/1.1 20", "answered with something that is not HTTP: "),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "answered with something that is not HTTP: "),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n",
            "answered with something that is not HTTP: .*101 Switching'$",
        ),
        (b"\xff\x00" * 5000, "answered with something that is not HTTP: "),
    ],
)
async def test_what_is_no_http_is_no_reply(connect: Connect, web: Web, said: bytes, told: str) -> None:
    web.answer = raw(said)
    with pytest.raises(NotSent, match=f"^127.0.0.1:{web.port} {told}") as caught:
        await connect().post(web.url, b"{}", {})
    assert len(str(caught.value)) < 300
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("/hook?sig=a%2Fb&x=%7E", "/hook?sig=a%2Fb&x=%7E"),
        ("/%41%3A", "/%41%3A"),
        ("/a/../b/./c//d?", "/a/../b/./c//d?"),
        ("?a=%2f&b=1+2&b=[]:@!$'()*,;~&c=100%", "/?a=%2f&b=1+2&b=[]:@!$'()*,;~&c=100%"),
        ("/ü ber?q=中 文#part", "/%C3%BC%20ber?q=%E4%B8%AD%20%E6%96%87"),
        ('/a"<>|{}?x=^`\\', "/a%22%3C%3E%7C%7B%7D?x=%5E%60%5C"),
        ("", "/"),
    ],
)
async def test_a_url_is_sent_as_it_is_written(connect: Connect, web: Web, sent: str, arrives: str) -> None:
    assert (await connect().post(f"http://127.0.0.1:{web.port}{sent}", b"{}", {})).status == 200
    assert web.requests[0].path == arrives


SLOPPY = {
    "a space before the colon": b"HTTP/1.1 202 OK\r\nX-Foo : bar\r\nRetry-After : 7\r\nContent-Length : 2\r\n\r\nok",
    "no colon": b"HTTP/1.1 202 OK\r\nwhatever\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nok",
    "small letters": b"http/1.1 202 OK\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nok",
    "blank lines before it": b"\r\n\nHTTP/1.1 202 OK\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nok",
    "bare newlines": b"HTTP/1.1 202 OK\nRetry-After: 7\nContent-Length: 2\n\nok",
    "more spaces": b"HTTP/1.1   202\tOK\r\n Retry-After:  7\r\nContent-Length: 2\r\n\r\nok",
    "a version of its own": b"HTTP/2 202\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nok",
    "bytes that no header has": b"HTTP/1.1 202 O\x00K\r\nX Y: 1\r\n\xff: 2\r\nZ: \x00\x0bb\r\nRetry-After: 7\r\n\r\nok",
    "lengths that differ": b"HTTP/1.1 202 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\nRetry-After: 7\r\n\r\nok",
    "no length": b"HTTP/1.1 202 OK\r\nContent-Length: -\r\nRetry-After: 7\r\n\r\nok",
    "an unknown coding": b"HTTP/1.1 202 OK\r\nTransfer-Encoding: identity\r\nRetry-After: 7\r\n\r\nok",
    "chunked twice": b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n"
    b"Retry-After: 7\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "folded lines": b"HTTP/1.1 202 OK\r\nnothing\r\n X: 1\r\nRetry-After:\r\n 7\r\nContent-Length: 2\r\n\r\nok",
    "behind an interim reply": b"HTTP/1.1 103 Early\r\nX : y\r\n\r\n\r\nHTTP/1.1 202 OK\r\nRetry-After : 7\r\n\r\nok",
}


@pytest.mark.parametrize("said", SLOPPY.values(), ids=SLOPPY)
@pytest.mark.parametrize("piece", [1, 100_000])
async def test_a_sloppy_reply_counts(connect: Connect, web: Web, said: bytes, piece: int) -> None:
    async def answer(_: object, connection: Connection) -> None:
        for at in range(0, len(said), piece):
            await connection.send(said[at : at + piece])
            await asyncio.sleep(0)
        connection.end()

    web.answer = answer
    assert await connect().post(web.url, b"{}", {}) == Reply(202, 7, "ok")
    assert len(web.requests) == 1


@pytest.mark.parametrize("said", [b"HTTP/1.1 202 OK\r\n", b"HTTP/1.1 202\nX: y\r\nZ", b"HTTP/1.1 202 OK\r\n\r"])
async def test_a_reply_that_ends_below_its_status_line_counts(connect: Connect, web: Web, said: bytes) -> None:
    web.answer = raw(said)
    assert await connect().post(web.url, b"{}", {}) == Reply(202, None, "")
    assert len(web.requests) == 1


async def test_a_sloppy_reply_keeps_its_connection(connect: Connect, web: Web) -> None:
    said = b"\r\nHTTP/1.1 202 OK\r\nX-Foo : bar\r\nContent-Length : 2\r\n\r\nok"
    web.answer = lambda _, connection: connection.send(said)
    client = connect()
    for _ in range(3):
        assert await client.post(web.url, b"{}", {}) == Reply(202, None, "ok")
    assert (web.connections, len(web.requests)) == (1, 3)


async def test_a_server_that_closes_at_once(connect: Connect, web: Web) -> None:
    web.accepting = False
    with pytest.raises(NotSent, match="did not reply"):
        await connect().post(web.url, b"{}", {})


async def test_nobody_listens(connect: Connect, web: Web) -> None:
    await web.close()
    with pytest.raises(NotSent, match=f"^127.0.0.1:{web.port} could not be reached: Connection refused$"):
        await connect().post(web.url, b"{}", {})


async def test_no_such_name(connect: Connect) -> None:
    with pytest.raises(NotSent, match=r"^nobody\.invalid cannot be resolved: "):
        await connect().post("http://nobody.invalid/", b"{}", {})


@pytest.mark.alone
async def test_interim_replies_without_end_keep_nobody_busy(connect: Connect, web: Web) -> None:
    web.answer = endless_interim()
    client = connect(timeout=20)
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    with pytest.raises(NotSent, match="no end of a reply"):
        await client.post(web.url, b"{}", {})
    watching.cancel()
    assert time.monotonic() - began < 15
    assert longest < 1.0


@pytest.mark.parametrize("answer", [silence(), silence(b"HTTP/1.1 200 OK\r\n"), slow_headers(0.05)])
async def test_headers_must_come_in_time(connect: Connect, web: Web, answer: object) -> None:
    web.answer = answer  # type: ignore[assignment]
    client = connect(0.5)
    await client.open()  # which is not the receiver's time
    with pytest.raises(NotSent, match=f"^127.0.0.1:{web.port} did not reply within 0.5 s$"):
        await client.post(web.url, b"{}", {})
    await eventually(lambda: web.open == 0)


async def test_many_slow_receivers_hold_up_nobody_else(connect: Connect, web: Web) -> None:
    client = connect(3)
    web.answer = silence()
    slow = [asyncio.ensure_future(client.post(web.url, b"{}", {})) for _ in range(50)]
    await web.wait_for(50)
    web.answer = reply()
    assert (await client.post(web.url, b"{}", {})).status == 200
    assert {type(end) for end in await asyncio.gather(*slow, return_exceptions=True)} == {NotSent}
    assert (await client.post(web.url, b"{}", {})).status == 200
    await eventually(lambda: web.open <= 1)


async def test_a_body_that_never_ends_fills_no_memory(connect: Connect, web: Web) -> None:
    web.answer = endless_body(chunk=b"x" * 1000)
    got = await connect().post(web.url, b"{}", {})
    assert got == Reply(200, None, "x" * 65536)
    await eventually(lambda: web.open == 0)


async def test_a_slow_body_costs_a_moment_and_nothing_else(connect: Connect, web: Web) -> None:
    web.answer = endless_body(202, chunk=b"x", gap=0.05)
    began = time.monotonic()
    got = await connect(60).post(web.url, b"{}", {})
    assert time.monotonic() - began < 30
    assert got.status == 202
    assert got.text.startswith("xx")
    await eventually(lambda: web.open == 0)


async def test_a_body_that_breaks_off_leaves_the_status(connect: Connect, web: Web) -> None:
    web.answer = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    assert await connect().post(web.url, b"{}", {}) == Reply(200, None, "only this")


async def test_the_time_limit_ends_the_body_too(connect: Connect, web: Web) -> None:
    web.answer = endless_body(chunk=b"x", gap=0.05)
    client = connect(0.5)
    await client.open()
    got = await client.post(web.url, b"{}", {})
    assert got.status == 200
    assert len(got.text) < 20  # the grace alone, 2 s, would have let through 40


async def test_a_post_that_is_cancelled_leaves_nothing_open(connect: Connect, web: Web) -> None:
    web.answer = silence()
    post = asyncio.ensure_future(connect().post(web.url, b"{}", {}))
    await web.wait_for(1)
    post.cancel()
    with pytest.raises(asyncio.CancelledError):
        await post
    await eventually(lambda: web.open == 0)


async def test_a_proxy_of_the_environment_is_not_used(
    connect: Connect, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await connect().post(web.url, b"{}", {})).status == 200


async def test_errors_tell_only_host_and_port(connect: Connect, web: Web) -> None:
    web.answer = silence()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for port in (web.port, closed.getsockname()[1]):
            for scheme in ("http", "https"):
                with pytest.raises(NotSent) as caught:
                    await connect(0.3).post(
                        f"{scheme}://me:pa55@127.0.0.1:{port}/hook/KEY?token=T0", b"B0DY", {"x": "H"}
                    )
                assert f"127.0.0.1:{port} " in str(caught.value)
                for secret in ("me:", "pa55", "KEY", "T0", "B0DY"):
                    assert secret not in str(caught.value)


async def test_a_header_that_cannot_be_sent(connect: Connect, web: Web) -> None:
    with pytest.raises(NotSent, match=r"did not reply: a header of the request is not valid$"):
        await connect().post(web.url, b"{}", {"X-Key": "S3CRET\r\nX-Other: 1"})
    assert web.requests == []


async def test_a_machine_that_has_no_thread_left_for_a_while(connect: Connect, web: Web) -> None:
    loop, full = asyncio.get_running_loop(), ThreadPoolExecutor()
    full.shutdown()
    loop.set_default_executor(full)
    client, never_opened = connect(), connect()
    for each in (client, client, never_opened):
        with pytest.raises(NotSent, match=r"was not contacted: cannot schedule new futures"):
            await each.post(web.url, b"{}", {})
    loop.set_default_executor(ThreadPoolExecutor())
    assert (await client.post(web.url, b"{}", {})).status == 200
