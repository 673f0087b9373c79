"""Tables that another process is making at this moment: whoever needs them waits for them, but not for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from gridsidecar.config.mysql_url import parse_mysql_url
from gridsidecar.errors import AccessRefused, StoreUnavailable
from gridsidecar.store.mysql import migration
from gridsidecar.store.queries import SCHEMA_VERSION, TableNames
from tests.store.direct import TASKS, Direct, mysql_session
from tests.store.workers import A, migrate, open_store, task
from tests.support.cli import gridsidecar, write_config
from tests.support.waiting import eventually

HALF = 7  # the version up to which they are made
LATER = ("operations", "operation_ids", "pauses", "rates", "output", "minutes")
SESSIONS = "SELECT info FROM information_schema.processlist WHERE db = DATABASE() AND "
WAITING = SESSIONS + "(INSTR(state, 'metadata lock') OR INSTR(info, 'SELECT GET_LOCK') = 1)"
COMMANDS = (
    "status t --json",
    "tasks list --json",
    "stats --json",
    "pause resize",
    "submit --id t --wait --wait-timeout 0.1",
    "run --burst",
)


async def make_half(url: str) -> None:
    """One task in tables of which the later ones are missing, as if their migration had broken off."""
    store = await open_store(url)
    try:
        received = await store.tasks.claim(task(), A, 0)
        assert received.claim is not None
    finally:
        await store.close()
    direct = Direct(url)
    direct.run(f"UPDATE {TASKS} SET status = 'pending', next_run_at = '2001-01-01'")
    direct.run("DROP TABLE " + ", ".join(f"{TASKS}_{name}" for name in LATER))
    direct.run(f"ALTER TABLE {TASKS}_workers DROP COLUMN cancels")
    direct.run(f"DELETE FROM {TASKS}_schema_version WHERE version > {HALF}")


@asynccontextmanager
async def making(url: str) -> AsyncIterator[None]:
    """A migration that stands still in the middle; it goes on as soon as somebody waits for its end, or for the table
    that it changes."""
    await make_half(url)
    direct = Direct(url)
    with closing(mysql_session(url)) as holder:
        cursor = holder.cursor()
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT COUNT(*) FROM {TASKS}_workers")  # its next step changes this table
        at_it = asyncio.create_task(migrate(url))
        try:
            await eventually(lambda: direct.run(WAITING))

            async def go_on() -> None:
                await eventually(lambda: len(direct.run(WAITING)) > 1)
                holder.commit()

            going_on = asyncio.create_task(go_on())
            yield
            await going_on
        finally:
            holder.rollback()
            await at_it


def lock_of(url: str) -> str:
    return migration.Migration(None, parse_mysql_url(url).database, "", TableNames(TASKS))._lock  # type: ignore[arg-type]


@pytest.mark.parametrize("words", COMMANDS)
async def test_a_command_waits_for_tables_in_the_making(mysql_url: str, tmp_path: Path, words: str) -> None:
    write_config(tmp_path, {"default": {"command": ["cat"]}}, store={"url": mysql_url, "migrate": False})
    async with making(mysql_url):
        done = await asyncio.to_thread(gridsidecar, tmp_path, *words.split())
    assert done.returncode == (75 if "--wait" in words else 0), done.stderr


async def test_whoever_is_at_them_for_long_is_named(mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await make_half(mysql_url)
    monkeypatch.setattr(migration, "SHORT_WAIT", 1)
    monkeypatch.setattr(migration, "LOCK_STEP", 1)
    store = await open_store(mysql_url, migrate=None)
    with closing(mysql_session(mysql_url)) as other:
        other.cursor().execute(f"SELECT GET_LOCK('{lock_of(mysql_url)}', 0)")
        try:
            with pytest.raises(StoreUnavailable, match=r"another process has been migrating .* for 1 s; try again"):
                await store.pauses.read()
        finally:
            await store.close()


@pytest.mark.parametrize("has_version", [True, False])
async def test_tables_that_nobody_is_making_are_not_waited_for(mysql_url: str, has_version: bool) -> None:
    """A migration broke off, or a table was dropped from a schema that is complete by its version."""
    await make_half(mysql_url)
    if has_version:
        Direct(mysql_url).run(
            f"INSERT INTO {TASKS}_schema_version (version, applied_at) VALUES ({SCHEMA_VERSION}, NOW())"
        )
    store = await open_store(mysql_url, migrate=None)
    try:
        with pytest.raises(AccessRefused, match=r"run `gridsidecar migrate`|`gridsidecar migrate` creates"):
            await store.pauses.read()
    finally:
        await store.close()
