"""Text columns of another collation than ours: an adopted table keeps its own, and so does one of an older server."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from gridsidecar.rules.reception import Insert
from gridsidecar.rules.task import Callback, Failed, Status, Succeeded
from tests.store.direct import TASKS, Direct
from tests.store.plugin import SHAPES, Plugin
from tests.store.workers import A, Two, end, listed, migrate, open_store, task

OTHER = "CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"


@pytest.mark.parametrize("table", [TASKS, f"{TASKS}_callbacks", f"{TASKS}_workers", f"{TASKS}_attempts"])
async def test_one_table_has_another(mysql_url: str, table: str) -> None:
    await migrate(mysql_url)
    Direct(mysql_url).run(f"ALTER TABLE {table} CONVERT TO {OTHER}")
    await assert_works(mysql_url)


async def test_an_adopted_table_of_a_database_that_has_another(mysql_url: str) -> None:
    Direct(mysql_url).run(f"ALTER DATABASE {urlsplit(mysql_url).path[1:]} {OTHER}")
    plugin = Plugin(mysql_url, next(iter(SHAPES.values())))
    plugin.create()
    plugin.run(f"ALTER TABLE {{table}} CONVERT TO {OTHER}")
    await migrate(mysql_url)
    await assert_works(mysql_url)


async def assert_works(url: str) -> None:
    """Everything that compares text of two tables, or of a table with what a person or a message says."""
    store = await open_store(url, queue="очередь")
    two = Two(store, store, url)
    try:
        await store.leases.renew("A", "имя", 60)
        for name in ("задача", "other"):
            fields = {"task_type": "тип", "callback": Callback(url="http://пример:80/")}
            received = await store.tasks.claim(task(name, fields=fields), A, 3)
            assert received.reception == Insert()
            assert received.claim is not None
            assert await end(
                store, received.claim, Succeeded(1) if name == "other" else Failed(error="no", error_type="X"), delay=0
            )
        two.rows.make_overdue("задача")
        assert await store.reading.owed() == 2
        assert [row["task_id"] for row in await listed(store, task_types=("тип",), statuses=(Status.SUCCESS,))] == [
            "other"
        ]
        assert len(await store.leases.overdue(judge_others=True)) == 1
        assert len((await store.outbox.take(30)).callbacks) == 1
        assert await store.outbox.replay("задача") == 0
        assert await store.outbox.replay("other") == 1
        (owed,) = await store.outbox.all(task_id="other")
        assert await store.outbox.replay(owed["id"]) == 1
        assert len(await store.reading.workers()) == 1
        await store.leases.forget_gone()
        assert await store.retention.prune() == 0
    finally:
        await store.close()


async def test_a_callback_is_replayed_by_the_id_of_any_task(two: Two) -> None:
    assert await two.a.outbox.replay("задача") == 0
