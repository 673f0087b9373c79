"""Tables that create themselves, ten processes at once; and what is told when a database cannot be used."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gridsidecar.config.settings import StoreSettings
from gridsidecar.errors import AccessRefused, ConfigError, StoreUnavailable
from gridsidecar.store import make_store
from gridsidecar.store.queries import SCHEMA_VERSION
from tests.conftest import execute_on_server
from tests.store.adversary import ClearTextServer
from tests.store.direct import TASKS, Direct, Row, changed
from tests.store.migrating import migrate_at_once
from tests.store.workers import BOOM, A, counts, end, open_store, task

OURS = {TASKS} | {
    f"{TASKS}_{side}"
    for side in (
        *("attempts", "callbacks", "workers", "schema_version", "owed_work"),
        *("operations", "operation_ids", "pauses", "rates", "output", "minutes"),
    )
}


def schema(url: str) -> list[Row]:
    """Every definition in the database, to compare."""
    direct = Direct(url)
    if direct.is_mysql:
        columns = "table_name, column_name, column_type, is_nullable, column_default, collation_name"
        return direct.run(
            f"SELECT {columns} FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1, 2"
        )
    return direct.run("SELECT name, sql FROM sqlite_master ORDER BY name")


async def test_ten_processes_at_once_create_one_schema(store_url: str) -> None:
    assert migrate_at_once(store_url, 10) == [(0, "done\n", "")] * 10
    direct = Direct(store_url)
    assert direct.tables() == OURS
    versions = [row["version"] for row in direct.run(f"SELECT version FROM {TASKS}_schema_version")]
    assert versions == list(range(1, SCHEMA_VERSION + 1))
    assert direct.run(f"SELECT id, attempt FROM {TASKS}") == [{"id": "first of all", "attempt": 1}]


async def test_migrating_again_changes_nothing(store_url: str) -> None:
    for round_number in range(3):
        store = await open_store(store_url)
        await store.tasks.claim(task(f"t{round_number}"), A, 0)
        await store.close()
        if round_number == 0:
            before = schema(store_url)
    assert schema(store_url) == before
    assert len(Direct(store_url).run(f"SELECT version FROM {TASKS}_schema_version")) == SCHEMA_VERSION
    assert len(Direct(store_url).run(f"SELECT id FROM {TASKS}")) == 3


async def test_a_migration_that_broke_off_is_completed(store_url: str) -> None:
    store = await open_store(store_url)
    await store.close()
    direct = Direct(store_url)
    direct.run(f"DELETE FROM {TASKS}_schema_version")
    direct.run(f"DROP VIEW {TASKS}_owed_work")
    direct.run(f"DROP TABLE {TASKS}_workers")
    store = await open_store(store_url)
    try:
        assert direct.tables() == OURS
        assert await store.reading.owed() == 0
    finally:
        await store.close()


async def test_only_checking_an_empty_database_names_the_command(store_url: str) -> None:
    with pytest.raises(AccessRefused, match="run `gridsidecar migrate`"):
        await open_store(store_url, migrate=False)
    assert Direct(store_url).tables() == set()


async def test_only_checking_a_current_database_is_enough(store_url: str) -> None:
    await (await open_store(store_url)).close()
    await (await open_store(store_url, migrate=False)).close()


async def test_using_an_empty_database_without_migrating_is_refused(store_url: str) -> None:
    store = await open_store(store_url, migrate=None)
    try:
        with pytest.raises(AccessRefused, match=TASKS):
            await store.tasks.claim(task(), A, 0)
        with pytest.raises(AccessRefused, match=f"{TASKS}.*`gridsidecar migrate`"):
            await store.counting.by_status()
    finally:
        await store.close()


@pytest.mark.parametrize(("prefix", "name"), [("", "tasks"), ("acme_", "jobs"), ("", "order"), ("2026_", "x")])
async def test_prefix_and_name_are_the_users(store_url: str, prefix: str, name: str) -> None:
    store = await open_store(store_url, table_prefix=prefix, table_name=name)
    try:
        await store.leases.renew("A", "one", 60)
        claim = (await store.tasks.claim(task(), A, 3)).claim
        assert claim is not None
        assert await store.reading.owed() == 0
        await end(store, claim, BOOM)
        assert await store.leases.overdue(judge_others=True) == []
        await store.leases.leave("A")
    finally:
        await store.close()
    side = {table.removeprefix(TASKS) for table in OURS}
    assert Direct(store_url).tables() == {f"{prefix}{name}{ending}" for ending in side}


def test_names_that_are_too_long_are_a_fault_of_the_configuration() -> None:
    settings = StoreSettings(url="sqlite:///x.db", table_prefix="p" * 40, table_name="n" * 10)
    with pytest.raises(ConfigError, match="shorten it by 1 characters"):
        make_store(settings, "q")


async def test_two_installations_share_a_database_and_no_task(store_url: str) -> None:
    one = await open_store(store_url, table_prefix="one_")
    two = await open_store(store_url, table_prefix="two_")
    try:
        assert (await one.tasks.claim(task(), A, 0)).claim is not None
        assert await two.reading.get("t") is None
        assert (await two.tasks.claim(task(), A, 0)).claim is not None
        assert await counts(one) == await counts(two) == {"running": 1}
    finally:
        await one.close()
        await two.close()


# -- databases that cannot be used ------------------------------------------------------------------------------------


async def test_a_wrong_password_is_refused(mysql_url: str, stranger: str) -> None:
    host = urlsplit(mysql_url).netloc.rpartition("@")[2]
    with pytest.raises(AccessRefused, match="1045") as caught:
        await open_store(changed(mysql_url, netloc=f"{stranger}:wrong-secret@{host}"))
    assert stranger in str(caught.value)
    assert "wrong-secret" not in str(caught.value)


async def test_no_right_to_the_database_is_refused(mysql_url: str, stranger: str) -> None:
    host = urlsplit(mysql_url).netloc.rpartition("@")[2]
    with pytest.raises(AccessRefused, match="1044"):
        await open_store(changed(mysql_url, netloc=f"{stranger}:right%2Fp%40ss@{host}"))


async def test_no_right_to_create_tables_is_refused(mysql_url: str, mysql_server_url: str, stranger: str) -> None:
    database, host = urlsplit(mysql_url).path[1:], urlsplit(mysql_url).netloc.rpartition("@")[2]
    execute_on_server(mysql_server_url, f"grant select, insert on {database}.* to '{stranger}'@'%'")
    with pytest.raises(AccessRefused, match="1142"):
        await open_store(changed(mysql_url, netloc=f"{stranger}:right%2Fp%40ss@{host}"))


async def test_no_such_database_is_refused(mysql_server_url: str) -> None:
    with pytest.raises(AccessRefused, match=r"1049.*|gs_nowhere"):
        await open_store(changed(mysql_server_url, path="/gs_nowhere"))


async def test_nothing_listening_is_unavailable() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}"):
            await open_store(f"mysql://root@127.0.0.1:{port}/x")


async def test_a_server_that_hangs_up_is_unavailable() -> None:
    server = ClearTextServer(first_plugin=b"mysql_native_password", switch=None)
    async with server.running():
        with pytest.raises(StoreUnavailable):
            await open_store(f"mysql://root:secret@127.0.0.1:{server.port}/x")


async def test_an_sqlite_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="does not exist; create it"):
        await open_store(f"sqlite:///{tmp_path}/nowhere/x.db")


async def test_an_sqlite_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is no database" * 200)
    with pytest.raises(AccessRefused, match="not a database"):
        await open_store(f"sqlite:///{tmp_path}/x.db")


async def test_an_sqlite_path_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()
    with pytest.raises(AccessRefused, match="unable to open"):
        await open_store(f"sqlite:///{tmp_path}/x.db")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("postgres://u@h/db", "scheme"),
        ("mysql://u@h", "names no database"),
        ("mysql://u@h/", "names no database"),
        ("mysql://u@h:port/db", "port"),
        ("mysql://u@h:99999/db", "ort"),
        ("mysql://u@h/db?sslmode=required", "unknown option 'sslmode'"),
        ("mysql://u@h/db?ssl_mode=maybe", "ssl_mode must be one of"),
        ("mysql://u@h/db?charset=latin1", "charset must be utf8mb4"),
        ("mysql://u@h/db?ssl_ca=/no/such/file.pem", "No such file"),
        ("sqlite://file.db", "names a file, not a host"),
        ("sqlite:///", "names no file"),
        ("sqlite:///x.db?mode=ro", "takes no parameters"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_mistake_in_the_url_is_a_fault_of_the_configuration(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        make_store(StoreSettings(url=url), "q")
    assert [fault.key for fault in caught.value.faults] == ["store.url"]


@pytest.mark.parametrize("mode", ["required", "verify_identity"])
async def test_a_server_without_tls_is_refused_when_tls_is_asked_for(mode: str) -> None:
    server = ClearTextServer(first_plugin=b"mysql_native_password", switch=None)
    async with server.running():
        with pytest.raises(AccessRefused, match="offers no TLS"):
            await open_store(f"mysql://root:secret@127.0.0.1:{server.port}/x?ssl_mode={mode}")
    assert server.heard == b""


@pytest.mark.parametrize(
    ("first_plugin", "switch"),
    [(b"mysql_native_password", b"mysql_clear_password"), (b"mysql_clear_password", None)],
    ids=["by a switch", "at once"],
)
async def test_a_server_that_asks_for_the_password_in_clear_is_refused(
    first_plugin: bytes, switch: bytes | None
) -> None:
    server = ClearTextServer(first_plugin=first_plugin, switch=switch)
    async with server.running():
        with pytest.raises(AccessRefused, match="asks for the password in clear"):
            await open_store(f"mysql://root:s3cret-w0rd@127.0.0.1:{server.port}/x")
    assert b"s3cret-w0rd" not in server.heard


@pytest.mark.parametrize("plugin", [b"mysql_old_password", b"dialog", b"client_ed25519", b"no_such_plugin"])
async def test_other_ways_to_ask_for_a_password_do_not_get_it_in_clear(plugin: bytes) -> None:
    server = ClearTextServer(first_plugin=b"mysql_native_password", switch=plugin)
    async with server.running():
        with pytest.raises((AccessRefused, StoreUnavailable)):
            await open_store(f"mysql://root:s3cret-w0rd@127.0.0.1:{server.port}/x")
    assert b"s3cret-w0rd" not in server.heard
