"""The database answers and will not have us, for a reason that waiting does not mend: said, with what to do."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.conftest import execute_on_server
from tests.e2e.conftest import Start
from tests.faults.promises import not_ready
from tests.support.place import TASKS, Place
from tests.support.servers import MySQL
from tests.support.services import private_mysql
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def statement_mysql() -> Iterator[MySQL]:
    """A server that writes statements to its binary log, not rows."""
    options = ["--log-bin=binlog", "--binlog-format=STATEMENT", "--server-id=1"]
    with private_mysql(options, as_installed=True) as server:
        yield server


def user_of(server: MySQL, database: str, host: str = "%") -> tuple[str, str]:
    """A new user with all rights on the database; its name in SQL, and its URL."""
    name = f"gs_{secrets.token_hex(4)}"
    execute_on_server(server.url, f"create database if not exists {database}")
    execute_on_server(server.url, f"create user '{name}'@'{host}' identified by 'seCret1'")
    execute_on_server(server.url, f"grant all on {database}.* to '{name}'@'{host}'")
    parts = urlsplit(server.url)
    login = f"{name}:seCret1@{parts.hostname}:{parts.port}"
    return f"'{name}'@'{host}'", urlunsplit(parts._replace(netloc=login, path=f"/{database}"))


async def assert_refused(place: Place, start: Start, *words: str) -> None:
    """The run ends at once, and its last words say what to do."""
    sidecar = start(place.config({"default": place.job("done")}))
    assert await sidecar.ended() == 77
    assert not sidecar.says("cannot be reached")
    assert not sidecar.says("seCret1"), "a password in the log"
    assert not sidecar.says("Traceback")
    for word in words:
        assert sidecar.says(word), word


def at(store_url: str, sqlite_url: str, folder: Path) -> Place:
    return Place(sqlite_url, store_url, "tasks", folder)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("alter user {user} account lock", ("ACCOUNT UNLOCK", "locked")),
        ("revoke all on gs_access.* from {user}", ("error 1044", "GRANT")),
        ("drop user {user}", ("error 1045", "store.url")),
    ],
    ids=["locked", "no right", "unknown"],
)
async def test_an_account_that_may_not_work(
    own_mysql: MySQL, sqlite_url: str, tmp_path: Path, start: Start, statement: str, words: tuple[str, ...]
) -> None:
    user, url = user_of(own_mysql, "gs_access")
    execute_on_server(own_mysql.url, statement.format(user=user))
    await assert_refused(at(url, sqlite_url, tmp_path), start, *words)


@pytest.mark.parametrize(("option", "number"), [("OFF", 1820), ("ON", 1862)])
async def test_an_account_whose_password_expired(
    sqlite_url: str, tmp_path: Path, start: Start, option: str, number: int
) -> None:
    """A server lets it log in and change its password, or not even that."""
    with private_mysql([f"--disconnect-on-expired-password={option}"]) as server:
        user, url = user_of(server, "gs_access")
        execute_on_server(server.url, f"alter user {user} password expire")
        await assert_refused(at(url, sqlite_url, tmp_path), start, f"error {number}", "ALTER USER")


async def test_a_host_that_is_not_allowed(sqlite_url: str, tmp_path: Path, start: Start) -> None:
    """Where no account is for this host, the server says so in place of its greeting."""
    with private_mysql(["--skip-name-resolve"], as_installed=True) as server:
        user_of(server, "gs", "10.9.9.9")
        execute_on_server(server.url, "rename user 'root'@'127.0.0.1' to 'root'@'10.9.9.8'")
        await assert_refused(at(f"{server.url}gs", sqlite_url, tmp_path), start, "error 1130", "CREATE USER")


async def test_a_binary_log_of_statements(
    statement_mysql: MySQL, sqlite_url: str, tmp_path: Path, start: Start
) -> None:
    _, url = user_of(statement_mysql, "gs")
    await assert_refused(at(url, sqlite_url, tmp_path), start, "error 1665", "binlog_format=ROW")


async def test_a_migration_that_something_stands_in_the_way_of(
    own_mysql: MySQL, sqlite_url: str, tmp_path: Path, start: Start
) -> None:
    """By a number that is in no list of ours: none of a task, so the run need not wait for it."""
    _, url = user_of(own_mysql, "gs_in_the_way")
    execute_on_server(own_mysql.url, f"create table gs_in_the_way.{TASKS}_owed_work (id int)")
    await assert_refused(at(url, sqlite_url, tmp_path), start, f"{TASKS}_owed_work", "(error 1347)")


@pytest.mark.timeout(120)
async def test_an_account_that_is_locked_while_tasks_run(on_own_mysql: Place, own_mysql: MySQL, start: Start) -> None:
    """Nothing new starts, and the run ends with what to do; but what is in hand is not thrown away: its end is
    written when the account is unlocked in time."""
    user, url = user_of(own_mysql, urlsplit(on_own_mysql.store_url).path[1:])
    place, gate = on_own_mysql, on_own_mysql.folder / "gate"
    sidecar = start(
        place.config(
            {"default": place.job("until", gate)},
            store={"url": url},
            worker={"concurrency": 1, "shutdown_grace": 60, "lease": 60},
        )
    )
    await place.publish({"task_id": "t0"})
    await eventually(lambda: place.journal.started == ["t0"])
    execute_on_server(own_mysql.url, f"alter user {user} account lock")
    connections = f"select id from information_schema.processlist where user = '{user.split(chr(39))[1]}'"
    for row in place.fetch(connections):
        execute_on_server(own_mysql.url, f"kill {row['id']}")
    gate.touch()
    await eventually(lambda: not_ready(sidecar, "store", "ACCOUNT UNLOCK"), timeout=30)
    await sidecar.said("leaving")
    assert place.status("t0") == "running"
    execute_on_server(own_mysql.url, f"alter user {user} account unlock")
    assert await sidecar.ended(timeout=60) == 77
    assert sidecar.says("ACCOUNT UNLOCK")
    assert place.status("t0") == "success"
    assert place.journal.started == ["t0"]
