"""What a session speaks: UTF-8 of four bytes, whatever the server would have it speak, or there is no session."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import pytest

from gridsidecar.errors import AccessRefused
from gridsidecar.rules.task import NewOutput, OutputPart, Progress, Report, Status, Succeeded
from gridsidecar.store import Filter, OperationKind
from tests.conftest import execute_on_server
from tests.store.direct import Direct
from tests.store.workers import A, Two, decided, open_store, task
from tests.support.proxy import Proxy, proxied
from tests.support.services import private_mysql

EMOJI = "done 😀 й"
DEAF = (
    ["--init-connect=SET NAMES utf8mb3"],
    ["--init-connect=SET NAMES latin1"],
    ["--skip-character-set-client-handshake", "--character-set-server=latin1"],
)


@pytest.fixture(scope="module", params=DEAF, ids=["utf8mb3", "latin1", "no handshake"])
def deaf_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that gives sessions another character set than they ask for at their login."""
    given_up_by_newer = "--skip-character-set-client-handshake" in request.param
    with private_mysql(request.param, as_installed=given_up_by_newer) as server:
        yield server.url


@pytest.fixture
def ordinary_url(deaf_server: str) -> str:
    return ordinary(deaf_server)


def ordinary(server: str) -> str:
    """A database for a user without an administrator's rights, for whom alone init_connect is."""
    name = f"gs_{secrets.token_hex(4)}"
    execute_on_server(server, f"create database {name}")
    execute_on_server(server, f"create user '{name}'@'%' identified by 'pw'")
    execute_on_server(server, f"grant all on {name}.* to '{name}'@'%'")
    parts = urlsplit(server)
    return urlunsplit(parts._replace(netloc=f"{name}:pw@{parts.netloc.rpartition('@')[2]}", path=f"/{name}"))


async def test_every_text_is_stored_as_it_is(ordinary_url: str) -> None:
    store = await open_store(ordinary_url)
    try:
        await store.leases.renew("A", "one", 60)
        asked = task(f"t{EMOJI}", fields={"data": EMOJI})
        claim = (await store.tasks.claim(asked, A, 0)).claim
        assert claim is not None
        await store.output.write(claim, NewOutput((OutputPart(0, EMOJI.encode()),)))
        live = await store.output.page(f"t{EMOJI}")
        assert live is not None
        assert live.text == EMOJI
        report = Report(log_head=EMOJI, log_tail=EMOJI, stderr_tail=EMOJI, notes=(EMOJI,))
        end = await store.tasks.ends.commit(claim, decided(claim, Succeeded(EMOJI)), report, Progress(5, EMOJI))
        assert end is not None
        assert end.status is Status.SUCCESS
        shown = await store.reading.get(f"t{EMOJI}")
        assert shown is not None
        assert [shown[name] for name in ("data", "result", "progress_message")] == [EMOJI] * 3
        said = await store.output.page(f"t{EMOJI}")
        assert said is not None
        assert (said.text, said.stderr_tail, said.notes) == (EMOJI * 2, EMOJI, EMOJI)
    finally:
        await store.close()
    plain = Direct(ordinary_url).run("SELECT HEX(result) AS result FROM grid_async_task_tasks")
    assert bytes.fromhex(plain[0]["result"]).decode() == f'"{EMOJI}"'  # not encoded twice


@pytest.fixture(scope="module", params=["completion_type = 2", "sql_big_selects = 0, max_join_size = 1"])
def odd_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that ends each session after a COMMIT, or refuses whatever looks at more than one row."""
    with private_mysql([f"--init-connect=SET {request.param}"]) as server:
        yield server.url


async def test_what_a_server_sets_for_its_sessions_ends_none_of_our_work(odd_server: str) -> None:
    store = await open_store(ordinary(odd_server))
    try:
        await store.leases.renew("A", "one", 60)
        for name in ("a", "b", "c"):
            claim = (await store.tasks.claim(task(name), A, 0)).claim
            assert claim is not None
            assert await store.tasks.ends.commit(claim, decided(claim, Succeeded(1)), Report(), Progress())
        asked = Filter(statuses=(Status.SUCCESS,), queue="q")
        operation = await store.operations.begin(OperationKind.RETRY, asked)
        await store.operations.collect(await store.operations.take(operation))
        assert (await store.operations.take(operation)).total == 3
    finally:
        await store.close()


class Mishearing(Proxy):
    """What goes to the server says another character set, as a pooler in between might have it."""

    async def _forward(self, chunk: bytes, *rest: object) -> None:
        await super()._forward(
            chunk.replace(b"NAMES utf8mb4 COLLATE utf8mb4_", b"NAMES utf8mb3 COLLATE utf8mb3_"), *rest
        )


@pytest.mark.parametrize("tables_url", ["mysql"], indirect=True)
async def test_a_session_that_did_not_hear_is_refused(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.proxy.Proxy", Mishearing)
    async with proxied(two.url) as (_, url):
        with pytest.raises(AccessRefused, match=r"character_set_client is utf8mb3 .* after SET NAMES"):
            await open_store(url, migrate=None)
