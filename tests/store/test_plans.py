"""Every statement of the store's daily work finds its rows by the index that was made for it, among many others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gridsidecar.rules.task import Status
from gridsidecar.store import Position, Wanted
from gridsidecar.store.access_paths import AccessPath, access_path, access_path_of_ids, parameters
from gridsidecar.store.counting import MOST_OF_QUEUE
from gridsidecar.store.listing import SCAN_OF_INDEX, last_looked_at, listed
from gridsidecar.store.mysql.literal import WRITERS
from gridsidecar.store.queries import Query, TableNames, load_queries
from gridsidecar.store.selection import Filter, statement
from tests.conftest import fresh_database
from tests.store.direct import FAR_AWAY, LONG_AGO, TASKS, Direct
from tests.store.workers import migrate, open_store

ROWS = 4000
MANY = 500  # ids in one statement, as many as the store ever sends
BY_ID = {"tasks": "PRIMARY"}
CALLBACK_BY_ID = {"callbacks": "PRIMARY"}
HISTORY = {"attempts": "PRIMARY"}
OUTPUT = {"output": "PRIMARY"}
WORKER_BY_ID = {"workers": "PRIMARY"}
OPERATION_BY_ID = {"operation_ids": "PRIMARY"}
BY_OUTCOME = {"operation_ids": "outcome"}
BY_CHECK = {"tasks": "check"}

HOT: dict[str, dict[str, str]] = {  # by which index each table is read
    # A delivery comes in, and goes out.
    "row": BY_ID | {"workers": "PRIMARY"},
    "row_locked": BY_ID | {"workers": "PRIMARY"},
    "outcome_of": {"attempts": "PRIMARY"},
    "running_of_type": {"tasks": "status", "workers": "PRIMARY"},
    **dict.fromkeys(["keep_again", "forget_kept", "complete_foreign", "defer", "begin_next", "close", "commit"], BY_ID),
    **dict.fromkeys(["note_sent", "withdraw", "begin_waiting"], BY_ID),
    "attempt_lost": BY_ID | {"workers": "PRIMARY"},
    **dict.fromkeys(
        ["progress", "mark_started", "hand_off", "schedule", "give_back", "owe_callback", "owe_letter"], BY_ID
    ),
    # What it says meanwhile.
    "write_output": BY_ID,
    **dict.fromkeys(["forget_output", "prune_output", "output_parts"], OUTPUT),
    "forget_output_in_history": OUTPUT | HISTORY,
    # Workers and maintenance. Of the tasks they read those that run, or are due.
    "leave": {"workers": "PRIMARY"},
    "rows_of_worker": {"tasks": "status"},
    "overdue_waiting": {"tasks": "check"},
    "overdue_orphaned": {"tasks": "status", "workers": "PRIMARY"},
    "postpone": BY_ID,
    "set_aside": BY_ID,
    "postpone_start": BY_ID,
    "unpark": BY_ID,
    "parked": {"tasks": "check"},
    "gone_workers": {"tasks": "status", "workers": "expires"},
    "ended_long_ago": {"tasks": "queue", "callbacks": "PRIMARY"},
    "prune_callbacks": CALLBACK_BY_ID,
    "owed_after_all": CALLBACK_BY_ID,
    "prune_attempts": {"attempts": "PRIMARY"},
    "prune_tasks": BY_ID,
    # The outbox.
    "due_callbacks": {"callbacks": "next"},
    "next_callback": {"callbacks": "next"},
    "receivers": {"callbacks": "receiver"},
    "due_callback_of": {"callbacks": "receiver"},
    "callback": CALLBACK_BY_ID | BY_ID,  # the task's for the trace that it belongs to
    **dict.fromkeys(["try_callback", "callback_delivered", "callback_failed", "drop_callback"], CALLBACK_BY_ID),
    # What people and KEDA ask of one task, or often.
    **dict.fromkeys(["view", "last_attempt"], BY_ID | {"workers": "PRIMARY"}),
    **dict.fromkeys(["attempts_of", "attempt_of"], HISTORY),
    **dict.fromkeys(["retry_by_hand", "refuse_again", "reopen_refused"], BY_ID),
    # Somebody cancels tasks, or wants them run again.
    **dict.fromkeys(["rows_to_cancel", "cancel_waiting", "ask_cancel", "told", "complete_unseen"], BY_ID),
    **dict.fromkeys(["rows_to_retry", "fields_of", "sizes_of", "messages_of", "message_of", "tasks_of"], BY_ID),
    **dict.fromkeys(["untold", "untold_locked"], BY_CHECK),
    **dict.fromkeys(["wake_workers", "cancels_of"], WORKER_BY_ID),
    "replay_dead_callbacks": {"callbacks": "dead"},
    "position_of": BY_ID,
    "details_of": BY_ID | HISTORY,
    # Operations on many tasks.
    **dict.fromkeys(["operation_tasks", "operation_outcome", "forget_operation_ids"], OPERATION_BY_ID),
    **dict.fromkeys(["operation_outcomes", "operation_next"], BY_OUTCOME),
}
WRITTEN_ONLY = {
    "insert_running",
    "insert_waiting",
    "insert_refused",
    "insert_kept",
    "insert_unseen",
    "insert_operation",
    "insert_operation_id",
    "attempt_ended",
    "renew",
    "migrated",
    "insert_pause",
    "insert_rate",
    "count_minute",
}
SMALL_OR_SELDOM = {
    *("callbacks", "callbacks_named", "replay_callback"),  # people's questions about many
    *("workers", "forget_workers"),  # a row for each worker
    # A row for each type that is paused, and for each handler with a rate.
    *("pauses", "pause_shared", "pause_locked", "pause_anew", "end_pause", "let_probe_through", "forget_pause"),
    *("pause_counts", "rate", "reserve_start", "count_start"),
    *("tables", "schema_version", "create_schema_version"),  # at the start
    *("operation", "operations", "forsaken_operations", "old_operations", "take_operation", "drive_operation"),
    *("leave_operation", "operation_collected", "operation_done", "stop_operation", "forget_operation"),  # few rows
    *("minutes_between", "minutes_series", "prune_minutes"),  # see below
    # Only the beginnings of statements: see below.
    *(
        "tasks_selected",
        "count_selected",
        "types_selected",
        "tasks_listed",
        "keys_end",
        "took",
        "by_created",
        "by_status",
        "by_type",
    ),
    *("by_error", "by_last_error", "by_queue", "by_id"),
    *("owed", "oldest_pending", "callbacks_waiting", "callback_counts", "beside"),  # whose plans are looked at below
}
ALIASES = {"t": "tasks", "w": "workers", "c": "callbacks", "a": "attempts"}


@pytest.fixture(scope="module", params=["sqlite", "mysql"])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    """Thousands of tasks and callbacks, few of which run, wait or are due."""
    if request.param == "sqlite":
        yield filled(f"sqlite:///{tmp_path_factory.mktemp('plans')}/{Path('gridsidecar.db')}")
        return
    with fresh_database(request.getfixturevalue("mysql_server_url")) as url:
        yield filled(url)


def filled(url: str) -> Direct:
    asyncio.run(migrate(url))
    tables = Direct(url)
    digits = "(SELECT 0 AS d UNION ALL " + " UNION ALL ".join(f"SELECT {digit}" for digit in range(1, 10)) + ")"
    number = "a.d + 10 * b.d + 100 * c.d + 1000 * e.d"
    many = f"FROM {', '.join(f'{digits} {place}' for place in 'abce')} WHERE {number} < {ROWS}"
    name = f"CONCAT('t', {number})" if tables.is_mysql else f"'t' || ({number})"

    def some(rest: str, **kinds: str) -> str:
        """Of each hundred one has this value: at `d00`, at `d01` and so on."""
        cases = " ".join(f"WHEN {int(kind[1:])} THEN {value}" for kind, value in kinds.items())
        return f"CASE 10 * b.d + a.d {cases} ELSE {rest} END"

    late, early = f"'{FAR_AWAY}'", f"'{LONG_AGO}'"
    waits = some("NULL", d01=late, d02=late, d11=early)
    states = some("'success'", d00="'running'", d01="'pending'", d02="'retrying'", d11="'retrying'", d03="'failed'")
    for table, columns in {
        "": {"id": name, "status": states, "worker_id": some("NULL", d00="'w1'"), "created_at": early,
             "updated_at": early, "completed_at": early, "queue": "'q'", "body": "'{}'", "attempt": "1",
             "next_run_at": waits, "next_check_at": waits},
        "_attempts": {"task_id": name, "attempt": "1", "worker_id": "'w1'", "ended_at": early,
                      "outcome": "'success'"},
        "_callbacks": {"task_id": name, "rerun": "0", "id": name, "attempt": "1", "queue": "'q'", "kind": "'http'",
                       "receiver": some("'h:80'", d05="'h:81'"), "body": "'{}'", "created_at": early,
                       "next_try_at": some("NULL", d00=early, d01=late), "dead": some("0", d04="1")},
        "_minutes": {"minute": number, "queue": "'q'", "task_type": "'a'", "outcome": "'success'", "error_type": "''",
                     "up_to_ms": "10", "n": "1", "seconds": "1"},
        "_output": {"task_id": name, "attempt": "1", "start": "0", "said_at": early, "bytes": "'x'"},
        "_operation_ids": {"operation": some("'old'", d00="'t100'", d01="'t100'"), "position": number, "task_id": name,
                           "outcome": some("'retried'", d01="NULL")},
    }.items():  # fmt: skip
        tables.run(f"INSERT INTO {TASKS}{table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} {many}")
    for number_ in range(50):
        tables.run(
            f"INSERT INTO {TASKS}_workers (id, name, queue, lease, started_at, expires_at) "
            "VALUES (?, 'n', 'q', 60, ?, ?)",
            *(f"w{number_}", LONG_AGO, FAR_AWAY),
        )
    if tables.is_mysql:  # SQLite has no statistics in production either
        tables.run(
            "ANALYZE TABLE "
            + ", ".join(
                TASKS + side
                for side in ("", "_attempts", "_callbacks", "_workers", "_output", "_operation_ids", "_minutes")
            )
        )
    return tables


def test_every_statement_is_known_here(tables: Direct) -> None:
    known = [*HOT, *WRITTEN_ONLY, *SMALL_OR_SELDOM]
    assert sorted(known) == sorted(load_queries("mysql" if tables.is_mysql else "sqlite", TableNames(TASKS)))


def test_hot_statements_use_the_intended_index(tables: Direct) -> None:
    queries = load_queries("mysql" if tables.is_mysql else "sqlite", TableNames(TASKS))
    found = {name: plan(tables, queries[name].text) for name in HOT}
    assert found == HOT | without_such_index(tables)


def test_inserts_read_nothing(tables: Direct) -> None:
    queries = load_queries("mysql" if tables.is_mysql else "sqlite", TableNames(TASKS))
    for name in WRITTEN_ONLY:
        assert re.match(r"INSERT INTO \S+ \([^)]*\)\s*VALUES", queries[name].text), name


def test_what_is_owed_is_counted_by_indexes(tables: Direct) -> None:
    """KEDA asks again and again, also beside a large table."""
    queries = load_queries("mysql" if tables.is_mysql else "sqlite", TableNames(TASKS))
    used = steps(tables, queries["owed"].text)
    assert {("tasks", "status"), ("workers", "PRIMARY")} <= used
    assert {index for table, index in used if table == "tasks"} <= {"check", "status"}
    assert {index for table, index in used if table == "callbacks"} <= {"due", "receiver", "next"}


def test_what_is_scraped_reads_only_what_waits(tables: Direct) -> None:
    queries = load_queries("mysql" if tables.is_mysql else "sqlite", TableNames(TASKS))
    assert ("tasks", "status") in steps(tables, queries["oldest_pending"].text)
    used = {index for table, index in steps(tables, queries["callbacks_waiting"].text) if table == "callbacks"}
    assert used <= {"due", "next", "receiver", "dead"}
    assert "" not in used


def test_callbacks_are_counted_by_indexes_and_so_many_at_most(tables: Direct) -> None:
    text = load_queries(dialect_of(tables), TableNames(TASKS))["callback_counts"].text
    assert {index for table, index in steps(tables, text) if table == "callbacks"} == {"due", "dead"}
    assert text.count("LIMIT :limit") == text.count("FROM (SELECT c.rerun") == 3


def test_types_of_what_a_filter_names_are_counted_by_its_state(tables: Direct) -> None:
    chosen = Filter(statuses=(Status.FAILED,), queue="q")
    queries = load_queries(dialect_of(tables), TableNames(TASKS))
    text = with_values(statement(queries["types_selected"], chosen, page=False).text, "")
    if tables.is_mysql:  # the few types are put together in a table of their own
        (row,) = tables.run(f"EXPLAIN FORMAT=TRADITIONAL {text}".replace("%", "%%"))
        assert row["key"] == "ix_status"
    else:
        (found, *_) = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {text}")]
        assert "_tasks_status (status=?" in found


@pytest.mark.parametrize("name", ["tasks_selected", "count_selected"])
def test_what_a_filter_names_is_found_by_its_state_and_in_order(tables: Direct, name: str) -> None:
    dialect = "mysql" if tables.is_mysql else "sqlite"
    now = datetime(2026, 1, 1, tzinfo=UTC)
    some = Filter(statuses=(Status.FAILED,), queue="q", task_type="default", error_type="X", since=now, until=now)
    for chosen in (some, Filter(statuses=(Status.FAILED,), queue="q")):
        text = statement(load_queries(dialect, TableNames(TASKS))[name], chosen, page=name == "tasks_selected")
        if tables.is_mysql:
            assert plan(tables, text.text) == {"tasks": "status"}
        else:  # which has no ids in its indexes, and sorts those of one moment
            (found, *_) = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {with_values(text.text, '')}")]
            assert "_tasks_status (status=?" in found


@pytest.mark.parametrize("name", ["minutes_between", "minutes_series", "prune_minutes"])
def test_minutes_are_found_by_their_time(tables: Direct, name: str) -> None:
    text = load_queries(dialect_of(tables), TableNames(TASKS))[name].text
    if tables.is_mysql:
        (row,) = tables.run(f"EXPLAIN FORMAT=TRADITIONAL {with_values(text, '')}".replace("%", "%%"))
        assert (row["type"], row["key"]) == ("range", "PRIMARY")
    else:
        details = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {with_values(text, '')}")]
        assert any(f"SEARCH {TASKS}_minutes USING PRIMARY KEY (minute" in detail for detail in details)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
RANGE = {"since": NOW - timedelta(days=1), "until": NOW}
PLACE = Position("2025-12-31 12:00:00.000", "t5")
NAMED: dict[str, tuple[Wanted, set[str]]] = {  # questions, and the indexes that answer them
    "none": (Wanted(), {"created"}),
    "status": (Wanted(statuses=(Status.FAILED,)), {"status"}),
    "statuses": (Wanted(statuses=(Status.PENDING, Status.FAILED)), {"status"}),
    "type": (Wanted(task_types=("default",)), {"type"}),
    "types and statuses": (Wanted(task_types=("a", "b"), statuses=(Status.FAILED, Status.SUCCESS)), {"type"}),
    "queue": (Wanted(queue="q"), {"queue"}),
    "error": (Wanted(error_type="Boom"), {"error", "last_error"}),
}


@pytest.mark.parametrize("after", [None, PLACE], ids=["first page", "next page"])
@pytest.mark.parametrize("times", [{}, RANGE], ids=["ever", "range"])
@pytest.mark.parametrize("name", NAMED)
def test_named_questions_are_answered_by_an_index_alone(
    tables: Direct, name: str, times: dict[str, datetime], after: Position | None
) -> None:
    """In the order in which it has them: nothing is sorted but the few of a page, and nothing else is read."""
    wanted, indexes = NAMED[name]
    wanted = replace(wanted, **times)
    path = access_path(wanted, dialect_of(tables))
    assert path.rest == ()
    assert found_by(tables, path, wanted, after) == indexes


def test_ids_that_begin_so_are_read_by_their_key(tables: Direct) -> None:
    wanted = Wanted(id_prefix="t10", **RANGE)
    path = access_path_of_ids(wanted, dialect_of(tables))
    assert path.rest == ()
    text = query_of(tables, path, wanted, None)
    assert index_of_keys(tables, text) == {"PRIMARY"}


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        (Wanted(queue="q", statuses=(Status.FAILED,)), {"status"}),
        (Wanted(queue="q", task_types=("a",)), {"type"}),
        (Wanted(error_type="Boom", statuses=(Status.FAILED,)), {"error", "last_error"}),
        (Wanted(task_types=tuple("abcdefghij")), {"created"}),
        (Wanted(id_prefix="t"), {"created"}),
    ],
)
def test_others_look_at_so_many_rows_of_an_index_and_no_more(tables: Direct, wanted: Wanted, indexes: set[str]) -> None:
    path = access_path(wanted, dialect_of(tables))
    assert path.rest
    queries = load_queries(dialect_of(tables), TableNames(TASKS))
    text = last_looked_at(queries, dialect_of(tables), path, wanted, PLACE).text
    assert index_of_keys(tables, text) == indexes
    for share in re.findall(r"OFFSET (\d+)", text):
        assert int(share) * len(path.branches) <= SCAN_OF_INDEX


SINCE = [pytest.param(None, id="ever"), pytest.param(datetime(1999, 1, 1, tzinfo=UTC), id="since")]


@pytest.mark.parametrize("since", SINCE)
@pytest.mark.parametrize("queue", [None, "q"], ids=["all", "the only queue"])
async def test_types_are_counted_by_an_index_alone(tables: Direct, queue: str | None, since: datetime | None) -> None:
    """Those of a queue that has the table to itself as those of all; but for the newest of what ended, whose rows have
    their times."""
    asked = await asked_for_types(tables, since, queue)
    counting = [text for text in asked if "AVG" not in text and "EXISTS" not in text]
    assert len(counting) >= 3
    for text in counting:
        assert counted_by(tables, text) <= {"type"}, text
    for text in [text for text in asked if "EXISTS" in text]:
        assert counted_by(tables, text) == {"queue"}, text


@pytest.mark.parametrize("since", SINCE)
async def test_of_a_queue_beside_others_so_many_are_looked_at(tables: Direct, since: datetime | None) -> None:
    tables.run(f"UPDATE {TASKS} SET queue = 'other' WHERE id = 't0'")
    try:
        _, text = await asked_for_types(tables, since, "q")
    finally:
        tables.run(f"UPDATE {TASKS} SET queue = 'q' WHERE id = 't0'")
    (newest,) = re.findall(rf"FROM \((SELECT .* LIMIT {MOST_OF_QUEUE})\)", text)
    if tables.is_mysql:
        (row,) = tables.run(f"EXPLAIN FORMAT=TRADITIONAL {newest}")
        assert (row["key"], "filesort" in (row["Extra"] or "")) == ("ix_queue", False), row
        return
    (detail,) = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {newest}")]
    assert f"USING INDEX {TASKS}_queue (queue=?" in detail


async def asked_for_types(tables: Direct, since: datetime | None, queue: str | None) -> list[str]:
    """The statements that count by type."""
    store = await open_store(tables.url)
    try:
        asked: list[str] = []
        fetch = store.database.fetch

        async def noted(query: Query, params: Mapping[str, Any]) -> list[dict[str, Any]]:
            asked.append(query.render(params, WRITERS))
            return await fetch(query, params)

        store.database.fetch = noted  # type: ignore[method-assign]
        assert await store.counting.by_type(since, queue)
        return asked
    finally:
        await store.close()


def counted_by(tables: Direct, text: str) -> set[str]:
    """The indexes that a count reads, and that it reads nothing else."""
    if tables.is_mysql:
        rows = tables.run(f"EXPLAIN FORMAT=TRADITIONAL {text}".replace("%", "%%"))
        read = [row for row in rows if row["table"] == "t"]
        assert all("Using index" in row["Extra"] for row in read), (text, rows)
        return {mysql_index(str(row["key"])) for row in read}
    details = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {text}")]
    read = [one for one in details if re.search(r"\bt\b", one)]
    assert read
    assert all("USING COVERING INDEX" in one for one in read), (text, details)
    return {listed_index(re.search(r"INDEX (\w+)", one)[1]) for one in read}  # type: ignore[index]


def dialect_of(tables: Direct) -> str:
    return "mysql" if tables.is_mysql else "sqlite"


def query_of(tables: Direct, path: AccessPath, wanted: Wanted, after: Position | None) -> str:
    queries = load_queries(dialect_of(tables), TableNames(TASKS))
    return listed(queries, dialect_of(tables), path, wanted, after, None).text


def found_by(tables: Direct, path: AccessPath, wanted: Wanted, after: Position | None) -> set[str]:
    text = query_of(tables, path, wanted, after)
    beginnings = re.findall(r"SELECT t\.id, t\.created_at FROM .*? LIMIT :limit", text)
    assert beginnings
    for one in beginnings:  # each by itself: the server sorts the few that all of them have found
        assert_in_order(tables, one)
    return index_of_keys(tables, text)


def assert_in_order(tables: Direct, text: str) -> None:
    if tables.is_mysql:
        (row,) = tables.run(f"EXPLAIN FORMAT=TRADITIONAL {with_all_values(text)}")
        if "Impossible WHERE" in (row["Extra"] or ""):  # a state that only an adopted table can hold
            return
        assert "filesort" not in (row["Extra"] or ""), (text, row)
        assert "Using index" in row["Extra"], (text, row)
        assert row["type"] != "ALL", (text, row)
        return
    details = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {with_all_values(text)}")]
    assert len(details) == 1, (text, details)
    assert "USING COVERING INDEX" in details[0], (text, details)


def index_of_keys(tables: Direct, text: str) -> set[str]:
    """The indexes by which the keys are found; the rows themselves are read by their ids."""
    if tables.is_mysql:
        rows = tables.run(f"EXPLAIN FORMAT=TRADITIONAL {with_all_values(text)}".replace("%", "%%"))
        inner = [row for row in rows if row["table"] == "t" and row["select_type"] != "PRIMARY"]
        return {mysql_index(str(row["key"])) for row in inner}
    details = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {with_all_values(text)}")]
    found = [re.match(r"(?:SEARCH|SCAN) t USING (?:COVERING )?INDEX (\w+)(?: \((.*)\))?", one) for one in details]
    return {
        listed_index(match[1])
        for match in found
        if match and match[2] != "id=?"  # the rows of what was found
    }


def listed_index(name: str) -> str:
    return "PRIMARY" if name.startswith("sqlite_autoindex") else name.removeprefix(f"{TASKS}_")


def with_all_values(text: str) -> str:
    values = {name: literal(value) for name, value in (parameters(Wanted()) | VALUES).items() if value is not None}
    return re.sub(r"(?<!:):([a-z_]+)", lambda match: values[match[1]], text)


VALUES = {
    **{f"type_{letter}": letter for letter in "abcdefghij"},
    "queue": "q",
    "error_type": "Boom",
    "since": "2025-12-30 00:00:00.000",
    "until": "2026-01-01 00:00:00.000",
    "at": PLACE.created_at,
    "after": PLACE.id,
    "prefix": "t10%",
    "prefix_from": "t10",
    "prefix_to": "t11",
    "limit": 51,
    "scan": 100,
}


def literal(value: object) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def without_such_index(tables: Direct) -> dict[str, dict[str, str]]:
    """SQLite's few workers have no index but the primary key; and it takes the longest index that there is."""
    if tables.is_mysql:
        return {}
    return {
        "gone_workers": HOT["gone_workers"] | {"workers": ""},
        "running_of_type": HOT["running_of_type"] | {"tasks": "type"},
    }


def plan(tables: Direct, text: str) -> dict[str, str]:
    """The index by which each table is read; empty where all of it is."""
    return dict(steps(tables, text))


def steps(tables: Direct, text: str) -> set[tuple[str, str]]:
    return mysql_steps(tables, text) if tables.is_mysql else sqlite_steps(tables, text)


WRITTEN = ("INSERT", "REPLACE")  # some servers also list the table that an INSERT … SELECT writes to


def mysql_steps(tables: Direct, text: str) -> set[tuple[str, str]]:
    sql = with_values(text, f"({some_ids()})").replace("%", "%%")
    explained = tables.run(f"EXPLAIN FORMAT=TRADITIONAL {sql}")
    rows = [row for row in explained if row["table"] and row["select_type"] not in WRITTEN]
    for row in rows:
        # An update that changes the index by which it finds its rows finds all of them first; newer servers say so.
        slow = "filesort" if row["select_type"] == "UPDATE" else "filesort|temporary"
        assert not re.search(slow, row["Extra"] or ""), (text, row)
    return {
        (table_name(row["table"]), "" if (key := mysql_key(row)) is None else mysql_index(key))
        for row in rows
        if not row["table"].startswith("<")
    }


def mysql_key(row: dict[str, Any]) -> str | None:
    """The index by which a table is read; also one whose range is known only when the tables before it are read."""
    if "Range checked for each record" in (row["Extra"] or ""):
        return str(row["possible_keys"])
    return None if row["type"] == "ALL" else str(row["key"])


def sqlite_steps(tables: Direct, text: str) -> set[tuple[str, str]]:
    details = [row["detail"] for row in tables.run(f"EXPLAIN QUERY PLAN {with_values(text, json_ids())}")]
    assert not [detail for detail in details if "TEMP B-TREE" in detail], (text, details)
    found = (re.match(r"(?:SEARCH|SCAN) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", detail) for detail in details)
    return {
        (table_name(match[1]), sqlite_index(match[2] or ""))
        for match in found
        if match and match[1] not in ("json_each", f"{TASKS}_owed_work")
    }


def mysql_index(name: str) -> str:
    """MariaDB may filter by a second one, which it names after the first."""
    return name.partition("|")[0].removeprefix("ix_")


def sqlite_index(name: str) -> str:
    if name.startswith("sqlite_autoindex"):
        return "PRIMARY"
    return name.rpartition("_")[2]


def table_name(table: str) -> str:
    return ALIASES.get(table) or table.removeprefix(TASKS).removeprefix("_") or "tasks"


def some_ids() -> str:
    return ", ".join(f"'t{number}'" for number in range(MANY))


def json_ids() -> str:
    return "'[" + ", ".join(f'"t{number}"' for number in range(MANY)) + "]'"


def with_values(text: str, ids: str) -> str:
    """The statement with a plausible value for each parameter. Several ids where it may carry them."""
    values = {
        **dict.fromkeys(["id", "task_id"], "'t100'"),
        **dict.fromkeys(["limit", "age", "lease", "gap", "grace", "delay"], "100"),
        **dict.fromkeys(["rerun", "tries", "crashes", "cancel_requested", "beats_cancel", "refused", "given_up"], "0"),
        **dict.fromkeys(["start", "since"], "100000"),
        **dict.fromkeys(["before", "part", "step"], "200000"),
        "attempt": "1",
        "status": "'running'",
        "worker_id": "'w1'",
        "queue": "'q'",
        "task_type": "'default'",
        "receiver": "'h:81'",
        "parked_from": f"'{FAR_AWAY}'",
        "parked_to": "'2100-01-01 00:00:00.000'",
        "after": "1" if "_operation_ids" in text else "'h:80'",
        **dict.fromkeys(["at", "since"], f"'{LONG_AGO}'"),
        **dict.fromkeys(["until", "error_type"], f"'{FAR_AWAY}'"),
        "ids": ids,
        "aside": ids,
        "positions": "('[1, 2]')" if "json_each" in text else "(1, 2)",
    }
    text = text.replace("IN (:id)", f"IN ({some_ids()})")
    return re.sub(r"(?<!:):([a-z_]+)", lambda match: values.get(match[1], "NULL"), text)
