"""Inside the transaction of a delivery: whether a pause or a rate keeps its task from its start, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from gridsidecar.rules.flow import Park, Pause, Reserve
from gridsidecar.rules.rate import LATENESS, Rate
from gridsidecar.rules.task import Task
from gridsidecar.store import records
from gridsidecar.store.database import Connection
from gridsidecar.store.ends import CHECK_GRACE
from gridsidecar.store.parking import parked_for
from gridsidecar.store.queries import Query


class FlowControl(Struct, frozen=True):
    """Pauses of types and rates of handlers, as they are applied to a task that is due."""

    queries: Mapping[str, Query]
    queue: str

    async def is_paused(self, connection: Connection, task: Task) -> bool:
        """Whether a pause keeps this task from its start. Read under a lock: none is forgotten while this parks."""
        asked = {"queue": self.queue, "task_type": task.task_type}
        rows = await connection.fetch(self.queries["pause_shared"], asked)
        return bool(rows) and pause_of(rows[0]).stops(task.task_id)

    async def delay_by_rate(self, connection: Connection, handler: str, rate: Rate, *, reserve: bool) -> float:
        """Seconds until a start of this handler may be, 0 or less for now: then it is counted. `reserve`: it is
        given the next free start, whenever that comes. Those that have one may be late, and come at once."""
        key = {"queue": self.queue, "handler": rate.key(handler)}
        rows = await connection.fetch(self.queries["rate"], key)
        if not rows:
            await connection.execute(self.queries["insert_rate"], key)
            rows = await connection.fetch(self.queries["rate"], key)
        spaced = {**key, "interval": rate.interval}
        delay = 0.0
        if reserve:
            delay = float(rows[0]["until_free"])
            await connection.execute(self.queries["reserve_start"], spaced)
        delay = max(delay, float(rows[0]["until_paced"]) - LATENESS)
        if delay <= 0:
            await connection.execute(self.queries["count_start"], spaced)
        return delay

    async def postpone_start(self, connection: Connection, task: Task, why: Park | Reserve) -> None:
        """A row that stands in the database already does not start now."""
        parked = isinstance(why, Park)
        params = records.message_columns(task.message, self.queue) | {
            "id": task.task_id,
            "crashes": why.crashes,
            "parked": int(parked),
            "delay": 0.0 if isinstance(why, Park) else round(why.delay, 3),
            "grace": CHECK_GRACE,
            "years": parked_for(task.task_type),
        }
        await connection.execute(self.queries["postpone_start"], params)


def pause_of(row: Mapping[str, Any]) -> Pause:
    """One pause as it is stored."""
    return Pause(
        task_type=row["task_type"],
        since=row["since"],
        until=row["until"],
        expired=bool(row["expired"]),
        cool_down=row["cool_down"],
        probe=row["probe"],
        reason=row["reason"],
    )
