"""Inside the transaction of a delivery: whether its type is paused, when its handler has a place, and putting off."""

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


class Deferrals(Struct, frozen=True):
    """What is asked and written of tasks that are due and do not start."""

    queries: Mapping[str, Query]
    queue: str

    async def pauses(self, connection: Connection, task: Task) -> bool:
        """Whether a pause keeps this task from its start. Read under a lock: none is forgotten while this parks."""
        asked = {"queue": self.queue, "task_type": task.task_type}
        rows = await connection.fetch(self.queries["pause_shared"], asked)
        return bool(rows) and pause_of(rows[0]).stops(task.task_id)

    async def wait(self, connection: Connection, handler: str, rate: Rate, *, takes_place: bool) -> float:
        """Seconds until a start of this handler may be, 0 or less for now: then it is counted. `takes_place`: it is
        given the next place in the rate, whenever that comes. Those with a place may be late, and come at once."""
        key = {"queue": self.queue, "handler": rate.line(handler)}
        rows = await connection.fetch(self.queries["place"], key)
        if not rows:
            await connection.execute(self.queries["first_place"], key)
            rows = await connection.fetch(self.queries["place"], key)
        pace = {**key, "interval": rate.interval}
        wait = 0.0
        if takes_place:
            wait = float(rows[0]["wait"])
            await connection.execute(self.queries["take_place"], pace)
        wait = max(wait, float(rows[0]["paced"]) - LATENESS)
        if wait <= 0:
            await connection.execute(self.queries["pace_start"], pace)
        return wait

    async def put_off(self, connection: Connection, task: Task, why: Park | Reserve) -> None:
        """Put a row off that stands in the database already."""
        parked = isinstance(why, Park)
        params = records.message_columns(task.message, self.queue) | {
            "id": task.task_id,
            "crashes": why.crashes,
            "parked": int(parked),
            "delay": 0.0 if isinstance(why, Park) else round(why.delay, 3),
            "grace": CHECK_GRACE,
            "years": parked_for(task.task_type),
        }
        await connection.execute(self.queries["shelve"], params)


def pause_of(row: Mapping[str, Any]) -> Pause:
    """One pause as it is stored."""
    return Pause(
        task_type=row["task_type"],
        since=row["since"],
        until=row["until"],
        over=bool(row["ended"]),
        cool_down=row["cool_down"],
        probe=row["probe"],
        reason=row["reason"],
    )
