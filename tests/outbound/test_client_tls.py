"""TLS with certificates of our own authority."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from gridsidecar.outbound import NotSent
from tests.outbound.conftest import Connect
from tests.support.certificates import Authority
from tests.support.waiting import eventually
from tests.support.web import in_turn, raw, reply, silence, web_server


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted by the clients made in this test."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    return authority


def local(host: str) -> list[str]:
    return ["127.0.0.1"]


async def test_the_certificate_the_greeting_and_the_host_header_are_about_the_name(
    connect: Connect, authority: Authority
) -> None:
    asked: list[str | None] = []
    context = authority.server("hooks.example.org")
    context.sni_callback = lambda _, name, __: asked.append(name)
    async with web_server(tls=context) as web:
        client = connect(resolve=local)
        for host in ("hooks.example.org", "HOOKS.example.ORG."):
            assert (await client.post(f"https://{host}:{web.port}/", b"{}", {})).status == 200
            assert web.requests[-1].headers["host"] == f"hooks.example.org:{web.port}"
    assert asked == ["hooks.example.org", "hooks.example.org"]


async def test_a_certificate_for_another_name(connect: Connect, authority: Authority) -> None:
    async with web_server(tls=authority.server("other.example.org", "192.0.2.1")) as web:
        with pytest.raises(
            NotSent, match=r"did not finish the TLS handshake: its certificate is not accepted: .*mismatch"
        ):
            await connect(resolve=local).post(f"https://hooks.example.org:{web.port}/", b"{}", {})
        with pytest.raises(NotSent, match=r"its certificate is not accepted: .*mismatch"):
            await connect().post(web.url, b"{}", {})
        assert web.requests == []


async def test_an_unknown_authority(connect: Connect, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    async with web_server(tls=Authority(tmp_path / "stranger").server("127.0.0.1")) as web:
        with pytest.raises(NotSent, match="its certificate is not accepted: "):
            await connect().post(web.url, b"{}", {})
        assert web.requests == []


async def test_where_the_machine_trusts_nobody_the_public_authorities_are_known(
    connect: Connect, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    async with web_server(tls=authority.server("127.0.0.1")) as web:
        with pytest.raises(NotSent, match="its certificate is not accepted: "):
            await connect().post(web.url, b"{}", {})


async def test_a_handshake_that_hangs_is_left_in_time(connect: Connect, authority: Authority) -> None:
    async with web_server() as web:
        with pytest.raises(NotSent, match=r"did not finish the TLS handshake within 0\.4 s"):
            await connect(0.4).post(web.url.replace("http:", "https:"), b"{}", {})
        await eventually(lambda: web.connections == 1 and web.open == 0)


async def test_a_server_without_tls(connect: Connect, authority: Authority) -> None:
    async with web_server() as web:
        web.accepting = False
        with pytest.raises(NotSent, match="did not finish the TLS handshake: "):
            await connect().post(web.url.replace("http:", "https:"), b"{}", {})


async def test_a_server_that_wants_a_certificate_of_ours(connect: Connect, authority: Authority) -> None:
    context = authority.server("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.pem)
    async with web_server(tls=context) as web:
        with pytest.raises(NotSent, match=f"^127.0.0.1:{web.port} did not "):
            await connect().post(web.url, b"{}", {})


async def test_a_connection_that_ends_with_the_body_is_not_used_again(connect: Connect, authority: Authority) -> None:
    async with web_server(tls=authority.server("127.0.0.1")) as web:
        web.answer = in_turn(raw(b"HTTP/1.1 200 OK\r\n\r\nto the end"), reply(202))
        client = connect()
        assert (await client.post(web.url, b"{}", {})).text == "to the end"
        assert (await client.post(web.url, b"{}", {})).status == 202


async def test_time_out_over_tls(connect: Connect, authority: Authority) -> None:
    async with web_server(tls=authority.server("127.0.0.1")) as web:
        web.answer = silence()
        with pytest.raises(NotSent, match=r"did not reply within 0\.5 s"):
            await connect(0.5).post(web.url, b"{}", {})
        await eventually(lambda: web.open == 0)
