"""How many tasks there are of what: exact where they are few, and at least so many where counting would take long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from gridsidecar.rules.task import Status
from gridsidecar.store import records
from gridsidecar.store.database import Database
from gridsidecar.store.queries import Query
from gridsidecar.store.selection import SINCE, states

MOST = 100_000  # tasks in one state, and callbacks, that are counted
MOST_OF_TYPE = 10_000  # tasks of one type in one state
MOST_OF_QUEUE = 5_000  # the newest of a queue that is not alone in the table: no index has its types
MOST_TYPES = 50  # the first by their names
AT_ONCE = 10  # types in one statement
SAMPLE = 100  # the newest tasks of a type and state, whose time is taken for that of all


class Count(Struct, frozen=True):
    """`n`, or more than that."""

    n: int
    at_least: bool = False

    @classmethod
    def up_to(cls, most: int, counted: int) -> Count:
        """What was counted up to one more than that."""
        return cls(min(counted, most), at_least=counted > most)

    def __add__(self, other: Count) -> Count:
        return Count(self.n + other.n, self.at_least or other.at_least)

    def __str__(self) -> str:
        return f"{self.n:,}{'+' if self.at_least else ''}"


class TypeCount(Struct, frozen=True, kw_only=True):
    """Tasks of one type in one state; `seconds` from start to end, on average of the newest of those that ended."""

    task_type: str
    status: Status
    count: Count
    seconds: float | None


class Counting:
    """Reads the tables and changes nothing. Raises `StoreUnavailable` while the database is away."""

    def __init__(self, database: Database, queries: Mapping[str, Query]) -> None:
        self._database = database
        self._queries = queries

    async def by_status(self, since: datetime | None = None) -> dict[Status, Count]:
        """Created since then; states without a task are left out."""
        return (await self._counts("by_status", {"": ""}, since, MOST))[""]

    async def by_type(self, since: datetime | None = None, queue: str | None = None) -> list[TypeCount]:
        """The same for each type and state, of this queue or of all."""
        if queue is not None and (await self._fetch(self._queries["beside"].text, None, queue=queue))[0]["others"]:
            return await self._newest_of(queue, since)
        found = []
        async for types in self._types():
            named = {f"type_{position}": task_type for position, task_type in zip(_PLACES, types, strict=False)}
            conditions = {name: f"t.task_type = :{name}" for name in named}
            counts = await self._counts("by_type", conditions, since, MOST_OF_TYPE, **named)
            seconds = await self._seconds(conditions, counts, since, named)
            found += [
                TypeCount(task_type=named[name], status=status, count=count, seconds=seconds.get((name, status)))
                for name, of_states in counts.items()
                for status, count in sorted(of_states.items())
            ]
        return found

    async def _newest_of(self, queue: str, since: datetime | None) -> list[TypeCount]:
        """Floors where the queue has more than are looked at."""
        rows = f"{self._queries['by_queue'].text}{_where(['t.queue = :queue'], since)}"
        columns = "t.task_type, t.status"
        counted = f"SELECT {columns}, COUNT(*) AS n, {self._took(f'{columns}, ', rows, MOST_OF_QUEUE)}"
        cells = await self._fetch(f"{counted} GROUP BY {columns}", since, queue=queue)
        full = sum(cell["n"] for cell in cells) >= MOST_OF_QUEUE
        found = [
            TypeCount(
                task_type=cell["task_type"],
                status=(status := records.status(cell["status"])),
                count=Count(cell["n"], at_least=full),
                seconds=round(float(cell["seconds"]), 3) if status.terminal and cell["seconds"] is not None else None,
            )
            for cell in cells
        ]
        types = sorted({one.task_type for one in found})[:MOST_TYPES]
        return sorted((one for one in found if one.task_type in types), key=lambda one: (one.task_type, one.status))

    async def _types(self) -> AsyncIterator[list[str]]:
        """Some at a time. Each is the first one after the one before: so the index is not read through."""
        some: list[str] = []
        after = None
        for _ in range(MOST_TYPES):
            where = "" if after is None else " WHERE t.task_type > :after"
            text = f"SELECT MIN(t.task_type) AS task_type {self._queries['by_type'].text}{where}"
            after = (await self._fetch(text, None, after=after))[0]["task_type"]
            if after is None:
                break
            some.append(after)
            if len(some) == AT_ONCE:
                yield some
                some = []
        if some:
            yield some

    async def _counts(
        self, index: str, groups: Mapping[str, str], since: datetime | None, most: int, **named: str
    ) -> dict[str, dict[Status, Count]]:
        """Of each group by its name. First is asked where there are more than `most`, so that these are not counted: in
        one statement with the counts a server would do that first."""
        cells = [
            (name, status, _where([condition, state], since))
            for name, condition in groups.items()
            for status in Status
            for state in states((status,), self._database.dialect)
        ]
        rows = self._queries[index].text
        beyond = [f"(SELECT {most + 1} {rows}{where} LIMIT 1 OFFSET {most})" for _, _, where in cells]
        figures = await self._figures(beyond, since, named)
        few = [f"(SELECT COUNT(*) {rows}{cells[at][2]})" for at, figure in enumerate(figures) if figure is None]
        exact = iter(await self._figures(few, since, named))
        counts: dict[str, dict[Status, Count]] = {name: {} for name in groups}
        for (name, status, _), figure in zip(cells, figures, strict=True):
            if counted := next(exact) if figure is None else figure:
                counts[name][status] = counts[name].get(status, Count(0)) + Count.up_to(most, counted)
        return counts

    async def _figures(self, parts: list[str], since: datetime | None, named: Mapping[str, str]) -> list[int | None]:
        """The value of each part, in their order."""
        columns = ", ".join(f"{part} AS n{position}" for position, part in enumerate(parts))
        (row,) = await self._fetch(f"SELECT {columns}", since, **named) if parts else ({},)
        return [row[f"n{position}"] for position in range(len(parts))]

    async def _seconds(
        self,
        conditions: Mapping[str, str],
        counts: Mapping[str, Mapping[Status, Count]],
        since: datetime | None,
        named: Mapping[str, str],
    ) -> dict[tuple[str, Status], float]:
        """Mean times of what ended."""
        parts = [
            self._mean(name, status, _where([conditions[name], f"t.status = '{status}'"], since))
            for name, of_states in counts.items()
            for status in of_states
            if status.terminal
        ]
        rows = await self._fetch(" UNION ALL ".join(parts), since, **named) if parts else []
        return {
            (row["name"], Status(row["status"])): round(float(row["seconds"]), 3)
            for row in rows
            if row["seconds"] is not None
        }

    def _mean(self, name: str, status: Status, where: str) -> str:
        rows = f"{self._queries['by_type'].text}{where}"
        return f"SELECT '{name}' AS name, '{status}' AS status, {self._took('', rows, SAMPLE)}"

    def _took(self, columns: str, rows: str, most: int) -> str:
        """Mean time of the newest, and what else is read of them."""
        newest = f"SELECT {columns}t.started_at, t.completed_at {rows} ORDER BY t.created_at DESC LIMIT {most}"
        return f"{self._queries['took'].text} AS seconds FROM ({newest}) t"

    async def _fetch(self, text: str, since: datetime | None, **params: Any) -> list[dict[str, Any]]:
        return await self._database.fetch(Query.of("counts", text), params | {"since": records.time_text(since)})


_PLACES = "abcdefghij"  # of types in one statement


def totals(types: Sequence[TypeCount]) -> dict[Status, Count]:
    """By status; floors where there may be more types than these."""
    full = len({one.task_type for one in types}) >= MOST_TYPES
    found: dict[Status, Count] = {}
    for one in types:
        found[one.status] = found.get(one.status, Count(0, at_least=full)) + one.count
    return found


def _where(conditions: list[str], since: datetime | None) -> str:
    given = [*filter(None, conditions), *([SINCE] if since is not None else [])]
    return f" WHERE {' AND '.join(given)}"
