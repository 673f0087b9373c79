"""What doctor finds at a real MySQL-family server, and in an SQLite file."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from gridsidecar.config.settings import Settings
from gridsidecar.doctor import store
from gridsidecar.store import make_store
from gridsidecar.store.inspection import ServerFacts
from gridsidecar.store.privileges import missing
from gridsidecar.store.queries import SCHEMA_VERSION
from tests.conftest import execute_on_server
from tests.doctor.looking import look, states
from tests.support.proxy import proxied


def config(tmp_path: Path, url: str, **keys: Any) -> dict[str, Any]:
    return {"broker": {"url": f"sqlite:///{tmp_path}/b.db"}, "store": {"url": url, **keys}}


async def migrate(url: str) -> None:
    settings = Settings.model_validate(
        {"broker": {"url": "sqlite:///x"}, "store": {"url": url}, "handlers": {"default": {"command": ["cat"]}}}
    )
    opened = make_store(settings.store, "q")
    await opened.open(migrate=True)
    await opened.close()


async def test_all_is_well(mysql_url: str, tmp_path: Path) -> None:
    await migrate(mysql_url)
    found = await look(
        tmp_path, {**config(tmp_path, mysql_url), "broker": {"url": "sqlite:///b", "max_message_bytes": 4096}}, "store"
    )
    assert set(states(found).values()) == {"ok"}, found
    assert len(found) == 11
    assert "version" in found["store.tables"].found


async def test_tables_that_are_missing(mysql_url: str, tmp_path: Path) -> None:
    found = await look(tmp_path, config(tmp_path, mysql_url), "store.tables")
    assert found["store.tables"].state == "warn"
    found = await look(tmp_path, config(tmp_path, mysql_url, migrate=False), "store.tables")
    assert found["store.tables"].state == "fail"
    assert "gridsidecar migrate" in found["store.tables"].advice


@pytest.mark.parametrize(
    ("rights", "migrates", "state", "lacking"),
    [
        ("SELECT", True, "fail", "INSERT, UPDATE, DELETE, CREATE"),
        ("SELECT, INSERT, UPDATE, DELETE", True, "fail", "CREATE, ALTER, INDEX, DROP, CREATE VIEW"),
        ("SELECT, INSERT, UPDATE, DELETE", False, "ok", ""),
        ("SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, CREATE VIEW", True, "ok", ""),
    ],
)
async def test_a_user_who_may_not_do_everything(
    mysql_server_url: str, mysql_url: str, tmp_path: Path, rights: str, migrates: bool, state: str, lacking: str
) -> None:
    await migrate(mysql_url)
    parts, user = urlsplit(mysql_url), f"u{secrets.token_hex(4)}"
    execute_on_server(mysql_server_url, f"create user {user}@'%' identified by 'p-w'")
    try:
        execute_on_server(mysql_server_url, f"grant {rights} on {parts.path[1:]}.* to {user}@'%'")
        url = parts._replace(netloc=f"{user}:p-w@{parts.hostname}:{parts.port}").geturl()
        found = await look(tmp_path, config(tmp_path, url, migrate=migrates), "store")
    finally:
        execute_on_server(mysql_server_url, f"drop user {user}@'%'")
    assert found["store.privileges"].state == state, found["store.privileges"]
    assert lacking in found["store.privileges"].found
    assert found["store.tables"].state == "ok"
    assert "p-w" not in str(found)


async def test_a_login_that_is_refused(mysql_url: str, tmp_path: Path) -> None:
    parts = urlsplit(mysql_url)
    url = parts._replace(netloc=f"nobody:wr0ng@{parts.hostname}:{parts.port}").geturl()
    found = await look(tmp_path, config(tmp_path, url), "store")
    assert found["store.connect"].state == "fail"
    assert found["store.privileges"].found == "could not be asked: see store.connect"
    assert "wr0ng" not in str(found)


@pytest.mark.parametrize("fault", ["freeze", "refuse"])
async def test_a_database_that_is_away_or_hangs(mysql_url: str, tmp_path: Path, fault: str) -> None:
    async with proxied(mysql_url) as (proxy, url):
        if fault == "refuse":
            await proxy.refuse()
        else:
            proxy.freeze()
        began = time.monotonic()
        found = await look(tmp_path, config(tmp_path, url))
        assert time.monotonic() - began < 10, "each waited for the one before"
        assert found["store.connect"].state == "fail"
        assert {finding.state for name, finding in found.items() if name.startswith("store.")} == {"fail", "unknown"}
        assert found["broker.connect"].state == "ok"
        proxy.heal()


async def test_an_sqlite_file_is_looked_at_and_not_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    found = await look(tmp_path, config(tmp_path, url), "store", "broker")
    assert states(found) == {
        "broker.connect": "ok",
        "broker.dead_letters": "ok",
        "store.connect": "ok",
        "store.tables": "ok",
        "store.retention": "ok",
    }
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.yaml"]
    await migrate(url)
    assert (await look(tmp_path, config(tmp_path, url), "store.tables"))["store.tables"].state == "ok"
    (tmp_path / "s.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "s.db-wal").unlink(missing_ok=True)
    assert (await look(tmp_path, config(tmp_path, url), "store.connect"))["store.connect"].state == "fail"
    found = await look(tmp_path, config(tmp_path, f"sqlite:///{tmp_path}/no/s.db"), "store.connect")
    assert found["store.connect"].state == "fail"


# -- what is compared -------------------------------------------------------------------------------------------------

FACTS = ServerFacts(
    place="u@h:3306/grid",
    version="8.4.3",
    time_zone="+00:00",
    ahead=0.1,
    uncertain=0.01,
    cipher="TLSv1.3 TLS_AES_256_GCM_SHA384",
    local=False,
    tls_declined=False,
    read_only=False,
    max_allowed_packet=67_108_864,
    max_connections=100,
    grants=(),
    tables=SCHEMA_VERSION,
    rows=10,
)


def settings(**store_keys: Any) -> Settings:
    url = {"url": "mysql://u:p@h/grid"}
    return Settings.model_validate(
        {
            "broker": {"url": "amqp://h"},
            "store": {**url, **store_keys},
            "worker": {"processes": 2, "concurrency": 4},
            "handlers": {"default": {"command": ["cat"]}},
        }
    )


@pytest.mark.parametrize(("most", "state"), [(19, "warn"), (20, "ok")])
def test_the_api_has_connections_of_its_own(most: int, state: str) -> None:
    given = settings()
    given = given.model_copy(update={"http": given.http.model_copy(update={"listen": "127.0.0.1:8080"})})
    finding = store.connections(replace(FACTS, max_connections=most), given)
    assert (finding.state, "4 of the API = 20" in finding.found) == (state, True)


@pytest.mark.parametrize(
    ("judge", "changes", "state"),
    [
        (store.version, {"version": "5.7.44-log"}, "fail"),
        (store.version, {"version": "10.5.1-MariaDB"}, "fail"),
        (store.version, {"version": "5.5.5-10.6.2-MariaDB"}, "ok"),
        (store.version, {"version": "11.4.2-MariaDB"}, "ok"),
        (store.time_zone, {"time_zone": "SYSTEM"}, "fail"),
        (store.clock_skew, {"ahead": 5.0}, "warn"),
        (store.clock_skew, {"ahead": -5.0}, "warn"),
        (store.clock_skew, {"ahead": 5.0, "uncertain": 4.0}, "ok"),
        (store.tls, {"cipher": ""}, "warn"),
        (store.tls, {"cipher": "", "local": True}, "ok"),
        (store.tls, {"cipher": "", "tls_declined": True}, "ok"),
        (store.read_only, {"read_only": True}, "fail"),
        (store.largest_packet, {"max_allowed_packet": 16_777_216}, "warn"),
        (store.connections, {"max_connections": 15}, "warn"),
        (store.connections, {"max_connections": 16}, "ok"),
        (store.connections, {"max_connections": 0}, "unknown"),
        (store.tables, {"tables": SCHEMA_VERSION + 1}, "warn"),
        (store.tables, {"tables": SCHEMA_VERSION - 1}, "warn"),
    ],
)
def test_a_judgement(judge: Any, changes: dict[str, Any], state: str) -> None:
    assert judge(replace(FACTS, **changes), settings()).state == state


@pytest.mark.parametrize(
    ("grants", "run", "migrate", "roles"),
    [
        (["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"], 0, 0, False),
        (["GRANT USAGE ON *.* TO `u`@`%`", "GRANT ALL PRIVILEGES ON `gr\\_id`.* TO `u`@`%`"], 0, 0, False),
        (["GRANT ALL PRIVILEGES ON `gr%`.* TO `u`@`%`"], 0, 0, False),
        (["GRANT ALL PRIVILEGES ON `grid`.* TO `u`@`%`"], 4, 5, False),
        (["GRANT SELECT, INSERT, UPDATE, DELETE ON `gr_id`.* TO `u`@`%`"], 0, 5, False),
        (["GRANT SELECT, INSERT, UPDATE, DELETE ON `gr_id`.`t` TO `u`@`%`"], 4, 5, False),
        (
            [f"GRANT SELECT, INSERT (`a`, `b`), UPDATE, DELETE ON `gr_id`.`{name}` TO `u`@`%`" for name in "tv"],
            1,
            5,
            False,
        ),
        (["GRANT USAGE ON *.* TO `u`@`%`", "GRANT `app`@`%` TO `u`@`%`"], 4, 5, True),
    ],
)
def test_what_grants_say(grants: list[str], run: int, migrate: int, roles: bool) -> None:
    found = missing(grants, "gr_id", ["t", "v"])
    assert (len(found.run), len(found.migrate), found.roles) == (run, migrate, roles)
