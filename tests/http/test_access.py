"""Who is let in: the rules by themselves, and each route of a server with tokens."""

from __future__ import annotations

import itertools
from pathlib import Path

import httpx
import pytest

from gridsidecar.http import ENDPOINTS
from gridsidecar.http.access import Access, Rules
from gridsidecar.http.problems import Problem
from tests.http.conftest import ADMIN, READER, Serve, problem

HERE = {"host": "127.0.0.1:8080"}
OPEN_DOOR = Rules(token=None, read_token=None, public_url="https://tasks.example.com")
GUARDED = Rules(token=ADMIN.encode(), read_token=READER.encode(), public_url=None)


def refusal(rules: Rules, access: Access, method: str = "GET", **headers: str) -> tuple[int, str] | None:
    try:
        rules.check(access, method, {name.replace("_", "-"): value for name, value in headers.items()})
    except Problem as found:
        return found.status, found.slug
    return None


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3", "tasks.example.com"]
)
def test_hosts_that_are_ours(host: str) -> None:
    assert refusal(OPEN_DOOR, Access.READ, host=host) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "tasks.example.com.evil"]
)
def test_hosts_that_are_not(host: str) -> None:
    assert refusal(OPEN_DOOR, Access.READ, host=host) == (421, "unknown-host")
    assert refusal(OPEN_DOOR, Access.OPEN, host=host) is None


@pytest.mark.parametrize(
    ("authorization", "reading", "changing"),
    [
        ("", (401, "token"), (401, "token")),
        ("Bearer ", (401, "token"), (401, "token")),
        ("Bearer wrong", (401, "token"), (401, "token")),
        (f"Basic {ADMIN}", (401, "token"), (401, "token")),
        (f"Bearer {ADMIN}x", (401, "token"), (401, "token")),
        ("Bearer \xe9\ud800", (401, "token"), (401, "token")),
        (f"Bearer {READER}", None, (403, "read-only-token")),
        (f"bearer {ADMIN}", None, None),
    ],
)
def test_tokens(authorization: str, reading: tuple[int, str] | None, changing: tuple[int, str] | None) -> None:
    headers = {**HERE, "authorization": authorization}
    assert refusal(GUARDED, Access.READ, **headers) == reading
    assert refusal(GUARDED, Access.CHANGE, "POST", **headers) == changing
    assert refusal(GUARDED, Access.OPEN, **headers) is None


def test_with_a_read_token_alone_nothing_can_be_changed() -> None:
    rules = Rules(token=None, read_token=READER.encode(), public_url=None)
    assert refusal(rules, Access.CHANGE, "POST", **HERE, authorization=f"Bearer {READER}") == (403, "read-only-token")
    assert refusal(rules, Access.CHANGE, "POST", **HERE, authorization="Bearer ") == (401, "token")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),  # no browser
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "http://127.0.0.1:8080"}, False),
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"origin": "http://127.0.0.1:9090"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://tasks.example.com"}, True),  # a proxy wrote another Host
        ({"origin": "http://tasks.example.com"}, False),
    ],
)
def test_origins_of_changes(headers: dict[str, str], allowed: bool) -> None:
    expected = None if allowed else (403, "foreign-origin")
    assert refusal(OPEN_DOOR, Access.CHANGE, "POST", **HERE, **headers) == expected
    assert refusal(OPEN_DOOR, Access.READ, "GET", **HERE, **headers) is None


def test_every_change_asks_for_the_right_to_change() -> None:
    assert {one.method for one in ENDPOINTS if one.access is not Access.CHANGE} == {"GET"}
    assert {one.method for one in ENDPOINTS if one.access is Access.CHANGE} == {"POST"}


async def test_every_route_is_guarded(serve: Serve) -> None:
    async with serve(token=ADMIN, read_token=READER) as api:
        guarded = [one for one in ENDPOINTS if one.access is not Access.OPEN]
        for endpoint, token in itertools.product(guarded, (None, READER, ADMIN)):
            path = endpoint.path.replace("{", "").replace("}", "")
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            response = await api.client.request(endpoint.method, path, headers=headers)
            kept_out = response.status_code in (401, 403)
            assert kept_out == (token is None or (token == READER and endpoint.access is Access.CHANGE)), path
            if token is None:
                assert problem(response) == (401, "token")
                assert response.headers["www-authenticate"] == "Bearer"


async def test_tokens_from_files(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{ADMIN}\n")
    async with serve(token_file=str(tmp_path / "token")) as api:
        assert (await api.get("/v1/workers")).status_code == 401
        assert (await api.get("/v1/workers", headers={"Authorization": f"Bearer {ADMIN}"})).status_code == 200


async def test_a_foreign_host_and_a_foreign_page(serve: Serve) -> None:
    async with serve() as api:
        assert problem(await api.get("/v1/workers", headers={"Host": "evil.example"})) == (421, "unknown-host")
        page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert problem(await api.post("/v1/tasks/t/cancel", headers=page)) == (403, "foreign-origin")
        answer: httpx.Response = await api.get("/v1/workers", headers=page)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        preflight = await api.client.options("/v1/tasks", headers=page | {"Access-Control-Request-Method": "POST"})
        assert problem(preflight) == (405, "method")
