"""The seam below the store: one database that runs named statements. MySQL-family (`mysql`) or a file (`sqlite`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from gridsidecar.errors import EX_REFUSED, GridSidecarError
from gridsidecar.store.permits import Permit, Permits
from gridsidecar.store.queries import Query

T = TypeVar("T")
Params = Mapping[str, Any]
Statement = tuple[Query, Params]
MIGRATE = "; `gridsidecar migrate` creates the tables and brings them up to date"


class Connection(Protocol):
    """An open transaction."""

    async def execute(self, query: Query, params: Params) -> int:
        """Run a write; the number of rows that it changed."""
        ...

    async def execute_all(self, statements: Sequence[Statement]) -> list[int]:
        """Run writes in this order, in one round trip where the server can; rows changed by each."""
        ...

    async def fetch(self, query: Query, params: Params) -> list[dict[str, Any]]:
        """Run a read; one dict a row, times as UTC text `YYYY-MM-DD HH:MM:SS.mmm`."""
        ...


class RowRejected(GridSidecarError):
    """The database will not store these values (too long, say): the statement is at fault, not the server."""

    exit_code = EX_REFUSED


class TransientRejection(RowRejected):
    """The same, for a reason that nobody but the database knows (a trigger): the next time it may be stored."""


class FalseAlarm(TransientRejection):
    """The same, in words that a server has for itself (a deadlock, its shutdown) or in none, while other writes go
    through: with other values it says the same."""


class RowLocked(TransientRejection):
    """Somebody has held this row for long, while other writes go through. That passes."""


class Database(Protocol):
    """Every method raises `StoreUnavailable` when the server is away, `AccessRefused` when it says no, and
    `RowRejected` when it will not store the values."""

    dialect: str
    alone_permits: Permits
    """For writes that go by themselves as they may take long, whoever writes: so few that others find a connection."""

    async def open(self) -> None:
        """Connect once, to find out early whether it can work."""
        ...

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `work` in one transaction. It may run several times (deadlocks), so it must have no other effects."""
        ...

    async def fetch(self, query: Query, params: Params) -> list[dict[str, Any]]:
        """Run one read by itself."""
        ...

    async def batch(
        self, statements: Sequence[Statement], *, hasty: bool = False, permit: Permit | None = None
    ) -> list[int]:
        """Run writes as one transaction, in one round trip where the server can; rows changed by each.

        `hasty`: they belong to several tasks, and are better tried apart than together for long. `permit`: what each
        try needs; without it, only those need one that come after a wait for a lock.
        """
        ...

    async def migrate(self, apply: bool) -> None:
        """Bring the tables to this version's schema, one process at a time; with `apply` false only check.

        Raises `AccessRefused` where they are missing or too old, and says what to run.
        """
        ...

    async def close(self) -> None:
        """Closed for good: what is under way is given seconds, all else is `StoreUnavailable`."""
        ...
