"""Which tasks somebody means: a filter, and the statements that find what it names by an index, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from gridsidecar.rules.task import Status
from gridsidecar.store import records
from gridsidecar.store.database import Database
from gridsidecar.store.queries import Query

PAGE = 500  # ids
_FIRST = "1000-01-01 00:00:00.000"
OF_QUEUE = "COALESCE(t.queue, :queue) = :queue"
OF_ERROR = "(t.error_type = :error_type OR t.last_error_type = :error_type)"
SINCE, UNTIL = "t.created_at >= :since", "t.created_at < :until"
NEXT_PAGE = (
    " AND t.created_at >= :at AND (t.created_at > :at OR t.id > :after) ORDER BY t.created_at, t.id LIMIT :limit"
)


class Filter(Struct, frozen=True, kw_only=True):
    """Tasks in one of these states, of a queue or of none, and (where they are given) of a type, with such an error,
    and created from `since` to before `until`. Times are aware."""

    statuses: tuple[Status, ...]
    queue: str
    task_type: str | None = None
    error_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """What was asked, for people and for whoever goes on with it."""
        named = {
            "status": [str(status) for status in self.statuses],
            "queue": self.queue,
            "type": self.task_type,
            "error_type": self.error_type,
            "since": self.since and self.since.astimezone(UTC).isoformat(),
            "until": self.until and self.until.astimezone(UTC).isoformat(),
        }
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def of_dict(cls, asked: Mapping[str, Any]) -> Filter:
        times = {name: datetime.fromisoformat(asked[name]) for name in ("since", "until") if name in asked}
        return cls(
            statuses=tuple(Status(status) for status in asked["status"]),
            queue=asked["queue"],
            task_type=asked.get("type"),
            error_type=asked.get("error_type"),
            **times,
        )


class Cursor(Struct, frozen=True):
    """Where a page of what a filter names ends: its state, and the last task there."""

    status: Status
    created_at: str
    id: str


class Selection:
    """Reads what a filter names. Each status by itself, in the order of creation: so an index has it as it is asked."""

    def __init__(self, database: Database, queries: Mapping[str, Query], filter_: Filter) -> None:
        self._database = database
        self._queries = queries
        self._filter = filter_

    async def count(self) -> int:
        total = 0
        for status in self._filter.statuses:
            rows = await self._database.fetch(self._query("count_selected", page=False), self._params(status))
            total += int(rows[0]["n"])
        return total

    async def by_type(self) -> list[tuple[str, Status, int]]:
        """How many of which type are in which state."""
        found = []
        for status in self._filter.statuses:
            rows = await self._database.fetch(self._query("types_selected", page=False), self._params(status))
            found += [(str(row["task_type"]), status, int(row["n"])) for row in rows]
        return found

    async def pages(self) -> AsyncIterator[list[str]]:
        """Ids, so many at a time."""
        position = None
        while True:
            ids, position = await self.page(position)
            if ids:
                yield ids
            if position is None:
                return

    async def page(self, after: Cursor | None) -> tuple[list[str], Cursor | None]:
        """So many ids from there on, and where they end: None where nothing follows, or that is a position in another
        filter."""
        statuses = self._filter.statuses
        if after is not None:
            statuses = statuses[statuses.index(after.status) :] if after.status in statuses else ()
        for status in statuses:
            inside = after is not None and after.status is status
            at, last = (after.created_at, after.id) if after is not None and inside else (_FIRST, "")
            params = self._params(status) | {"at": at, "after": last, "limit": PAGE}
            rows = await self._database.fetch(self._query("tasks_selected", page=True), params)
            if rows:
                return [row["id"] for row in rows], Cursor(status, rows[-1]["created_at"], rows[-1]["id"])
        return [], None

    def _query(self, name: str, *, page: bool) -> Query:
        return statement(self._queries[name], self._filter, page=page)

    def _params(self, status: Status) -> dict[str, Any]:
        return {
            "status": status.value,
            "queue": self._filter.queue,
            "task_type": self._filter.task_type,
            "error_type": self._filter.error_type,
            "since": records.time_text(self._filter.since),
            "until": records.time_text(self._filter.until),
        }


def statement(beginning: Query, chosen: Filter, *, page: bool) -> Query:
    """What finds the tasks of a filter in one state, from `:at` and `:after` on where it is for a page."""
    where = " AND ".join(_conditions(chosen))
    rest = NEXT_PAGE if page else " GROUP BY t.task_type" if beginning.name == "types_selected" else ""
    return Query.of(beginning.name, f"{beginning.text} WHERE {where}{rest}")


def _conditions(chosen: Filter) -> Iterator[str]:
    """Only what is asked for: a condition that may be empty hides the index from a server."""
    yield "t.status = :status"
    yield OF_QUEUE
    if chosen.task_type is not None:
        yield "t.task_type = :task_type"
    if chosen.error_type is not None:
        yield OF_ERROR
    if chosen.since is not None:
        yield SINCE
    if chosen.until is not None:
        yield UNTIL


def states(statuses: tuple[Status, ...], dialect: str) -> list[str]:
    """One condition for each value of the column; all of them where none is asked for. A row that another program wrote
    without a status waits."""
    found = [f"t.status = '{status}'" for status in dict.fromkeys(statuses or Status)]
    if dialect == "mysql" and Status.PENDING in (statuses or Status):
        found += ["t.status = ''", "t.status IS NULL"]
    return found
