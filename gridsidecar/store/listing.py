"""Tasks, newest first, page by page: a question is answered by an index, or by looking at so many rows and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gridsidecar.store import records
from gridsidecar.store.access_paths import (
    LONGEST_ID,
    AccessPath,
    Wanted,
    access_path,
    access_path_of_ids,
    parameters,
    prefix_of,
)
from gridsidecar.store.database import Database
from gridsidecar.store.queries import Query
from gridsidecar.store.selection import SINCE, UNTIL

if TYPE_CHECKING:
    from gridsidecar.views import TaskSummary

MOST = 200  # tasks on one page
MOST_WITH_DATA = 20
SCAN = 2_000  # rows that are looked at for one page, where no index has what is asked
SCAN_OF_INDEX = 20_000  # entries of an index that has it, but not in order
IN_ORDER = "ORDER BY t.created_at DESC, t.id DESC"
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)
_ZERO_TIME = "0000-00-00 00:00:00"  # of an adopted row


class Position(Struct, frozen=True):
    """A task's position in the list: what is to come is older. The time is as the database writes it, in UTC and with
    all its digits; None where an adopted row has none."""

    created_at: str | None
    id: str

    @classmethod
    def of(cls, created_at: str | None, task_id: str) -> Position:
        """Of what somebody says; ValueError where that cannot be one."""
        if created_at is not None and not _is_time(created_at):
            raise ValueError(f"{created_at!r:.80} is no stored time")
        if len(task_id) > LONGEST_ID or records.storable(task_id) != task_id:
            raise ValueError(f"{task_id!r:.80} is no id of a task")
        return cls(created_at, task_id)


class Page(Struct, frozen=True):
    """Some of the tasks, and where to go on: None where there is nothing else. A page may have few tasks, or none, and
    still go on: then the rows that were looked at had no more."""

    tasks: list[TaskSummary]
    next: Position | None


class Listing:
    """Reads the tables and changes nothing. Raises `StoreUnavailable` while the database is away."""

    def __init__(self, database: Database, queries: Mapping[str, Query]) -> None:
        self._database = database
        self._queries = queries

    async def page(self, wanted: Wanted, after: Position | None = None, limit: int = 50) -> Page:
        """At most `limit` (and 200) tasks that come after this position; the first ones without it.

        A task that is there all the while is on exactly one page, whatever is added meanwhile.
        """
        limit = max(1, min(limit, MOST))
        params = parameters(wanted) | {"limit": limit + 1, "scan": SCAN}
        if after is not None:
            params |= {"at": after.created_at, "after": after.id}
        path, end = access_path(wanted, self._database.dialect), None
        if wanted.id_prefix and not await self._are_many(params):
            path = access_path_of_ids(wanted, self._database.dialect)
        elif path.rest:
            end = await self._end(path, wanted, after, params)
            if end is not None:
                params |= {"end_at": end.created_at, "end_id": end.id}
        text = listed(self._queries, self._database.dialect, path, wanted, after, end)
        rows = await self._database.fetch(text, params)
        positions = [Position(row.pop("at"), row["id"]) for row in rows]
        tasks = [records.summary(row) for row in rows[:limit]]
        return Page(tasks, positions[limit - 1] if len(rows) > limit else end)

    async def position_of(self, task_id: str) -> Position | None:
        """Where this task is; None where there is no such task."""
        rows = await self._database.fetch(self._queries["position_of"], {"id": task_id})
        return Position(rows[0]["at"], task_id) if rows else None

    async def _are_many(self, params: Mapping[str, Any]) -> bool:
        """Whether more tasks have ids that begin so than can be sorted."""
        where = f"WHERE {prefix_of(self._database.dialect)} LIMIT 1 OFFSET :scan"
        text = f"SELECT 1 {self._queries['by_id'].text} {where}"
        return bool(await self._database.fetch(Query.of("many_ids", text), params))

    async def _end(
        self, path: AccessPath, wanted: Wanted, after: Position | None, params: Mapping[str, Any]
    ) -> Position | None:
        """How far so many rows reach; None where there are not so many."""
        query = last_looked_at(self._queries, self._database.dialect, path, wanted, after)
        rows = await self._database.fetch(query, params)
        return Position(rows[0]["at"], rows[0]["id"]) if rows else None


# -- the statements ---------------------------------------------------------------------------------------------------


def listed(
    queries: Mapping[str, Query],
    dialect: str,
    path: AccessPath,
    wanted: Wanted,
    after: Position | None,
    end: Position | None,
) -> Query:
    """What reads a page; `end` is the last row that may be looked at."""
    keys = _keys(queries, dialect, path, wanted, after, end, path.rest, "LIMIT :limit")
    query = queries["tasks_listed"]
    return Query.of(query.name, query.text.replace("(keys)", keys))


def last_looked_at(
    queries: Mapping[str, Query], dialect: str, path: AccessPath, wanted: Wanted, after: Position | None
) -> Query:
    """What finds the row at which a page has to end. Each branch may read its share."""
    scan = SCAN_OF_INDEX if path.rest == (prefix_of(dialect),) else SCAN
    share = f"LIMIT 1 OFFSET {scan // len(path.branches)}"
    keys = _keys(queries, dialect, path, wanted, after, None, (), share)
    query = queries["keys_end"]
    return Query.of(query.name, query.text.replace("(keys)", keys))


def _keys(
    queries: Mapping[str, Query],
    dialect: str,
    path: AccessPath,
    wanted: Wanted,
    after: Position | None,
    end: Position | None,
    conditions: tuple[str, ...],
    share: str,
) -> str:
    """The ids and times of what is asked. A row that two branches have is in it once."""
    parts = [
        f"SELECT t.id, t.created_at {queries[f'by_{branch.index}'].text}"
        f"{_where([branch.condition, *position, *conditions])} {IN_ORDER} {share}"
        for branch, position in product(path.branches, positions(dialect, wanted, after, end))
    ]
    wrapped = "({})" if dialect == "mysql" else "SELECT * FROM ({})"
    return f"({' UNION '.join(wrapped.format(part) for part in parts)})"


def _where(conditions: list[str]) -> str:
    given = " AND ".join(filter(None, conditions))
    return f" WHERE {given}" if given else ""


def positions(dialect: str, wanted: Wanted, after: Position | None, end: Position | None) -> list[list[str]]:
    """What is left of that moment, and what is older: each is one range of an index, also where thousands are of one
    moment. Rows without a time are the oldest. No limit is named that another one implies: a server may take any."""
    since = [SINCE] if wanted.since is not None else []
    if end is not None and end.created_at is not None:
        since = ["t.created_at >= :end_at", "(t.created_at > :end_at OR t.id >= :end_id)"]
    elif end is not None:
        since = ["(t.created_at IS NOT NULL OR t.id >= :end_id)"]
    if after is None or (wanted.until is not None and not _is_older(after, wanted.until)):
        return [[*([UNTIL] if wanted.until is not None else []), *since]]
    if after.created_at is None:
        return [["t.created_at IS NULL", "t.id < :after", *since]]
    same = ["t.created_at = :at", "t.id < :after"]
    if end is not None and _moment(end.created_at) == _moment(after.created_at):
        return [[*same, "t.id >= :end_id"]]
    if wanted.since is not None and _is_older(after, wanted.since):
        return [["t.created_at < :at", SINCE]]  # nothing
    older = "t.created_at < :at"
    to_the_last = wanted.since is None and (end is None or end.created_at is None)
    if dialect == "mysql" and to_the_last:  # an adopted table has rows without a time
        older = f"({older} OR t.created_at IS NULL)"
    return [same, [older, *since]]


def _is_older(position: Position, limit: datetime) -> bool:
    return _moment(position.created_at) < _moment(records.time_text(limit))


def _is_time(text: str) -> bool:
    """A server may refuse to compare others with a time."""
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return text.startswith(_ZERO_TIME)
    return True


def _moment(text: str | None) -> str:
    """A stored time with as many digits as any; the oldest where there is none."""
    if text is None:
        return ""
    return (text if "." in text else f"{text}.").ljust(26, "0")
