"""TLS on a real RabbitMQ and a real MySQL-family server, which both want certificates of their clients."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from gridsidecar.broker import make_broker
from gridsidecar.config.settings import BrokerSettings, StoreSettings
from gridsidecar.errors import AccessRefused, BrokerUnavailable, StoreUnavailable
from gridsidecar.store import make_store
from gridsidecar.telemetry import Readiness
from tests.conftest import execute_on_server
from tests.e2e.conftest import Start, start
from tests.support.certificates import Authority, Files
from tests.support.place import Place
from tests.support.servers import MySQL, RabbitMQ, free_port
from tests.support.services import private_mysql, private_rabbitmq
from tests.support.waiting import eventually

__all__ = ["start"]

LOGIN = "tls:s3cret-w0rd"
NAME = "localhost"


class Guarded(Protocol):
    """A server behind TLS. `reread` makes it read its files again, `cut` ends the connections that it has."""

    def url(self, host: str, options: str) -> str: ...

    def opened(self, url: str) -> Any: ...

    def reread(self) -> None: ...

    def cut(self) -> None: ...


class Certificates:
    """What lies in one folder under fixed names, as a deployment mounts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self.ca = folder / "ca.pem"
        self.server = (folder / "server.pem", folder / "server.key")
        self.client = Files(folder / "client.pem", folder / "client.key")
        self.spoiled = False
        self.issue()

    def issue(self, *names: str, days: float = 1) -> Authority:
        """New ones, by a new authority."""
        authority = Authority(self.folder / secrets.token_hex(4))
        authority.files(*(names or (NAME,)), days=days, into=self.server)
        authority.files("client", into=self.client)
        draft = self.folder / "draft"
        shutil.copy(authority.pem, draft)
        draft.chmod(0o644)
        draft.replace(self.ca)
        return authority

    @property
    def all(self) -> str:
        return f"ssl_ca={self.ca}&ssl_cert={self.client.cert}&ssl_key={self.client.key}"


class Rabbit:
    def __init__(self, server: RabbitMQ, port: int) -> None:
        self.server, self.port = server, port

    def url(self, host: str, options: str) -> str:
        return f"amqps://guest:guest@{host}:{self.port}/%2F?{options}"

    @asynccontextmanager
    async def opened(self, url: str) -> AsyncIterator[None]:
        broker = make_broker(BrokerSettings(url=url, queue="tls"), Readiness())
        try:
            await broker.open()
            yield
        finally:
            await broker.close()

    def reread(self) -> None:
        self.server.control("eval", "ssl:clear_pem_cache().")

    def cut(self) -> None:
        self.server.control("close_all_connections", "renewed")


class Maria:
    def __init__(self, server: MySQL) -> None:
        self.server = server
        execute_on_server(server.url, "create database tls")
        execute_on_server(server.url, "create user tls identified by 's3cret-w0rd' require x509")
        execute_on_server(server.url, "grant all on *.* to tls")

    def url(self, host: str, options: str) -> str:
        return f"mysql://{LOGIN}@{host}:{self.server.port}/tls?{options}"

    @asynccontextmanager
    async def opened(self, url: str) -> AsyncIterator[None]:
        store = make_store(StoreSettings(url=url), "q")
        try:
            await store.open()
            yield
        finally:
            await store.close()

    def reread(self) -> None:
        execute_on_server(self.server.url, "flush ssl")

    def cut(self) -> None:
        execute_on_server(self.server.url, "kill user tls")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def rabbit(certificates: Certificates) -> Iterator[Rabbit]:
    port, (cert, key) = free_port(), certificates.server
    conf = [
        f"listeners.ssl.default = 127.0.0.1:{port}",
        f"ssl_options.cacertfile = {certificates.ca}",
        f"ssl_options.certfile = {cert}",
        f"ssl_options.keyfile = {key}",
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = true",
    ]
    with private_rabbitmq(conf, as_installed=True) as server:
        yield Rabbit(server, port)


@pytest.fixture(scope="module")
def maria(certificates: Certificates) -> Iterator[Maria]:
    cert, key = certificates.server
    with private_mysql(
        [f"--ssl-ca={certificates.ca}", f"--ssl-cert={cert}", f"--ssl-key={key}"], as_installed=True
    ) as server:
        yield Maria(server)


@pytest.fixture(params=["rabbit", "maria"])
def server(request: pytest.FixtureRequest, certificates: Certificates) -> Guarded:
    found: Guarded = request.getfixturevalue(request.param)
    if certificates.spoiled:
        certificates.issue()
        for name in ("rabbit", "maria"):
            each: Guarded = request.getfixturevalue(name)
            each.reread()
        certificates.spoiled = False
    return found


async def test_good_certificates_let_us_in(server: Guarded, certificates: Certificates) -> None:
    async with server.opened(server.url(NAME, certificates.all)):
        pass


@pytest.mark.parametrize(
    ("spoil", "host", "says"),
    [
        (lambda certificates: certificates.issue(days=-1), NAME, "certificate has expired"),
        (lambda certificates: certificates.issue("elsewhere.example"), NAME, "match.*localhost|localhost.*match"),
        (lambda certificates: None, "127.0.0.1", "match"),
    ],
    ids=["expired", "another name", "address instead of name"],
)
async def test_a_certificate_that_is_no_good_is_refused(
    server: Guarded,
    certificates: Certificates,
    spoil: Callable[[Certificates], object],
    host: str,
    says: str,
) -> None:
    certificates.spoiled = host == NAME
    if certificates.spoiled:
        spoil(certificates)
        server.reread()
    for mode in ("", "&ssl_mode=required", "&ssl_mode=verify_identity"):
        with pytest.raises(AccessRefused, match=f"certificate that is not trusted: .*({says})") as caught:
            async with server.opened(server.url(host, certificates.all + mode)):
                pass
        assert "s3cret" not in str(caught.value)


async def test_an_authority_that_nobody_knows(server: Guarded, certificates: Certificates, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger").pem
    for ca in (f"ssl_ca={stranger}", "ssl_mode=verify_identity"):
        options = certificates.all.replace(f"ssl_ca={certificates.ca}", ca)
        with pytest.raises(AccessRefused, match="certificate that is not trusted"):
            async with server.opened(server.url(NAME, options)):
                pass


async def test_required_verifies_nobody(server: Guarded, certificates: Certificates) -> None:
    options = certificates.all.replace(f"ssl_ca={certificates.ca}", "ssl_mode=required")
    async with server.opened(server.url("127.0.0.1", options)):
        pass


async def test_verify_ca_takes_any_name(server: Guarded, certificates: Certificates) -> None:
    async with server.opened(server.url("127.0.0.1", certificates.all + "&ssl_mode=verify_ca")):
        pass


async def test_a_client_without_a_certificate_is_told_what_to_name(server: Guarded, certificates: Certificates) -> None:
    with pytest.raises((AccessRefused, BrokerUnavailable), match=r"ssl_cert and ssl_key"):
        async with server.opened(server.url(NAME, f"ssl_ca={certificates.ca}")):
            pass


async def test_a_client_certificate_of_another_authority(
    server: Guarded, certificates: Certificates, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other").files("client")
    options = f"ssl_ca={certificates.ca}&ssl_cert={other.cert}&ssl_key={other.key}"
    with pytest.raises((AccessRefused, BrokerUnavailable, StoreUnavailable), match=r"trust.* ssl_cert"):
        async with server.opened(server.url(NAME, options)):
            pass


async def test_a_port_without_tls_is_refused(rabbit: Rabbit, certificates: Certificates) -> None:
    with pytest.raises(AccessRefused, match="speaks no TLS"):
        async with rabbit.opened(f"amqps://guest:guest@{NAME}:{rabbit.server.port}/?{certificates.all}"):
            pass


async def test_certificates_renewed_while_running(
    rabbit: Rabbit, maria: Maria, certificates: Certificates, tmp_path: Path, start: Start
) -> None:
    """Authority, server and client: everything is replaced, and nobody starts the sidecar anew."""
    certificates.issue()
    for server in (rabbit, maria):
        server.reread()
    name = f"gs_{secrets.token_hex(4)}"
    execute_on_server(maria.server.url, f"create database {name}")
    place = Place(rabbit.server.url, f"{maria.server.url}{name}", name, tmp_path)
    sidecar = start(
        place.config(
            {"default": place.job("done")},
            broker={"url": rabbit.url(NAME, certificates.all)},
            store={"url": maria.url(NAME, certificates.all).replace("/tls?", f"/{name}?")},
        )
    )
    await sidecar.ready()
    await place.publish({"task_id": "before"})
    await eventually(lambda: place.all_ended(1), timeout=30)
    certificates.issue()
    for server in (rabbit, maria):
        server.reread()
        server.cut()
    await place.publish({"task_id": "after"})
    await eventually(lambda: place.all_ended(2), timeout=60)
    assert place.statuses() == {"success": 2}
    sidecar.terminate()
    assert await sidecar.ended() == 0


async def test_passwords_renewed_while_running(rabbit: Rabbit, maria: Maria, tmp_path: Path, start: Start) -> None:
    """The servers have the new ones first, the files follow, as Kubernetes does it: nobody starts the sidecar anew."""
    name = f"gs_{secrets.token_hex(4)}"
    root = maria.server.url
    for statement in (
        f"create database {name}",
        f"create user {name} identified by 'old/p@ss'",
        f"grant all on {name}.* to {name}",
    ):
        execute_on_server(root, statement)
    rabbit.server.control("add_user", name, "old/p@ss")
    rabbit.server.control("set_permissions", name, ".*", ".*", ".*")
    file = tmp_path / "password"
    file.write_text("old/p@ss\n")
    place = Place(rabbit.server.url, f"{root}{name}", name, tmp_path)
    sidecar = start(
        place.config(
            {"default": place.job("done")},
            broker={"url": f"amqp://{name}:${{file:{file}}}@127.0.0.1:{rabbit.server.port}/"},
        )
        | {"store": {"url": f"mysql://{name}:${{file:{file}}}@127.0.0.1:{maria.server.port}/{name}"}},
    )
    await sidecar.ready()
    await place.publish({"task_id": "before"})
    await eventually(lambda: place.all_ended(1), timeout=30)
    execute_on_server(root, f"alter user {name} identified by 'new#pass'")
    rabbit.server.control("change_password", name, "new#pass")
    execute_on_server(root, f"kill user {name}")
    rabbit.server.control("close_all_connections", "renewed")
    await place.publish({"task_id": "after"})
    await sidecar.said("our files are read again")
    draft = tmp_path / "draft"
    draft.write_text("new#pass\n")
    draft.replace(file)
    await eventually(lambda: place.all_ended(2), timeout=60)
    assert place.statuses() == {"success": 2}
    assert "old/p" not in sidecar.text
    assert "new#" not in sidecar.text
    sidecar.terminate()
    assert await sidecar.ended() == 0
