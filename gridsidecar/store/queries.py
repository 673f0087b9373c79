"""The named statements of one dialect, with table names filled in and parameters ready to bind or to render."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from msgspec import Struct

SCHEMA_VERSION = 12  # the newest migration in sql/
LONGEST_NAME = 64  # characters of a table's name, in MySQL
_SIDE_TABLES = (
    "attempts",
    "callbacks",
    "workers",
    "operations",
    "operation_ids",
    "pauses",
    "rates",
    "output",
    "minutes",
    "schema_version",
    "owed_work",
)
_NEXT_REV = f"(rev & {2**62 - 1}) + 1"  # of a row's next change; it begins anew before the column is full
_NOW = {"sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')", "mysql": "UTC_TIMESTAMP(3)"}


class Query(Struct, frozen=True):
    """One statement. `text` has `:name` parameters, `template` has `%s` in the places of `names`.

    An INSERT that may carry several rows is also there in three parts: `head`, one `row` of values, `tail`. Of an
    UPDATE that may change several rows, `common` names the parameters in which they must be alike: all but `:id` and
    `:result`.
    """

    name: str
    text: str
    template: str
    names: tuple[str, ...]
    head: str = ""
    row: Query | None = None
    tail: str = ""
    common: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, text: str, many: str = "") -> Query:
        """Find the parameters in `text` and, where it may carry many `rows` or `ids`, its parts."""
        pieces = re.split(r"(?<!:):([a-z_]+)", text)
        template = "%s".join(piece.replace("%", "%%") for piece in pieces[0::2])
        names = tuple(pieces[1::2])
        if many == "ids":
            return cls(name, text, template, names, common=tuple(sorted({*names} - {"id", "result"})))
        parts = re.fullmatch(r"(.*\nVALUES )(\(.*\))(\nON .*)", text, re.DOTALL) if many == "rows" else None
        head, row, tail = parts.groups() if parts else ("", None, "")
        return cls(name, text, template, names, head, None if row is None else cls.of(name, row), tail)

    def render(self, params: Mapping[str, object], writers: Mapping[type, Callable[[Any], str]]) -> str:
        """The statement with each parameter as an SQL literal, for many statements in one round trip."""
        values = [params[name] for name in self.names]
        return self.template % tuple(["NULL" if value is None else writers[type(value)](value) for value in values])


class TableNames(Struct, frozen=True):
    """The tables of one installation: `<prefix><name>` for the tasks, side tables named after it."""

    tasks: str

    @property
    def all(self) -> frozenset[str]:
        return frozenset((self.tasks, *(f"{self.tasks}_{word}" for word in _SIDE_TABLES)))

    @property
    def excess(self) -> int:
        """Characters by which the longest name is too long; 0 or less is fine."""
        return max(len(f"{self.tasks}_{word}") for word in _SIDE_TABLES) - LONGEST_NAME

    def mapping(self, dialect: str) -> dict[str, str]:
        """What stands for each `{word}` in the SQL files. Names are quoted: `order` may be a table too."""
        side = {word: f"`{self.tasks}_{word}`" for word in _SIDE_TABLES}
        return {"tasks": f"`{self.tasks}`", "name": self.tasks, "now": _NOW[dialect], "next_rev": _NEXT_REV} | side


def _fill(text: str, names: Mapping[str, str]) -> str:
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], without_comments).strip()


@cache
def load_queries(dialect: str, tables: TableNames) -> dict[str, Query]:
    """All statements of `sql/<dialect>/queries.sql` by name."""
    text = files("gridsidecar.store").joinpath("sql", dialect, "queries.sql").read_text()
    blocks = re.split(r"^-- name: (\w+)(?: many (rows|ids))?\n", text, flags=re.MULTILINE)[1:]
    names = tables.mapping(dialect)
    return {
        name: Query.of(name, _fill(block, names), many or "")
        for name, many, block in zip(blocks[0::3], blocks[1::3], blocks[2::3], strict=True)
    }


def load_migrations(dialect: str, tables: TableNames) -> list[tuple[int, list[str]]]:
    """Numbered migrations in order, each a list of statements that can be run again."""
    folder = files("gridsidecar.store").joinpath("sql", dialect)
    names = tables.mapping(dialect)
    numbered = sorted(entry.name for entry in folder.iterdir() if re.match(r"\d{4}_", entry.name))
    return [
        (
            int(name[:4]),
            [
                part
                for part in re.split(r";\s*\n", _fill(folder.joinpath(name).read_text(), names) + "\n")
                if part.strip()
            ],
        )
        for name in numbered
    ]


class Addition(Struct, frozen=True):
    """`ALTER TABLE … ADD COLUMN IF NOT EXISTS …`, or `ADD KEY`, which MariaDB alone understands: look whether it is
    there, then run `statement`."""

    kind: str  # column | key
    table: str
    name: str
    statement: str

    @classmethod
    def of(cls, statement: str) -> Addition | None:
        """None for any other statement."""
        pattern = r"ALTER TABLE `(\w+)` ADD (COLUMN|KEY) IF NOT EXISTS (\w+) (.*)"
        found = re.fullmatch(pattern, statement.strip(), re.DOTALL)
        if found is None:
            return None
        table, kind, name, definition = found.groups()
        return cls(kind.lower(), table, name, f"ALTER TABLE `{table}` ADD {kind} {name} {definition}")
