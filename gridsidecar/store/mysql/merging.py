"""Many writes as few statements: rows of the same INSERT travel in one, and so do updates that are nearly alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from gridsidecar.store.database import Params, Statement
from gridsidecar.store.mysql.literal import Sql
from gridsidecar.store.queries import Query

Writers = Mapping[type, Callable[[Any], str]]


class Merged(Struct):
    """One statement of the batch, and the positions of the writes that it carries."""

    query: Query
    writes: list[Params] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    def sql(self, writers: Writers) -> str:
        if self.query.row is not None:
            rows = ", ".join([self.query.row.render(params, writers) for params in self.writes])
            return self.query.head + rows + self.query.tail
        if len(self.writes) == 1:
            return self.query.render(self.writes[0], writers)
        return self.query.render(_of_all(self.writes, writers), writers)


def _of_all(writes: Sequence[Params], writers: Writers) -> Params:
    """What several updates have in common, the ids of all, and the result of each by its id."""
    ids = [writers[type(value)](value) for value in [params["id"] for params in writes]]
    results = [writers[type(value)](value) for value in [params["result"] for params in writes]]
    if len({*results}) == 1:
        result = results[0]
    else:
        cases = " ".join([f"WHEN {key} THEN {value}" for key, value in zip(ids, results, strict=True)])
        result = f"CASE id {cases} END"
    return {**writes[0], "id": Sql(", ".join(ids)), "result": Sql(result)}


def merge(statements: Sequence[Statement]) -> list[Merged]:
    """The batch's statements. Writes of one batch do not depend on each other's order across rows; those to one row
    keep theirs: an update only travels with an earlier one while nothing else was written to its row."""
    merged: list[Merged] = []
    groups: dict[Hashable, Merged] = {}
    touched: set[object] = set()
    for position, (query, params) in enumerate(statements):
        key: Hashable = None
        if query.row is not None:
            key = query.name
        elif query.common and params["id"] not in touched:
            key = (query.name, *[params[name] for name in query.common])
        group = groups.get(key) if key is not None else None
        if group is None:
            group = Merged(query)
            merged.append(group)
            if key is not None:
                groups[key] = group
        if query.row is None:
            touched.add(params.get("id"))
        group.writes.append(params)
        group.positions.append(position)
    return merged


def spread(merged: Sequence[Merged], counts: Sequence[int], size: int) -> list[int]:
    """Rows changed by each of `size` writes. Where a statement changed fewer rows than it carries, nobody knows which:
    all of its writes count as unchanged, and their callers look at the row."""
    changed = [0] * size
    for statement, count in zip(merged, counts, strict=True):
        known = count if len(statement.positions) == 1 else int(count == len(statement.positions))
        for position in statement.positions:
            changed[position] = known
    return changed
