"""What people and programs ask about tasks: one, many, their history, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from msgspec import Struct

from gridsidecar.rules.flow import Pause, is_due
from gridsidecar.rules.task import Message
from gridsidecar.store import records
from gridsidecar.store.counting import MOST
from gridsidecar.store.database import Database, RowRejected
from gridsidecar.store.flow_control import pause_of
from gridsidecar.store.queries import Query

if TYPE_CHECKING:
    from gridsidecar.views import AttemptView, PausedView, PauseView, TaskState, TaskSummary, TaskView, WorkerView

    AnyTask = TypeVar("AnyTask", bound=TaskState)

AT_ONCE = 100  # tasks whose data are read in one statement


class Counts(Struct, frozen=True):
    """How many there are of what; `at_least` names the counts that are floors."""

    counts: dict[str, int]
    at_least: list[str]


class Detail(TypedDict):
    """Of a task: when its last attempt began and ended, to the millisecond always; and its `data`."""

    id: str
    data: Any
    started_at: str | None
    ended_at: str | None


class Reading:
    """Reads the tables and changes nothing. Raises `StoreUnavailable` while the database is away."""

    def __init__(self, database: Database, queries: dict[str, Query], queue: str) -> None:
        self._database = database
        self._queries = queries
        self._queue = queue

    async def get(self, task_id: str) -> TaskView | None:
        """One task as `status --json` shows it; None when there is no such row."""
        views = [records.view(row) for row in await self._read("view", {"id": task_id})]
        return (await self.with_pauses(views))[0] if views else None

    async def with_pauses(self, views: list[AnyTask]) -> list[AnyTask]:
        """The same tasks, each with `paused`: what keeps it from its start although it is due (`since_at`, `until_at`,
        `cool_down`, `reason`, as `pauses` has them), or None."""
        queues = {view["queue"] for view in views if is_due(view["status"], view["due_in_s"])}
        found = {
            (queue, one.task_type): one
            for queue in queues
            for one in map(pause_of, await self._read("pauses", {"queue": queue}))
        }
        for view in views:
            view["paused"] = _kept_by(found.get((view["queue"], view["task_type"])), view)
        return views

    async def attempts(self, task_id: str) -> list[AttemptView]:
        """The history of a task, first attempt first."""
        return [records.attempt_view(row) for row in await self._read("attempts_of", {"id": task_id})]

    async def some(self, ids: Sequence[str]) -> dict[str, TaskSummary]:
        """Tasks by id, without their data and results, with `rev`, which every change of a row changes."""
        if not ids:
            return {}
        return {row["id"]: records.summary(row) for row in await self._read("tasks_of", {"ids": tuple(ids)})}

    async def details(self, ids: Sequence[str], *, with_data: bool) -> dict[str, Detail]:
        """Of tasks by id; their `data` is None where it is not wanted."""
        rows = await self._read("details_of", {"ids": tuple(ids), "with_data": int(with_data)}) if ids else []
        return {
            row["id"]: Detail(
                id=row["id"],
                data=records.decoded(row["data"]),
                started_at=row["started_at"],
                ended_at=row["ended_at"],
            )
            for row in rows
        }

    async def detailed(self, views: list[TaskSummary], *, with_data: bool) -> list[TaskSummary]:
        """The same tasks with their data, where those are wanted; and with the times of their last attempts where the
        table, being another program's, has whole seconds only."""
        asked = [view["task_id"] for view in views if with_data or _whole_seconds(view)]
        details: dict[str, Detail] = {}
        for start in range(0, len(asked), AT_ONCE):
            details |= await self.details(asked[start : start + AT_ONCE], with_data=with_data)
        return [_detailed(view, details.get(view["task_id"]), with_data) for view in views]

    async def message(self, task_id: str) -> Message | None:
        """What its producer sent; None where that is not there, or cannot be read."""
        for row in await self._read("message_of", {"id": task_id}):
            with suppress(RowRejected):
                return records.produced(row)
        return None

    async def callback_counts(self) -> tuple[Counts, Counts]:
        """Callbacks, and letters that failed tasks owe to the dead letters: `owed`, `dead` and `delivered`."""
        rows = {row["what"]: row for row in await self._read("callback_counts", {"limit": MOST + 1})}
        letters = {what: int(row["letters"] or 0) for what, row in rows.items()}
        others = {what: int(row["n"]) - letters[what] for what, row in rows.items()}
        full = {what for what, row in rows.items() if int(row["n"]) > MOST}
        return _counted(others, full), _counted(letters, full)

    async def callbacks_waiting(self) -> dict[str, int]:
        """Number of callbacks and letters `owed` and `dead`. Those that were delivered, however many, take no time."""
        (row,) = await self._read("callbacks_waiting", {})
        return {name: int(row[name]) for name in ("owed", "dead")}

    async def oldest_pending(self) -> float:
        """Seconds for which the oldest task waits that is due; 0 where none does. Looks at a bounded number of rows."""
        (row,) = await self._read("oldest_pending", {})
        return max(0.0, float(row["seconds"] or 0))

    async def workers(self) -> list[WorkerView]:
        """Every worker with a heartbeat row: `id`, `name`, `queue`, `version` and `concurrency` (None where an older
        one wrote it), `started_at`, `expires_at`, `alive`, `running`."""
        return [
            {
                "id": row["id"],
                "name": row["name"],
                "queue": row["queue"],
                "version": row["version"],
                "concurrency": row["concurrency"],
                "started_at": row["started_at"],
                "expires_at": row["expires_at"],
                "alive": bool(row["alive"]),
                "running": int(row["running"]),
            }
            for row in await self._read("workers", {})
        ]

    async def pauses(self) -> list[PauseView]:
        """What is paused, of every queue: `queue`, `task_type`, `since_at`, `until_at`, `ended` (what was parked is on
        its way back), `cool_down` (a breaker set it), `reason`, `parked`."""
        rows = await self._read("pause_counts", {})
        return [
            {
                "queue": row["queue"],
                "task_type": row["task_type"],
                "since_at": row["since"],
                "until_at": row["until"],
                "ended": bool(row["expired"]) and row["cool_down"] is None,
                "cool_down": row["cool_down"],
                "reason": row["reason"],
                "parked": int(row["parked"]),
            }
            for row in rows
        ]

    async def owed(self) -> int:
        """Tasks and callbacks of this queue that wait for a worker but not in the queue itself; what a scaler should
        count besides it."""
        return int((await self._read("owed", {"queue": self._queue}))[0]["owed"])

    async def tables(self) -> dict[str, bool]:
        """The tables of the database, and whether each looks like one of tasks. Needs no tables of ours."""
        return {row["name"]: bool(row["of_tasks"]) for row in await self._read("tables", {})}

    async def _read(self, query: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        return await self._database.fetch(self._queries[query], params)


def _counted(found: Mapping[str, int], full: Set[str]) -> Counts:
    """What is neither owed nor dead was delivered."""
    counts = {"owed": found["owed"], "dead": found["dead"], "delivered": max(0, found["others"] - found["owed"])}
    floors = {"owed": "owed", "dead": "dead", "others": "delivered"}
    return Counts(counts, sorted(floors[what] for what in full))


def _whole_seconds(view: TaskState) -> bool:
    times = view["started_at"], view["completed_at"]
    return bool(view["completed_at"]) and all("." not in str(time or "").rstrip("0").rstrip(".") for time in times)


def _detailed(view: TaskSummary, own: Detail | None, with_data: bool) -> TaskSummary:
    if own is not None and own["ended_at"] and _whole_seconds(view):
        view["started_at"], view["completed_at"] = own["started_at"], own["ended_at"]
    if with_data:
        view["data"] = None if own is None else own["data"]
    return view


def _kept_by(kept: Pause | None, view: TaskState) -> PausedView | None:
    if kept is None or not is_due(view["status"], view["due_in_s"]) or not kept.stops(view["task_id"]):
        return None
    return {"since_at": kept.since, "until_at": kept.until, "cool_down": kept.cool_down, "reason": kept.reason}
