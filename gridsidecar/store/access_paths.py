"""By which index the tasks of a question are found, and what then has to be looked at in each row."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import product
from typing import Any

from msgspec import Struct

from gridsidecar.rules.task import Status
from gridsidecar.store import records
from gridsidecar.store.selection import OF_ERROR, OF_QUEUE, states

MOST_BRANCHES = 40  # of one statement: pairs of a type and a state, each read by itself
MOST_TYPES = 20
LONGEST_ID = 768  # characters
_LAST = chr(0x10FFFF)


class Wanted(Struct, frozen=True, kw_only=True):
    """Tasks in one of these states, of one of these types, of a queue or of none, with such an error, created from
    `since` to before `until`, with ids that begin so; each where it is given. Times are aware."""

    statuses: tuple[Status, ...] = ()
    task_types: tuple[str, ...] = ()
    queue: str | None = None
    error_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    id_prefix: str = ""

    def __post_init__(self) -> None:
        if len(self.task_types) > MOST_TYPES:
            raise ValueError(f"{len(self.task_types)} types are too many; at most {MOST_TYPES} can be asked for")


class Branch(Struct, frozen=True):
    """Rows that an index has in the order of the list."""

    index: str
    condition: str = ""


class AccessPath(Struct, frozen=True):
    """All branches together have what is asked for; a row may be in several. The rest has to be looked at in each."""

    branches: tuple[Branch, ...]
    rest: tuple[str, ...] = ()


def access_path(wanted: Wanted, dialect: str) -> AccessPath:
    """The one that leaves the least to be looked at."""
    found, types = states(wanted.statuses, dialect), [f"t.task_type = :{name}" for name in type_names(wanted)]
    if wanted.error_type is not None:
        of_error = (
            Branch("error", "t.error_type = :error_type"),
            Branch("last_error", "t.last_error_type = :error_type"),
        )
        return AccessPath(of_error, _rest(wanted, dialect, "error"))
    if types and len(types) * len(found) <= MOST_BRANCHES:
        of_type = tuple(Branch("type", f"{one} AND {state}") for one, state in product(types, found))
        return AccessPath(of_type, _rest(wanted, dialect, "type", "status"))
    if wanted.statuses:
        return AccessPath(tuple(Branch("status", state) for state in found), _rest(wanted, dialect, "status"))
    if wanted.queue is not None:
        of_queue = Branch("queue", "t.queue = :queue"), Branch("queue", "t.queue IS NULL")
        return AccessPath(of_queue, _rest(wanted, dialect, "queue"))
    return AccessPath((Branch("created"),), _rest(wanted, dialect))


def access_path_of_ids(wanted: Wanted, dialect: str) -> AccessPath:
    """For ids that begin so where these are few: all of them are read and sorted."""
    return AccessPath((Branch("id", prefix_of(dialect)),), _rest(wanted, dialect, "id"))


def _rest(wanted: Wanted, dialect: str, *found: str) -> tuple[str, ...]:
    """What is asked for, but for what an index has found."""
    conditions: dict[str, str] = {}
    if wanted.statuses:
        conditions["status"] = f"({' OR '.join(states(wanted.statuses, dialect))})"
    if wanted.task_types:
        conditions["type"] = f"t.task_type IN ({', '.join(f':{name}' for name in type_names(wanted))})"
    if wanted.error_type is not None:
        conditions["error"] = OF_ERROR
    if wanted.queue is not None:
        conditions["queue"] = OF_QUEUE
    if wanted.id_prefix:
        conditions["id"] = prefix_of(dialect)
    return tuple(condition for name, condition in conditions.items() if name not in found)


def prefix_of(dialect: str) -> str:
    return "t.id LIKE :prefix ESCAPE '|'" if dialect == "mysql" else "t.id >= :prefix_from AND t.id < :prefix_to"


def parameters(wanted: Wanted) -> dict[str, Any]:
    """All that the statements may name."""
    prefix = records.storable(wanted.id_prefix)
    return {
        **dict(zip(type_names(wanted), wanted.task_types, strict=True)),
        "queue": wanted.queue,
        "error_type": wanted.error_type,
        "since": records.time_text(wanted.since),
        "until": records.time_text(wanted.until),
        "prefix": re.sub(r"([|%_])", r"|\1", prefix) + "%",
        "prefix_from": prefix,
        "prefix_to": next_text(prefix),
    }


def type_names(wanted: Wanted) -> list[str]:
    return [f"type_{chr(ord('a') + number)}" for number in range(len(wanted.task_types))]


def next_text(prefix: str) -> str:
    """The first text after all that begin with this one, compared byte for byte."""
    kept = prefix.rstrip(_LAST)
    if not kept:
        return _LAST * (len(prefix) + LONGEST_ID)  # longer than any
    after = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= after < 0xE000 else after)
