"""A fleet as commands see it: what is asked of it and done to it, wherever the answers come from.

`direct` asks the store and the broker of a configuration, `remote` the HTTP API of a worker or of `gridsidecar serve`.
Both answer in the shapes of `gridsidecar.operations.shapes`, and raise the same errors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from gridsidecar.errors import GridSidecarError, UsageError
from gridsidecar.rules.steering import Steered

if TYPE_CHECKING:
    from gridsidecar.config.settings import Settings
    from gridsidecar.fleet.remote import ServerAddress
    from gridsidecar.rules.task import Status, Task
    from gridsidecar.store import Filter, OperationKind, OutputPage, Wanted
    from gridsidecar.views import (
        CallbackView,
        Figures,
        LetterInFull,
        LetterView,
        OperationView,
        QueueView,
        SteeredTask,
        TaskSummary,
        TaskView,
    )

Outcomes = Mapping[str, Steered]


class TaskRefused(GridSidecarError):
    """This task cannot be put on the queue; others can."""


class Submitted(Struct, frozen=True):
    """`owed` says why nobody knows whether the broker has it: its row is there, and a worker sends it. A hint where its
    type may be a mistake."""

    owed: str | None = None
    hint: str | None = None


class Listed(Struct, frozen=True):
    """Some tasks, and the id to go on after: None where there is nothing else."""

    tasks: list[TaskSummary]
    next: str | None


class Found(Struct, frozen=True):
    """How many tasks a filter names, and what it says in full."""

    count: int
    asked: Mapping[str, Any]


class LetterPage(Struct, frozen=True):
    """Dead letters, and whether there are more. `unknown` says why the states of their tasks are not known."""

    found: list[LetterView]
    more: bool
    unknown: str = ""


class ReplayResult(Struct, frozen=True):
    """A letter, and what came of its replay: a word of `operations.dead_letters.Replay`. No letter where an API counts
    it and does not name it."""

    letter: LetterView | None
    outcome: str
    detail: str = ""


class Tasks(Protocol):
    async def get(self, task_id: str) -> TaskView | None:
        """A task without its history; None where there is none."""
        ...

    async def show(self, task_id: str) -> TaskView | None:
        """With its attempts and callbacks."""
        ...

    async def listed(self, wanted: Wanted, after: str | None, limit: int, *, with_data: bool = False) -> Listed:
        """So many tasks, or fewer where a long look finds no more. UsageError where there is no task to go on after.
        `with_data`: so that they can be submitted again."""
        ...

    async def newest(self, task_id: str) -> tuple[Status, int] | None:
        """A task's status and the number of its newest attempt."""
        ...

    async def output(
        self, task_id: str, attempt: int | None = None, since: int = 0, shown: int | None = None
    ) -> OutputPage | None:
        """As `gridsidecar.store.Output.page`."""
        ...


class FleetSteering(Protocol):
    @property
    def unsent(self) -> str | None:
        """Why tasks that are to run again were not sent to the queue."""
        ...

    goes_on: str  # how an operation comes to its end when this command does not wait for it; with {operation}

    async def steer(self, kind: OperationKind, ids: Sequence[str]) -> Outcomes:
        """A few tasks, at once."""
        ...

    async def count(self, kind: OperationKind, chosen: Filter) -> Found: ...

    def preview(self, kind: OperationKind, ids: Sequence[str], chosen: Filter) -> AsyncIterator[Outcomes]:
        """What would come of these, or without ids of those that a filter names; changes nothing."""
        ...

    async def begin(self, kind: OperationKind, ids: Sequence[str], chosen: Filter, spread: float) -> str:
        """A stored operation; its id."""
        ...

    def drive(self, operation: str) -> AsyncIterator[Outcomes]:
        """To its end; what came of the tasks, some at a time. Raises what `operations.steering.Driver` raises."""
        ...

    async def leave(self, operation: str) -> None:
        """This command does not wait for it any longer."""
        ...

    async def operations(self, limit: int) -> list[OperationView]:
        """The newest first, each with its `outcomes`."""
        ...

    async def operation(self, operation: str) -> OperationView | None: ...

    def results(self, operation: str) -> AsyncIterator[SteeredTask]:
        """Its tasks in their order."""
        ...

    async def stop(self, operation: str) -> bool:
        """False where it has ended before."""
        ...


class Upkeep(Protocol):
    async def figures(self, since: datetime | None, queue: str | None = None) -> Figures:
        """Of one queue, or of all."""
        ...

    async def pause(self, types: Sequence[str], until: datetime | None, reason: str | None) -> None: ...

    async def resume(self, types: Sequence[str]) -> set[str]:
        """Those that were paused."""
        ...

    async def callbacks(
        self, task_id: str | None, dead: bool | None, limit: int, *, owed: bool = False
    ) -> list[CallbackView]:
        """The newest first; `owed`: those still to be sent."""
        ...

    async def callback(self, id_: str) -> list[CallbackView]:
        """Those of a task, or the one of this id, each with its `body`."""
        ...

    async def drop(self, ids: Sequence[str]) -> dict[str, int]:
        """How many callbacks of each id were owed or given up, and are removed now."""
        ...

    async def drop_dead(self) -> int: ...

    async def replay(self, ids: Sequence[str]) -> dict[str, int]:
        """How many callbacks each id has, which are sent again."""
        ...

    async def replay_dead(self) -> int: ...


class Queue(Protocol):
    place: str  # of the broker, for people
    at_a_time: int  # calls of `submit` that may be under way, so that messages go in their order

    async def info(self) -> QueueView: ...

    async def open(self) -> None:
        """To submit: whoever is away is told before anything is sent."""
        ...

    @property
    def without_rows(self) -> str | None:
        """Why tasks, some or all, were submitted without their rows in the table."""
        ...

    async def submit(self, task: Task, confirmed: Callable[[str], None]) -> Submitted:
        """Its row into the table, its message onto the queue, in the order of the calls. `confirmed` hears of its id
        as soon as it is there. `TaskRefused` where this one cannot be sent."""
        ...

    async def letters(self, limit: int) -> LetterPage: ...

    async def letter(self, id_: str) -> list[LetterInFull]:
        """Those of one id, whole."""
        ...

    def replay(self, ids: Collection[str]) -> AsyncIterator[ReplayResult]:
        """Of these ids, or without ids all of this queue."""
        ...

    def drop(self, ids: Collection[str], succeeded: bool) -> AsyncIterator[LetterView | None]:
        """The same, removed for good; `succeeded`: only where their tasks have succeeded since."""
        ...


class Fleet(Struct, frozen=True):
    """`place` is where its tasks are, for people."""

    place: str
    tasks: Tasks
    steering: FleetSteering
    upkeep: Upkeep
    queue: Queue


class Where(Struct, frozen=True):
    """Where answers come from: an API where there is an address, else the servers of a configuration. `has_store`: it
    names one."""

    settings: Settings | None = None
    address: ServerAddress | None = None
    has_store: bool = True


@asynccontextmanager
async def reach(where: Where, *, makes: bool = False) -> AsyncIterator[Fleet]:
    """A fleet for one errand. Nothing is asked, and nobody has to be there, before the first question.

    `makes`: to wait for tasks of workers that may start only now; tables that are missing are made, and a server that
    is away is told at once.
    """
    if where.address is not None:
        from gridsidecar.fleet import remote

        async with remote.reach(where.address, ask=makes) as fleet:
            yield fleet
        return
    from gridsidecar.fleet import direct
    from gridsidecar.store import RowRejected, TransientRejection

    assert where.settings is not None
    try:
        async with direct.reach(where.settings, makes=makes, has_store=where.has_store) as fleet:
            yield fleet
    except TransientRejection:
        raise
    except RowRejected as error:  # a command line may hold any bytes
        raise UsageError(f"the database takes no such value, or holds one that cannot be read: {error}") from error
