"""A table as a CREATE TABLE statement tells it, ours or the server's: columns, keys and options."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

_STRING = r"'(?:[^'\\]|\\.|'')*'"
_ARGUMENTS = rf"\((?:{_STRING}|[^()'])*\)"
_NESTED = rf"\((?:{_STRING}|[^()']|{_ARGUMENTS})*\)"
_COLUMN = re.compile(
    rf"(?P<name>\w+|`(?:[^`]|``)+`)\s+(?P<type>\w+(?:{_ARGUMENTS})?(?: unsigned)?(?: zerofill)?)"
    r"(?: CHARACTER SET (?P<charset>\w+))?(?: COLLATE (?P<collation>\w+))?"
    r"(?P<null> NOT NULL| NULL)?"
    rf"(?: DEFAULT (?P<default>\w*{_STRING}|{_NESTED}|[\w.+-]+(?:{_NESTED})?))?"
    r"(?: ON UPDATE (?P<on_update>\w+(?:\(\d*\))?))?(?P<rest>.*)"
)
_KEY = re.compile(r"(?P<kind>\w+ )?KEY (?:`?(?P<name>[^`\s(]+)`? )?\((?P<columns>.*)\)")
_NO_COLUMN = re.compile(r"(?:\w+ )?KEY |CONSTRAINT |CHECK |PERIOD ")
_FAMILIES = {
    "text": "char varchar tinytext text mediumtext longtext enum set json",
    "number": "tinyint smallint mediumint int bigint float double",
    "time": "timestamp datetime",
    "bytes": "binary varbinary tinyblob blob mediumblob longblob",
}
_FAMILY = {base: family for family, bases in _FAMILIES.items() for base in bases.split()}
_CAPACITY = {"tinytext": 255, "text": 65_535, "mediumtext": 16_777_215}
_UNBOUNDED = 4_294_967_295


class Column(Struct, frozen=True, kw_only=True):
    """One column. `default` and `on_update` are SQL; `rest` is whatever else is told of it: comment, check."""

    name: str
    type: str  # in lower case, but for the values of an enum
    charset: str | None
    collation: str | None
    nullable: bool
    default: str | None
    on_update: str | None
    rest: str

    @property
    def base(self) -> str:
        """The type without its arguments: `varchar`."""
        return re.split(r"\W", self.type, maxsplit=1)[0]

    @property
    def family(self) -> str:
        """`text`, `number`, `time` or `bytes`; the type itself where it is none of them."""
        return _FAMILY.get(self.base, self.base)

    @property
    def capacity(self) -> int:
        """Characters that a text column holds."""
        if self.base in ("char", "varchar"):
            return int(re.sub(r"\D", "", self.type) or 1)
        return _CAPACITY.get(self.base, _UNBOUNDED)

    @property
    def is_computed(self) -> bool:
        return re.search(r"\bAS (?:\(|ROW)", _without_strings(self.rest)) is not None

    @property
    def needs_value(self) -> bool:
        """An INSERT that does not name it is refused."""
        automatic = re.search(r"\bAUTO_INCREMENT\b|\bDEFAULT ", _without_strings(self.rest)) or self.is_computed
        return not self.nullable and self.default is None and not automatic

    def __str__(self) -> str:
        parts = [f"`{self.name}` {self.type}"]
        parts += [f"CHARACTER SET {self.charset}"] if self.charset else []
        parts += [f"COLLATE {self.collation}"] if self.collation else []
        parts += ["NULL" if self.nullable else "NOT NULL"]
        parts += [f"DEFAULT {self.default}"] if self.default else []
        parts += [f"ON UPDATE {self.on_update}"] if self.on_update else []
        return " ".join(parts) + self.rest


class Index(Struct, frozen=True):
    """One index. `columns` holds plain names, unless only a part or an expression is indexed."""

    kind: str  # primary | unique | fulltext | …, empty for any other
    name: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"KEY `{self.name}` ({', '.join(f'`{column}`' for column in self.columns)})"


class Table(Struct, frozen=True):
    """Columns by their name in lower case, as MySQL compares names."""

    columns: dict[str, Column]
    keys: tuple[Index, ...]
    engine: str
    row_format: str | None  # None: none was asked for
    charset: str | None
    collation: str | None

    @classmethod
    def of(cls, create: str) -> Table:
        """Read `CREATE TABLE …`, with one column or key on each line."""
        head, _, tail = create.partition("\n)")
        options = _without_strings(tail)
        charset = _option(r"(?:CHARSET=|CHARACTER SET )(\w+)", options)
        collation = _option(r"COLLATE=(\w+)", options)
        lines = [line.strip().removesuffix(",") for line in head.splitlines()[1:]]
        columns = [_column(line, charset, collation) for line in lines if not _NO_COLUMN.match(line)]
        return cls(
            {column.name.lower(): column for column in columns},
            tuple(_key(found) for line in lines if (found := _KEY.match(line)))
            + tuple(Index("primary", "", (line.split()[0],)) for line in lines if line.endswith(" PRIMARY KEY")),
            (_option(r"ENGINE=(\w+)", options) or "").lower(),
            (_option(r"ROW_FORMAT=(\w+)", options) or "").lower() or None,
            charset,
            collation,
        )

    @property
    def primary(self) -> tuple[str, ...]:
        return next((key.columns for key in self.keys if key.kind == "primary"), ())

    @property
    def key_names(self) -> set[str]:
        return {key.name for key in self.keys}


def _key(found: re.Match[str]) -> Index:
    columns = tuple(part.strip(" `").lower() for part in found["columns"].split(","))
    return Index((found["kind"] or "").strip().lower(), (found["name"] or "").lower(), columns)


def _column(line: str, charset: str | None, collation: str | None) -> Column:
    """Text without a character set of its own has the table's, which is then written out."""
    found = _COLUMN.match(line)
    if found is None:
        raise ValueError(f"no definition of a column: {line}")
    base, bracket, arguments = found["type"].partition("(")
    column = Column(
        name=found["name"].strip("`"),
        type=base.lower() + bracket + arguments,
        charset=found["charset"] or (found["collation"] or "").partition("_")[0] or None,
        collation=found["collation"],
        nullable=found["null"] != " NOT NULL",
        default=found["default"],
        on_update=found["on_update"],
        rest=found["rest"].removesuffix(" PRIMARY KEY"),
    )
    if column.family != "text" or column.base == "json" or column.charset:
        return column
    return replace(column, charset=charset, collation=collation)


def _without_strings(text: str) -> str:
    return re.sub(_STRING, "''", text)


def _option(pattern: str, options: str) -> str | None:
    found = re.search(pattern, options)
    return found[1] if found else None
