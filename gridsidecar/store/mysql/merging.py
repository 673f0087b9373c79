"""Many writes as few statements: rows of the same INSERT travel in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gridsidecar.store.database import Statement
from gridsidecar.store.queries import Query


@dataclass(slots=True)
class Merged:
    """One statement of the batch, and the places of the writes that it carries."""

    sql: str = ""
    rows: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


def merge(statements: Sequence[Statement], literal: Callable[[object], str]) -> list[Merged]:
    """The batch's statements. Writes of one batch do not depend on each other's order across rows."""
    merged: list[Merged] = []
    inserts: dict[str, tuple[Query, Merged]] = {}
    for place, (query, params) in enumerate(statements):
        if query.row is None:
            merged.append(Merged(query.render(params, literal), places=[place]))
            continue
        if query.name not in inserts:
            inserts[query.name] = (query, Merged())
            merged.append(inserts[query.name][1])
        inserts[query.name][1].rows.append(query.row.render(params, literal))
        inserts[query.name][1].places.append(place)
    for query, insert in inserts.values():
        insert.sql = query.head + ", ".join(insert.rows) + query.tail
    return merged


def spread(merged: Sequence[Merged], counts: Sequence[int], size: int) -> list[int]:
    """Rows changed by each of `size` writes. Where some rows of a merged INSERT were there already, nobody knows
    which: all of its writes count as unchanged, and their callers look at the row."""
    changed = [0] * size
    for statement, count in zip(merged, counts, strict=True):
        known = count if len(statement.places) == 1 else int(count == len(statement.places))
        for place in statement.places:
            changed[place] = known
    return changed
