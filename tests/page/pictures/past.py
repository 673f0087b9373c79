"""The hour before anybody looked: tasks that ended then, as rows and in the counters of their minutes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from gridsidecar.config.settings import StoreSettings
from gridsidecar.store import make_store
from gridsidecar.store.histogram import bound_of
from gridsidecar.store.minutes import Cell, Total, minute_of
from tests.support.database import mysql_session
from tests.support.place import TASKS

MINUTES = 66
AHEAD = 4  # minutes that the pictures may take
EACH_MINUTE = 90

# Type: its share in all that ends, and its usual duration in seconds.
SHARES = {
    "mail.send": (0.5, 0.3),
    "search.index": (0.27, 0.7),
    "payment.capture": (0.1, 0.5),
    "invoice.post": (0.07, 1.1),
    "thumbnails": (0.025, 8.0),
    "crm.sync": (0.02, 0.4),
    "export.csv": (0.01, 12.0),
    "report.monthly": (0.008, 50.0),
    "video.transcode": (0.007, 90.0),
}
# Type: what it fails with, how often, and how many minutes ago that was.
TROUBLE = {
    "search.index": ("ShardReadOnly", 0.28, range(17, 29)),
    "payment.capture": ("GatewayTimeout", 0.12, range(6)),
    "invoice.post": ("LedgerLocked", 0.03, range(MINUTES)),
    "export.csv": ("TimeoutError", 0.3, range(12)),
}


class Past(NamedTuple):
    """An attempt that ended, and with it its task unless it is retried."""

    task_type: str
    ended: datetime
    seconds: float
    outcome: str
    error: str


def ended(now: datetime) -> list[Past]:
    """The same each time, but for the moment."""
    chance = random.Random(2026)
    return [one for ago in range(MINUTES, -AHEAD, -1) for one in _minute(chance, now - timedelta(minutes=ago), ago)]


def _minute(chance: random.Random, begins: datetime, ago: int) -> Iterator[Past]:
    wave = 1 + 0.2 * ((ago % 30) / 15 - 1) ** 2
    weights = [share for share, _ in SHARES.values()]
    for task_type in chance.choices([*SHARES], weights, k=int(EACH_MINUTE * wave * chance.uniform(0.92, 1.08))):
        at = begins + timedelta(seconds=chance.uniform(0, 60))
        took = SHARES[task_type][1] * chance.lognormvariate(0, 0.5)
        error, share, when = TROUBLE.get(task_type, ("", 0.0, range(0)))
        if ago not in when or chance.random() > share:
            yield Past(task_type, at, took, "success", "")
        elif chance.random() < 0.35:
            yield Past(task_type, at, took, "failed", error)
        else:
            yield Past(task_type, at, took, "retrying", error)
            yield Past(task_type, at + timedelta(seconds=30), took, "success", "")


async def lay_down(url: str, queue: str) -> None:
    """Into the tables that a worker has made."""
    now = datetime.now(UTC).replace(microsecond=0)
    all_of_it = ended(now)
    _write_rows(url, queue, [one for one in all_of_it if one.outcome != "retrying" and one.ended < now])
    counted: dict[Cell, Total] = defaultdict(Total)
    for one in all_of_it:
        bound = bound_of(one.seconds)
        total = counted[Cell(minute_of(one.ended), one.task_type, one.outcome, one.error, bound)]
        total.n += 1
        total.seconds += one.seconds
    store = make_store(StoreSettings(url=url), queue)
    await store.open()
    await store.minutes.add(counted.items())
    await store.close()


def _write_rows(url: str, queue: str, past: list[Past]) -> None:
    columns = "id, task_type, status, queue, attempt, created_at, started_at, updated_at, completed_at, error_type"
    with closing(mysql_session(url)) as session, session.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {TASKS} ({columns}) VALUES ({', '.join(['%s'] * 10)})",
            [_row(one, queue, number) for number, one in enumerate(past)],
        )


def _row(one: Past, queue: str, number: int) -> tuple[Any, ...]:
    began, done = (f"{at:%Y-%m-%d %H:%M:%S.%f}"[:23] for at in (one.ended - timedelta(seconds=one.seconds), one.ended))
    name = f"{one.task_type.partition('.')[0]}-{110_000 + number}"
    return name, one.task_type, one.outcome, queue, 1, began, began, done, done, one.error or None
