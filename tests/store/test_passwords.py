"""Who gets the database's password: a false server on the way must not, unless the URL leaves it to chance."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiomysql
import pytest

from gridsidecar.errors import AccessRefused
from gridsidecar.store.mysql import connection
from tests.conftest import execute_on_server
from tests.store.adversary import KeyServer
from tests.store.direct import Direct, changed
from tests.store.workers import open_store
from tests.support.certificates import Authority

PASSWORD = "s3cret-w0rd"
WARNING = "the database's password is not protected on its way"
BEYOND_ASCII = ["Grüße", "密码-€"]
SHA2 = (b"caching_sha2_password", b"sha256_password")


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("gridsidecar"), "propagate", True)
    monkeypatch.setattr(connection, "_warned", connection._warned.__class__())
    caplog.set_level("WARNING", "gridsidecar")


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return [record.message for record in caplog.records].count(WARNING)


@pytest.mark.parametrize("by_switch", [False, True], ids=["at once", "by a switch"])
@pytest.mark.parametrize("plugin", SHA2, ids=["caching_sha2", "sha256"])
async def test_a_plain_url_goes_on_and_says_once_what_that_means(
    caplog: pytest.LogCaptureFixture, plugin: bytes, by_switch: bool
) -> None:
    server = KeyServer(plugin, by_switch=by_switch)
    async with server.running():
        for _ in range(2):
            server.learned = b""
            with pytest.raises(AccessRefused, match="error 1045"):
                await open_store(f"mysql://root:{PASSWORD}@127.0.0.1:{server.port}/x")
            assert server.learned == PASSWORD.encode(), "today's users could not log in any more"
    assert warnings(caplog) == 1
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("password", BEYOND_ASCII)
@pytest.mark.parametrize("plugin", SHA2, ids=["caching_sha2", "sha256"])
async def test_a_server_gets_it_as_utf_8(plugin: bytes, password: str) -> None:
    server = KeyServer(plugin, by_switch=False)
    async with server.running():
        with pytest.raises(AccessRefused, match="error 1045"):
            await open_store(f"mysql://root:{quote(password)}@127.0.0.1:{server.port}/x")
        assert server.learned == password.encode()


@pytest.mark.parametrize("plugin", SHA2, ids=["caching_sha2", "sha256"])
async def test_who_switched_tls_off_need_not_be_told(caplog: pytest.LogCaptureFixture, plugin: bytes) -> None:
    server = KeyServer(plugin, by_switch=False)
    async with server.running():
        with pytest.raises(AccessRefused, match="error 1045"):
            await open_store(f"mysql://root:{PASSWORD}@127.0.0.1:{server.port}/x?ssl_mode=disabled")
    assert server.learned == PASSWORD.encode()
    assert warnings(caplog) == 0


@pytest.mark.parametrize("mode", ["required", "verify_ca", "verify_identity"])
@pytest.mark.parametrize("by_switch", [False, True], ids=["at once", "by a switch"])
@pytest.mark.parametrize("plugin", SHA2, ids=["caching_sha2", "sha256"])
async def test_with_tls_asked_for_no_key_in_clear_is_taken(plugin: bytes, by_switch: bool, mode: str) -> None:
    server = KeyServer(plugin, by_switch=by_switch)
    async with server.running():
        with pytest.raises(AccessRefused, match="offers no TLS"):
            await open_store(f"mysql://root:{PASSWORD}@127.0.0.1:{server.port}/x?ssl_mode={mode}")
    assert server.learned == server.heard == b""


async def test_a_key_is_refused_whatever_way_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the first door is a second one: should the client ever take a connection that is not encrypted."""
    server = KeyServer(b"caching_sha2_password", by_switch=False)
    guarded = connection._GuardedConnection
    monkeypatch.setattr(guarded, "_request_authentication", aiomysql.Connection._request_authentication)
    async with server.running():
        with pytest.raises(AccessRefused, match="a key that it sent in clear"):
            await open_store(f"mysql://root:{PASSWORD}@127.0.0.1:{server.port}/x?ssl_mode=required")
    assert server.learned == b""


PROCESS = """
import asyncio, sys
from gridsidecar.config.settings import StoreSettings
from gridsidecar.errors import AccessRefused
from gridsidecar.store import make_store

async def main():
    store = make_store(StoreSettings(url=sys.argv[1]), "tasks")
    try:
        await store.open(migrate=True)
    except AccessRefused:
        print("refused")
    await store.close()
    print("loaded" if "cryptography" in sys.modules else "not loaded")

asyncio.run(main())
"""


async def in_a_process(url: str) -> list[str]:
    """What a process says that opens a store, in which nothing else has loaded anything."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, url, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[2]
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode().split("\n")[:-1]


async def test_a_login_by_digest_loads_no_cryptography(mysql_url: str) -> None:
    assert await in_a_process(mysql_url) == ["not loaded"]


@pytest.mark.parametrize("plugin", SHA2, ids=["caching_sha2", "sha256"])
async def test_a_key_to_encrypt_by_loads_it(plugin: bytes) -> None:
    server = KeyServer(plugin, by_switch=False)
    async with server.running():
        said = await in_a_process(f"mysql://root:{PASSWORD}@127.0.0.1:{server.port}/x")
    assert said == ["refused", "loaded"]
    assert server.learned == PASSWORD.encode()


# -- with TLS ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def encrypted(context: ssl.SSLContext) -> AsyncIterator[tuple[int, bytearray]]:
    """A server that begins TLS, and what a client tells it inside."""
    heard = bytearray()
    greeting = bytearray(KeyServer(b"caching_sha2_password", by_switch=False)._greeting())
    greeting[greeting.index(b"saltsalt\0") + 10] |= 0x08  # CLIENT_SSL, in the second byte of the capabilities

    def serve() -> None:
        with suppress(OSError), listener.accept()[0] as client:
            client.settimeout(10)
            client.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            client.recv(36, socket.MSG_WAITALL)  # what asks for TLS
            with context.wrap_socket(client, server_side=True) as inside:
                heard.extend(inside.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        serving = asyncio.create_task(asyncio.to_thread(serve))
        yield listener.getsockname()[1], heard
        await serving


@pytest.mark.parametrize("mode", ["verify_ca", "verify_identity"])
async def test_a_certificate_that_nobody_vouches_for_ends_it_before_the_login(tmp_path: Path, mode: str) -> None:
    async with encrypted(Authority(tmp_path).server("127.0.0.1")) as (port, heard):
        with pytest.raises(AccessRefused, match=r"certificate that is not trusted.*ssl_ca"):
            await open_store(f"mysql://root:{PASSWORD}@127.0.0.1:{port}/x?ssl_mode={mode}")
    assert heard == b""


async def test_a_certificate_of_another_host_ends_it_before_the_login(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with encrypted(authority.server("elsewhere.example")) as (port, heard):
        with pytest.raises(AccessRefused, match="certificate that is not trusted"):
            await open_store(f"mysql://root:{PASSWORD}@127.0.0.1:{port}/x?ssl_ca={authority.pem}")
    assert heard == b""


# -- a real server ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", BEYOND_ASCII)
async def test_it_may_have_any_characters(mysql_url: str, mysql_server_url: str, password: str) -> None:
    name = f"gs_{secrets.token_hex(4)}"
    parts = urlsplit(mysql_url)
    execute_on_server(mysql_server_url, f"create user '{name}'@'%' identified by '{password}'")
    execute_on_server(mysql_server_url, f"grant all on {parts.path[1:]}.* to '{name}'@'%'")
    try:
        login = f"{name}:{quote(password)}@{parts.hostname}:{parts.port}"
        store = await open_store(changed(mysql_url, netloc=login))
        await store.close()
    finally:
        execute_on_server(mysql_server_url, f"drop user '{name}'@'%'")


async def test_a_plain_url_logs_in_where_the_server_keeps_passwords_by_its_own_default(
    mysql_url: str, mysql_server_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """MySQL asks for its key's sake when it does not know the user yet; MariaDB has no such plugin."""
    name = f"gs_{secrets.token_hex(4)}"
    parts = urlsplit(mysql_url)
    execute_on_server(mysql_server_url, f"create user '{name}'@'%' identified by '{PASSWORD}'")
    execute_on_server(mysql_server_url, f"grant all on {parts.path[1:]}.* to '{name}'@'%'")
    try:
        (row,) = Direct(mysql_url).run("select plugin from mysql.user where user = ?", name)
        store = await open_store(changed(mysql_url, netloc=f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}"))
        await store.close()
        assert warnings(caplog) == int(row["plugin"].encode() in SHA2)
    finally:
        execute_on_server(mysql_server_url, f"drop user '{name}'@'%'")
