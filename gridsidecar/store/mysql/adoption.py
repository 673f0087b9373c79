"""A table that an earlier plugin made becomes ours as it stands: widened and completed, so that both can use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pymysql.err
from msgspec.structs import replace

from gridsidecar.errors import AccessRefused
from gridsidecar.rules.task import Status
from gridsidecar.store.mysql.connection import Session
from gridsidecar.store.mysql.definition import Column, Index, Table
from gridsidecar.store.mysql.errors import passes
from gridsidecar.store.mysql.literal import literal
from gridsidecar.store.queries import Query

LONGEST_CHANGE = 6 * 3600.0  # seconds that the server may take to rewrite or read a whole table
LONGEST_ID = 768  # characters of utf8mb4 that an index of InnoDB holds
ZERO = "'0000-00-00 00:00:00'"
ZERO_TIMES_AT_ONCE = 500  # rows; while they are locked, their writers wait
_ZERO_TIMES = (
    "SELECT id FROM {table} WHERE id > :last AND (started_at = {zero} OR completed_at = {zero}) "
    "ORDER BY id LIMIT {many}"
)
_FORGET_ZERO_TIMES = (  # naming the other two keeps a server from setting them to now
    "UPDATE {table} SET started_at = IF(started_at = {zero}, NULL, started_at), "
    "completed_at = IF(completed_at = {zero}, NULL, completed_at), created_at = created_at, updated_at = updated_at "
    "WHERE id IN ({ids})"
)
_GRANT = "grant ALTER, CREATE and INSERT on it, or run `gridsidecar migrate` as a user that has them"
_UNTIE = "drop that constraint, migrate, and create it again with utf8mb4 and utf8mb4_bin on its other side too"
_ADVICE = {1142: _GRANT, 1832: _UNTIE, 1833: _UNTIE, 3780: _UNTIE}


class NotAdoptable(Exception):
    """The table cannot be used as it is. Says what is wrong with it, and what to do."""


class Adoption:
    """Of one table, `name`. `create` is the CREATE TABLE statement that it would have been made by, had we made it."""

    def __init__(self, session: Session, place: str, name: str, create: str) -> None:
        self._session = session
        self._place = place
        self._name = name
        self._ours = Table.of(create)

    async def run(self) -> None:
        """Nothing where there is no such table. Can be broken off anywhere and run again.

        `AccessRefused` where the table cannot be adopted; nothing was changed then.
        """
        text = await self._definition()
        if text is None:
            return
        try:
            if not text.startswith("CREATE TABLE"):
                raise NotAdoptable("it is no table; choose another store.table_name")
            clauses = list(changes(self._ours, Table.of(text)))
        except NotAdoptable as problem:
            raise self._refused(str(problem)) from None
        if clauses:
            await self._change(f"ALTER TABLE `{self._name}` {', '.join(clauses)}")
        await self._forget_zero_times()

    async def _definition(self) -> str | None:
        try:
            (row,) = await self._session.fetch(Query.of("definition", f"SHOW CREATE TABLE `{self._name}`"), {})
        except pymysql.err.ProgrammingError as error:
            if error.args[0] == 1146:  # no such table
                return None
            raise
        return str(row.get("Create Table") or row.get("Create View"))

    async def _change(self, alter: str) -> None:
        try:
            await self._session.run(alter, LONGEST_CHANGE)
        except pymysql.err.MySQLError as error:
            if passes(error):
                raise
            code, text = error.args
            raise self._refused(f"{text} (error {code}); {_ADVICE.get(code, 'nothing was changed')}") from error

    def _refused(self, problem: str) -> AccessRefused:
        return AccessRefused(f"cannot adopt the table {self._name} in {self._place}: {problem}")

    async def _forget_zero_times(self) -> None:
        """`0000-00-00 00:00:00` stood for no time where the column could not be NULL."""
        words = {"table": f"`{self._name}`", "zero": ZERO}
        look = Query.of("zero_times", _ZERO_TIMES.format(**words, many=ZERO_TIMES_AT_ONCE))
        last = ""
        while rows := await self._session.fetch(look, {"last": last}, LONGEST_CHANGE):
            ids = ", ".join(literal(row["id"]) for row in rows)
            await self._session.run(_FORGET_ZERO_TIMES.format(**words, ids=ids))
            last = rows[-1]["id"]


# -- what to change ---------------------------------------------------------------------------------------------------


def changes(ours: Table, theirs: Table) -> Iterator[str]:
    """The clauses of one ALTER TABLE after which both programs can use the table. Raises `NotAdoptable`."""
    _check(ours, theirs)
    for name, column in ours.columns.items():
        old = theirs.columns.get(name)
        if old is None:
            yield f"ADD COLUMN {_added(column)}"
        elif (new := _adopted(column, old)) != old:
            yield f"MODIFY COLUMN {new}"
    for key in ours.keys:
        if key.kind != "primary" and key.name not in theirs.key_names:
            yield f"ADD {key}"
    yield from _options(ours, theirs)


def _options(ours: Table, theirs: Table) -> Iterator[str]:
    if theirs.engine != ours.engine:
        yield f"ENGINE={ours.engine}"
    if theirs.row_format not in (ours.row_format, "compressed"):  # others hold too short an index
        yield f"ROW_FORMAT={ours.row_format}"
    if theirs.charset != ours.charset:  # of columns that come later; those that are there keep theirs
        yield f"DEFAULT CHARACTER SET {ours.charset}"


def _added(column: Column) -> Column:
    """As it is in a table of ours, but no INSERT has to name it."""
    if column.needs_value:  # a time; of the type that means the same instant in every session's time zone
        return replace(column, type="timestamp", default="CURRENT_TIMESTAMP")
    return column


def _adopted(ours: Column, old: Column) -> Column:
    """The old column, changed where we could not use it, or where our writes would do what nobody wants."""
    match ours.family:
        case "time":
            old = _time(ours, old)
        case "text" if old.base == "enum" or ours.name == "status":
            old = _enum(ours, old)
        case "text":
            old = _text(ours, old)
    if ours.nullable and not old.nullable:
        return replace(old, nullable=True, default=None if old.default == ZERO else old.default)
    if old.needs_value and ours.default is not None:
        return replace(old, default=ours.default)
    return old


def _time(ours: Column, old: Column) -> Column:
    """A TIMESTAMP stays one: its instants are right in every session's time zone."""
    if ours.name != "updated_at":
        old = replace(old, on_update=None)  # it would be set to now at each of our writes
    if ours.nullable or old.base != "timestamp" or old.default not in (None, "NULL", ZERO):
        return old
    return replace(old, default=old.type.replace("timestamp", "CURRENT_TIMESTAMP"))


def _enum(ours: Column, old: Column) -> Column:
    """New values come last, so that the order and the numbers of the old ones stay."""
    if ours.name != "status":
        return old
    if old.base != "enum":
        return replace(old, type=ours.type) if old.capacity < max(map(len, Status)) else old
    values = [value.strip("'") for value in re.findall(r"'[^']*'", old.type)]
    missing = [f"'{status}'" for status in Status if status not in values]
    return replace(old, type=",".join([old.type.removesuffix(")"), *missing]) + ")") if missing else old


def _text(ours: Column, old: Column) -> Column:
    if ours.name == "id":  # compared byte for byte
        length = max(ours.capacity, old.capacity)
        return replace(
            old, type=f"varchar({length})", charset=ours.charset, collation=ours.collation, nullable=False, default=None
        )
    if old.capacity < ours.capacity:
        bracketed = ours.base != "varchar" and old.default not in (None, "NULL")  # MySQL takes no other default there
        old = replace(old, type=ours.type, default=f"({old.default})" if bracketed else old.default)
    if old.charset in (None, ours.charset):
        return old
    return replace(old, charset=ours.charset, collation=_wider(old))


def _wider(old: Column) -> str | None:
    """The same collation for all of Unicode, so that comparisons answer as before."""
    collation = old.collation or f"{old.charset}_general_ci"
    known = re.fullmatch(r"(?:utf8|utf8mb3)_(bin|general_ci|unicode_ci|unicode_520_ci)", collation)
    return f"utf8mb4_{known[1]}" if known else None


# -- what cannot be adopted -------------------------------------------------------------------------------------------


def _check(ours: Table, theirs: Table) -> None:
    _check_id(theirs)
    for name, column in ours.columns.items():
        if (old := theirs.columns.get(name)) is not None:
            _check_column(column, old)
    strange = {name: column for name, column in theirs.columns.items() if name not in ours.columns}
    for column in strange.values():
        if column.needs_value:
            raise NotAdoptable(
                f"its column {column.name} has neither a default nor NULL, so that no other program can insert rows; "
                f"ALTER TABLE … MODIFY COLUMN {replace(column, nullable=True)}, or give it a default"
            )
    for key in theirs.keys:
        _check_key(key, strange)


def _check_id(theirs: Table) -> None:
    key = theirs.columns.get("id")
    if key is None:
        raise NotAdoptable("it has no column id, so it is no table of tasks; choose another store.table_name")
    if key.base not in ("char", "varchar") or key.capacity > LONGEST_ID:
        raise NotAdoptable(
            f"its column id is {key.type}, and the ids of tasks are text; make it VARCHAR(255), or choose another "
            "store.table_name"
        )
    if theirs.primary != ("id",):
        found = ", ".join(theirs.primary) or "none"
        raise NotAdoptable(f"its primary key must be id alone, and is {found}; ALTER TABLE … ADD PRIMARY KEY (id)")


def _check_column(ours: Column, old: Column) -> None:
    usable = ours.name != "status" or old.base in ("enum", "char", "varchar")
    if old.family == ours.family and usable and not old.is_computed:
        return
    found = "computed" if old.is_computed else old.type
    raise NotAdoptable(f"its column {old.name} is {found}, and must take {ours.type}; rename it, or change its type")


def _check_key(key: Index, strange: dict[str, Column]) -> None:
    """Duplicates are told by the primary key alone: where another key refuses a row, a task would be lost."""
    harmless = key.kind != "unique" or "id" in key.columns
    if harmless or any(_stays_null(strange.get(column)) for column in key.columns):
        return
    raise NotAdoptable(
        f"its unique key {key.name} on {', '.join(key.columns)} would refuse some tasks as duplicates of others; "
        "make it a key that is not unique"
    )


def _stays_null(column: Column | None) -> bool:
    """No row of ours has a value there, and NULL is a duplicate of nothing."""
    return column is not None and column.nullable and column.default in (None, "NULL") and not column.is_computed
