"""The store seam: task state in MySQL, MariaDB or one SQLite file. The logic is written once, above `database`."""

from __future__ import annotations

from msgspec import Struct

from gridsidecar.clock import Clock, SystemClock
from gridsidecar.config.settings import StoreSettings
from gridsidecar.errors import ConfigError, Fault
from gridsidecar.store.access_paths import Wanted
from gridsidecar.store.answer import Answer
from gridsidecar.store.counting import Count, Counting, TypeCount
from gridsidecar.store.database import Database, RowLocked, RowRejected, TransientRejection
from gridsidecar.store.leases import HeldRow, Leases
from gridsidecar.store.letters import FailureCause
from gridsidecar.store.listing import Listing, Page, Position
from gridsidecar.store.minutes import Minutes, MinuteTally, Point
from gridsidecar.store.operations import NotDriven, Operation, OperationKind, Operations
from gridsidecar.store.outbox import LETTER, Outbox, OwedCallback, TakenCallbacks
from gridsidecar.store.output import Output, OutputPage, Piece
from gridsidecar.store.pauses import Pauses
from gridsidecar.store.prewritten import PrewrittenRows
from gridsidecar.store.quarantine import Quarantine
from gridsidecar.store.queries import TableNames, load_queries
from gridsidecar.store.reading import Reading
from gridsidecar.store.retention import Retention
from gridsidecar.store.selection import Filter
from gridsidecar.store.steering import Steering
from gridsidecar.store.tasks import TaskStore

__all__ = [
    "LETTER",
    "Answer",
    "Count",
    "Counting",
    "FailureCause",
    "Filter",
    "HeldRow",
    "Leases",
    "Listing",
    "MinuteTally",
    "Minutes",
    "NotDriven",
    "Operation",
    "OperationKind",
    "Operations",
    "Outbox",
    "Output",
    "OutputPage",
    "OwedCallback",
    "Page",
    "Pauses",
    "Piece",
    "Point",
    "Position",
    "PrewrittenRows",
    "Quarantine",
    "Reading",
    "Retention",
    "RowLocked",
    "RowRejected",
    "Steering",
    "Store",
    "TakenCallbacks",
    "TaskStore",
    "TransientRejection",
    "TypeCount",
    "Wanted",
    "make_store",
]


class Store(Struct, frozen=True):
    """One database and the views of it: the tasks' rows, also before their messages, the workers' leases, the callbacks
    owed, what handlers say, what is too old, what is paused, what ended when, and for people."""

    database: Database
    tasks: TaskStore
    prewritten: PrewrittenRows
    leases: Leases
    outbox: Outbox
    output: Output
    retention: Retention
    reading: Reading
    listing: Listing
    counting: Counting
    minutes: Minutes
    pauses: Pauses
    steering: Steering
    operations: Operations

    async def open(self, migrate: bool | None = None) -> None:
        """Connect; with `migrate` bring the tables up to date, with False only check them, with None do neither."""
        await self.database.open()
        if migrate is not None:
            await self.database.migrate(apply=migrate)

    async def close(self) -> None:
        await self.database.close()


def make_store(
    settings: StoreSettings, queue: str, clock: Clock | None = None, *, dead_letter_failed: bool = False
) -> Store:
    """The store that `store.url` names, not yet connected. ConfigError when the URL or the names cannot be used.

    `dead_letter_failed`: a task that fails for good owes its message to the dead letters.
    """
    tables = TableNames(settings.table_prefix + settings.table_name)
    if tables.excess > 0:
        problem = f"{tables.tasks} is too long for the tables named after it; shorten it by {tables.excess} characters"
        raise ConfigError([Fault("store.table_name", problem)])
    try:
        database = _database(settings, tables)
    except ValueError as error:
        raise ConfigError([Fault("store.url", str(error))]) from error
    queries = load_queries(database.dialect, tables)
    clock = clock or SystemClock()
    steering = Steering(database, queries, queue, clock)
    return Store(
        database,
        TaskStore(database, queries, queue, clock, dead_letter_failed),
        PrewrittenRows(database, queries, queue),
        Leases(database, queries, queue, clock),
        Outbox(database, queries, queue, clock),
        Output(database, queries),
        Retention(database, queries, queue, settings.retention_days, clock),
        Reading(database, queries, queue),
        Listing(database, queries),
        Counting(database, queries),
        Minutes(database, queries, queue, clock),
        Pauses(database, queries, queue),
        steering,
        Operations(database, queries, queue, steering),
    )


def _database(settings: StoreSettings, tables: TableNames) -> Database:
    if settings.url.startswith("sqlite:"):
        from gridsidecar.store.sqlite import SQLiteDatabase

        return SQLiteDatabase(settings.url, tables)
    from gridsidecar.store.mysql import MySQLDatabase

    return MySQLDatabase(settings, tables)
